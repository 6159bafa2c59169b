"""Which two templates nobody could tell apart, which schemas allow a slash, and where the bounds of a path are."""

import pytest

from bywire.gateway.request_path import (
    PATH_BYTES_MAX,
    SEGMENTS_MAX,
    ambiguous,
    filled,
    parse_path,
    parse_template,
    slashed,
)
from bywire.model.errors import ConfigError, EvidenceError, TargetError


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("/", "/", True),
        ("/", "/a", False),
        ("/", "/{+r}", False),
        ("/a", "/a", True),
        ("/a", "/b", False),
        ("/a", "/a/b", False),
        ("/a", "/{x}", False),
        ("/x", "/{x}", False),
        ("/{x}", "/{y}", True),
        ("/{x}", "/{+r}", False),
        ("/{+r}", "/{+s}", True),
        ("/{+r}", "/a/b", False),
        ("/a/a", "/a/{x}", False),
        ("/a/a", "/{+r}/b", False),
        ("/a/{x}", "/{y}/b", True),
        ("/a/{x}", "/b/{y}", False),
        ("/a/{x}", "/{y}/{z}", False),
        ("/{+r}/a", "/a/{+s}/a", False),
        ("/{+r}/a", "/{x}/b/{y}", True),
        ("/{+r}/a", "/b/{+s}", True),
        ("/{+r}/a", "/{x}/a", False),
    ],
)
def test_two_templates_are_ambiguous_when_a_path_fits_both_and_neither_is_more_specific(one, other, both):
    assert ambiguous(parse_template(one), parse_template(other)) is both
    assert ambiguous(parse_template(other), parse_template(one)) is both


@pytest.mark.parametrize(
    ("text", "names"),
    [("/", ()), ("/a/b", ()), ("/a/{x}", ("x",)), ("/{x}/a/{+rest}/{y.z-1}", ("x", "rest", "y.z-1"))],
)
def test_a_template_says_which_parameters_it_holds(text, names):
    assert parse_template(text).parameters == names


@pytest.mark.parametrize(
    ("schema", "slashes"),
    [
        ({"type": "string", "pattern": "^[a-z]+/[a-z]+$"}, True),
        ({"pattern": "^/$"}, True),
        ({"pattern": "^[a-z]+$"}, False),
        ({"pattern": "[a-z]+/[a-z]+$"}, False),
        ({"pattern": "^[a-z]+/[a-z]+"}, False),
        ({"pattern": "^a/b\\$"}, False),
        ({"pattern": "^a|/b$"}, False),
        ({"pattern": "^a/b|c$"}, False),
        ({"pattern": 5}, False),
        ({"pattern": None}, False),
        ({"description": "^a/b$"}, False),
        ({}, False),
        (True, False),
        (None, False),
    ],
)
def test_only_a_pattern_over_the_whole_value_that_names_a_slash_allows_one(schema, slashes):
    assert slashed(schema) is slashes


# --- bounds ---


def test_a_template_has_as_many_segments_as_a_path_may_have():
    assert SEGMENTS_MAX == 32
    widest = "/a" * SEGMENTS_MAX
    assert parse_template(widest).match(parse_path(widest.encode())) == {}
    with pytest.raises(ConfigError, match="at most 32 segments"):
        parse_template(widest + "/a")
    with pytest.raises(EvidenceError, match="more than 32 segments"):
        parse_path(f"{widest}/a".encode())


def test_a_path_is_bounded_to_the_byte():
    assert PATH_BYTES_MAX == 2_048
    longest = b"/" + b"a" * (PATH_BYTES_MAX - 1)
    assert parse_path(longest) == ("a" * (PATH_BYTES_MAX - 1),)
    with pytest.raises(EvidenceError):
        parse_path(longest + b"a")


# --- refusals ---


@pytest.mark.parametrize("text", ["/.", "/a/.", "/./a", "/a/../b"])
def test_a_segment_that_a_server_would_resolve_is_none(text):
    with pytest.raises(ConfigError, match="is neither one word nor one"):
        parse_template(text)


def test_each_refusal_says_whose_fault_it_is():
    with pytest.raises(ConfigError) as config:
        parse_template("a")
    with pytest.raises(EvidenceError) as path:
        parse_path(b"/a//b")
    with pytest.raises(TargetError) as value:
        filled("/a/{x}", {"x": ".."})
    refused = [(caught.value.code, bool(caught.value.next_step)) for caught in (config, path, value)]
    assert refused == [("route_malformed", True), ("path_malformed", True), ("unsupported", True)]


@pytest.mark.parametrize(("length", "repeated"), [(119, 119), (120, 120), (121, 120), (5_000, 120)])
def test_a_refusal_repeats_the_beginning_of_a_template(length, repeated):
    with pytest.raises(ConfigError) as caught:
        parse_template(" " * length)
    assert f"the path {' ' * repeated!r} cannot be matched" in caught.value.message
