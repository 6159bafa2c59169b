"""A credential is taken out of answers in whatever form a target repeats it."""

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.credential_forms import TAKEN_OUT, forms, taken_out, tallied, without
from bywire.gateway.ports import Credential

PLAIN = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
ODD = 'p&ss/w+rd"=\\<tok>%41'


def credential(value):
    return Credential(name="c", value=value, origin="https://api.example:443", expires_at_ms=0, minted=True)


REPEATED = {
    "raw": lambda v: v,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64url": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    "basic": lambda v: base64.b64encode(f"user:{v}".encode()).decode(),
    "basic, longer": lambda v: base64.b64encode(f"x-access-token:{v}\n".encode()).decode(),
    "basic, one more": lambda v: base64.b64encode(f"ab:{v}!".encode()).decode(),
    "percent": lambda v: quote(v, safe=""),
    "form": quote_plus,
    "percent, lower": lambda v: "".join(f"%{b:02x}" for b in v.encode()),
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "html": html.escape,
    "html, between tags": lambda v: html.escape(v, quote=False),
    "json": lambda v: json.dumps(v),
    "json, slashes": lambda v: json.dumps(v).replace("/", "\\/"),
}


@pytest.mark.parametrize("value", [PLAIN, ODD])
@pytest.mark.parametrize("form", REPEATED)
def test_a_repeated_credential_is_taken_out(form, value):
    text = f"before {REPEATED[form](value)} after"
    left = taken_out(text, credential(value))
    assert TAKEN_OUT in left
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert value not in left
    # What is left of an encoded text says at most a byte or two of its edges.
    assert len(left) <= len("before  after") + len(TAKEN_OUT) + len(REPEATED[form]("")) + 30


WHOLE = [name for name in REPEATED if not name.startswith(("basic", "base64", "json"))]


@pytest.mark.parametrize("value", [PLAIN, ODD])
@pytest.mark.parametrize("form", WHOLE)
def test_of_a_form_that_stands_alone_nothing_is_left(form, value):
    assert taken_out(f"before {REPEATED[form](value)} after", credential(value)) == f"before {TAKEN_OUT} after"


@pytest.mark.parametrize("value", [PLAIN, ODD])
@pytest.mark.parametrize("form", ["json", "json, slashes"])
def test_what_is_left_of_json_is_json(form, value):
    text = f'{{"token": {REPEATED[form](value)}, "kind": "x"}}'
    assert json.loads(taken_out(text, credential(value))) == {"token": TAKEN_OUT, "kind": "x"}


@pytest.mark.parametrize("length", [8, 9, 10])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_of_base64_only_its_padding_is_left(encode, length):
    value = "?~>" * 3 + "~"
    text = encode(value[:length].encode()).decode()
    assert taken_out(text, credential(value[:length])) == TAKEN_OUT + "=" * (-length % 3)


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [(0, 0, (0, 0)), (3, 3, (4, 4)), (1, 0, (2, 3)), (2, 0, (3, 2)), (1, 2, (2, 3)), (2, 1, (3, 2)), (4, 3, (6, 7))],
)
def test_of_base64_around_it_only_the_characters_that_it_shares_are_left(before, after, left):
    value = "token-123"
    text = base64.b64encode(b"u" * before + value.encode() + b"v" * after).decode()
    kept = text[: left[0]] + TAKEN_OUT + text[len(text) - left[1] :]
    assert taken_out(text, credential(value)) == kept


def test_it_is_taken_out_of_keys_and_of_what_is_nested():
    value = {"a": [{"b": f"x{PLAIN}"}, 7, None, True], PLAIN: (PLAIN, 1.5)}
    assert without(value, credential(PLAIN)) == {
        "a": [{"b": f"x{TAKEN_OUT}"}, 7, None, True],
        TAKEN_OUT: [TAKEN_OUT, 1.5],
    }


def test_without_a_credential_nothing_changes():
    assert without({"a": ["b"]}, None) == {"a": ["b"]}
    assert without("text", credential("")) == "text"


def test_a_short_credential_is_matched_as_it_is_and_in_no_other_form():
    assert forms("abc") == ("abc",)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60),
    st.binary(max_size=7),
    st.binary(max_size=7),
)
def test_base64_of_any_text_around_it_leaves_nothing(value, before, after):
    text = base64.b64encode(before + value.encode() + after).decode()
    left = taken_out(text, credential(value))
    assert TAKEN_OUT in left
    # At most the characters that share bits with what stands around it.
    rest = left.replace(TAKEN_OUT, "").replace("=", "")
    assert len(rest) <= (len(before) * 8 + 5) // 6 + 1 + (len(after) * 8 + 5) // 6 + 2


def test_a_megabyte_is_searched_quickly():
    text = "log line without anything\n" * 40_000
    began = time.process_time()
    taken_out(text, credential(PLAIN))
    assert time.process_time() - began < 0.5


def test_what_is_taken_out_is_counted_wherever_it_happens_during_the_call():
    one = credential(PLAIN)
    with tallied() as counts:
        kept = without({"a": [f"{PLAIN} {PLAIN}"], PLAIN: "[credential]"}, one)
        taken_out(base64.b64encode(PLAIN.encode()).decode(), one)
        with tallied() as inner:
            without(PLAIN, one)
        without([kept, PLAIN], one)
    assert (dict(counts), dict(inner)) == ({"credential": 5}, {"credential": 1})
    without(PLAIN, one)
    assert dict(counts) == {"credential": 5}
