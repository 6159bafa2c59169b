"""Path templates: which tool a path is, and which path a call is; one reading in both directions."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.gateway.request_path import ambiguous, filled, most_specific, parse_path, parse_template
from bywire.model.errors import ConfigError, EvidenceError, TargetError

SEGMENT = st.sampled_from(["a", "b", "{x}", "{+r}"])


def templates():
    def made(parts):
        names = itertools.count()
        fresh = [
            part.replace("x", f"x{next(names)}").replace("r}", f"r{next(names)}}}") if "{" in part else part
            for part in parts
        ]
        return parse_template("/" + "/".join(fresh))

    one_rest = st.lists(SEGMENT, min_size=1, max_size=4).filter(lambda parts: parts.count("{+r}") <= 1)
    return one_rest.map(made)


@pytest.mark.parametrize(
    ("template", "path", "found"),
    [
        ("/", b"/", {}),
        ("/a", b"/a", {}),
        ("/a", b"/A", None),
        ("/a/{x}", b"/a/b%20c", {"x": "b c"}),
        ("/a/{x}", b"/a", None),
        ("/a/{x}", b"/a/b/c", None),
        ("/a/{+r}", b"/a/b/c", {"r": "b/c"}),
        ("/a/{+r}/z", b"/a/b/c/z", {"r": "b/c"}),
        ("/a/{+r}/z", b"/a/z", None),
        ("/{x}/{+r}", b"/a/b", {"x": "a", "r": "b"}),
        ("/a/{x}", b"/a/b%2Fc", {"x": "b/c"}),
    ],
)
def test_a_template_matches_whole_segments(template, path, found):
    assert parse_template(template).match(parse_path(path)) == found


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"a",
        b"//",
        b"/a//b",
        b"/a/",
        b"/.",
        b"/a/..",
        b"/%2e",
        b"/%2E%2e/a",
        b"/a;b",
        b"/a%3bb",
        b"/a\\b",
        b"/a%5cb",
        b"/%00",
        b"/%0a",
        b"/%7f",
        b"/%252e",
        b"/a%2541",
        b"/%c0%af",
        b"/%ff",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/a?b",
        b"/a#b",
        b"/a b",
        b"/\xc3\xa9",
        b"/a%2f",
        b"/%2fa",
        b"/a%2f..%2fb",
        b"/a%2f%2e%2e",
        b"/" + b"a" * 2048,
        b"/a" * 33,
        b'/"',
        b"/a|b",
        b"/{x}",
    ],
)
def test_a_path_with_two_readings_is_refused(path):
    with pytest.raises(EvidenceError):
        parse_path(path)


@pytest.mark.parametrize(
    "text", ["", "a", "/a//b", "/a/{x}.json", "/{x}{y}", "/{}", "/{x}/{x}", "/{+a}/{+b}", "/..", "/a b", "/{x", "/{1x}"]
)
def test_what_is_no_template_is_refused(text):
    with pytest.raises(ConfigError):
        parse_template(text)


@settings(max_examples=300)
@given(
    st.lists(templates(), min_size=2, max_size=4), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)
)
def test_without_ambiguity_one_template_wins_whatever_their_order(made, path):
    """The winner matches nothing that another match does not: it is contained in each of them."""
    if any(ambiguous(one, other) for one, other in itertools.combinations(made, 2)):
        return
    found = [(template, template.text) for template in made if template.match(path) is not None]
    if found:
        winners = {most_specific(order) for order in itertools.permutations(found)}
        assert len(winners) == 1
        (winner,) = [template for template in made if template.text in winners]
        for length in range(1, 6):
            for other_path in itertools.product("abc", repeat=length):
                if winner.match(other_path) is not None:
                    assert all(template.match(other_path) is not None for template, _ in found)


@settings(max_examples=300)
@given(templates(), templates())
def test_what_is_not_ambiguous_is_either_apart_or_one_within_the_other(one, other):
    paths = [path for length in range(1, 6) for path in itertools.product("abc", repeat=length)]
    mine = {path for path in paths if one.match(path) is not None}
    its = {path for path in paths if other.match(path) is not None}
    # The other way round it may refuse more than it must: who writes contracts can always be clearer.
    if not ambiguous(one, other):
        assert not mine & its or mine < its or its < mine


@given(st.text(max_size=20))
def test_a_value_stays_in_its_segment(value):
    try:
        path, rest = filled("/a/{x}/b", {"x": value, "y": 1})
    except TargetError:
        return
    assert rest == {"y": 1}
    assert path.count("/") == 3
    decoded = parse_template("/a/{x}/b")
    try:
        segments = parse_path(path.encode())
    except EvidenceError:
        return  # what is sent may be more than what is taken
    assert decoded.match(segments) == {"x": value}


@pytest.mark.parametrize("value", ["a/b", "a b/c", "x"])
def test_several_segments_stay_several(value):
    path, rest = filled("/files/{+path}", {"path": value})
    assert (path.count("/"), rest) == (value.count("/") + 2, {})


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../a", "a/..", "a//b", "/a", "a\\..\\b", "a\0", "a\r\n", None, [], {}]
)
def test_a_value_that_leaves_is_refused(value):
    for template in ("/files/{x}", "/files/{+x}"):
        with pytest.raises(TargetError):
            filled(template, {"x": value})


@pytest.mark.parametrize(
    "value",
    ["1?admin=1", "1#x", "1;x", "a\\b", "%2e%2e", "1%2Fsecrets", "a%00"],
)
def test_what_a_server_that_decodes_first_would_read_as_another_request_is_refused(value):
    for template in ("/items/{id}", "/items/{+id}"):
        with pytest.raises(TargetError):
            filled(template, {"id": value}, ("id",))


@pytest.mark.parametrize("value", ["1/secrets", "group/project", "../1", "1/..", "/1"])
def test_one_segment_stays_one_for_a_server_that_decodes_before_it_routes(value):
    with pytest.raises(TargetError):
        filled("/items/{id}", {"id": value})
    with pytest.raises(TargetError):
        filled("/items/{id}", {"id": value}, ("other",))


def test_a_slash_is_part_of_a_value_where_the_contract_says_so():
    assert filled("/projects/{id}", {"id": "group/project"}, ("id",)) == ("/projects/group%2Fproject", {})
    for value in ("group/../x", "group//x", "/x", "x/", "."):
        with pytest.raises(TargetError):
            filled("/projects/{id}", {"id": value}, ("id",))


@pytest.mark.parametrize("value", ["1", "team-a", "a b", "caf\u00e9", "50%", "a:b@c", "a..b", 17])
def test_an_ordinary_value_is_one_segment(value):
    path, _ = filled("/items/{id}", {"id": value})
    assert parse_template("/items/{id}").match(parse_path(path.encode())) == {"id": str(value)}


def test_a_parameter_that_is_missing_is_refused():
    with pytest.raises(TargetError):
        filled("/a/{x}", {})
