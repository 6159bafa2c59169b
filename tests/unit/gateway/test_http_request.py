"""The one HTTP request that a call is: each parameter in its place, and nothing sent that its place cannot hold."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.http_request import HEADER_VALUE, HttpRequest, check_sendable, request_of
from bywire.model.connection import FORM_BODY, Route
from bywire.model.errors import TargetError

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def refusal(route, values):
    with pytest.raises(TargetError) as caught:
        request_of(route, values)
    with pytest.raises(TargetError) as checked:
        check_sendable(route, values)
    assert checked.value.as_json() == caught.value.as_json()
    assert (caught.value.code, bool(caught.value.next_step)) == ("unsupported", True)
    return caught.value.message


@pytest.mark.parametrize(
    ("route", "values", "made"),
    [
        (Route("GET", "/a"), {}, HttpRequest("/a", {}, None)),
        (Route("GET", "/a/{x}"), {"x": "b c", "left": 1}, HttpRequest("/a/b%20c", {}, None)),
        (Route("GET", "/a", query=("q", "p")), {"p": 1, "q": "x&y"}, HttpRequest("/a?q=x%26y&p=1", {}, None)),
        (Route("GET", "/a", body=FORM_BODY), {"left": {"deep": None}}, HttpRequest("/a", {}, None)),
        (Route("GET", "/a", query=("q",)), {}, HttpRequest("/a", {}, None)),
        (Route("GET", "/a", query=("q",)), {"q": []}, HttpRequest("/a", {}, None)),
        (Route("GET", "/a", query=("q",)), {"q": [1, True, "x"]}, HttpRequest("/a?q=1&q=true&q=x", {}, None)),
        (Route("GET", "/a", headers={"if-match": "tag"}), {"tag": "v1"}, HttpRequest("/a", {"If-Match": "v1"}, None)),
        (Route("GET", "/a", headers={"if-match": "tag"}), {}, HttpRequest("/a", {}, None)),
        (Route("POST", "/a"), {}, HttpRequest("/a", {"Content-Type": JSON}, b"{}")),
        (Route("DELETE", "/a"), {"x": None}, HttpRequest("/a", {"Content-Type": JSON}, b'{"x":null}')),
        (
            Route("PUT", "/a/{x}", query=("q",), headers={"x-trace": "t"}),
            {"x": 1, "q": False, "t": 7, "deep": {"y": [1]}},
            HttpRequest("/a/1?q=false", {"X-Trace": "7", "Content-Type": JSON}, b'{"deep":{"y":[1]}}'),
        ),
        (Route("POST", "/a", body=FORM_BODY), {}, HttpRequest("/a", {"Content-Type": FORM}, b"")),
        (
            Route("POST", "/a", body=FORM_BODY, headers={"x": "h"}),
            {"h": "v", "b": ["x y", 2], "c": "\u00e9"},
            HttpRequest("/a", {"X": "v", "Content-Type": FORM}, b"b=x+y&b=2&c=%C3%A9"),
        ),
    ],
)
def test_each_parameter_travels_in_its_place(route, values, made):
    assert request_of(route, values) == made


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\tb ~", "a\tb ~"),
        ("\x80\xff", "\x80\xff"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        ("a\r\nx-evil: 1", None),
        ("a\nb", None),
        ("a\x00", None),
        ("\x1f", None),
        ("\x7f", None),
        (" v", None),
        ("v ", None),
        ("v\t", None),
        (" ", None),
        ("\u0100", None),
        ("\u2028", None),
        (None, None),
        (["a"], None),
        ({"a": 1}, None),
    ],
)
def test_a_header_holds_one_line_of_plain_text(value, sent):
    route = Route("GET", "/a", headers={"x-tag": "tag"})
    if sent is None:
        assert refusal(route, {"tag": value}) == "tag cannot travel in a header"
    else:
        assert request_of(route, {"tag": value}).headers == {"X-Tag": sent}


@pytest.mark.parametrize("value", [None, {"a": 1}, [["deep"]], [None], [{"a": 1}]])
def test_a_query_and_a_form_hold_plain_values_and_lists_of_them(value):
    for route in (Route("GET", "/a", query=("v",)), Route("POST", "/a", body=FORM_BODY)):
        assert refusal(route, {"v": value}) == "v cannot travel in a query or form"


def test_a_refusal_repeats_no_value():
    secret = "ghp_" + "a1B2" * 9
    route = Route("POST", "/a/{x}", query=("q",), headers={"x-tag": "tag"})
    for values in ({"x": f"../{secret}"}, {"x": "a", "q": {secret: 1}}, {"x": "a", "tag": f"{secret}\n"}):
        assert secret not in refusal(route, values)


def test_a_slash_stays_in_a_segment_only_where_the_route_says_so():
    assert request_of(Route("GET", "/a/{x}", with_slashes=("x",)), {"x": "b/c"}).target == "/a/b%2Fc"
    assert request_of(Route("GET", "/a/{+x}"), {"x": "b/c"}).target == "/a/b/c"
    assert refusal(Route("GET", "/a/{x}"), {"x": "b/c"}) == "x cannot be part of a path"
    assert refusal(Route("GET", "/a/{x}"), {}) == "x cannot be part of a path"


def test_what_was_decided_on_is_left_as_it_is():
    values = {"x": "a", "q": [1], "t": "v", "rest": {"deep": [1]}}
    kept = json.loads(json.dumps(values))
    request_of(Route("POST", "/a/{x}", query=("q",), headers={"x-t": "t"}), values)
    assert values == kept


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=20), max_size=3), st.sampled_from(["GET", "POST"]))
def test_a_query_says_what_the_parameters_say_and_nothing_else(values, method):
    made = request_of(Route(method, "/x", query=("a", "b", "c")), values)
    parts = urlsplit(made.target)
    assert (parts.path, parts.fragment, made.body) == ("/x", "", None if method == "GET" else b"{}")
    assert dict(parse_qsl(parts.query, keep_blank_values=True)) == values


@given(st.text(max_size=8))
def test_a_header_value_never_ends_its_line(text):
    if HEADER_VALUE.fullmatch(text):
        assert not set(text) & {"\r", "\n", "\0"}
        text.encode("latin-1")
