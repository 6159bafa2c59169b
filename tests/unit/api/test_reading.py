"""A body is read once and soon, or refused; whatever it says, it holds nobody up."""

import time

import pytest

from bywire.api.errors import RefusedError
from bywire.api.reading import DEPTH_MAX, decoded

SIZE = 1_048_576
# A search that is quadratic takes minutes for this much; collecting garbage in a large process takes a second.
SECONDS_MAX = 8.0
DEEP = b"[" * (DEPTH_MAX + 1)
UNITS = [
    b'\\"',
    b'"',
    b'a"',
    b'"a',
    b"\\",
    b"\\u0041",
    b"[",
    b"{",
    b'{"a":',
    b"[]",
    b"],[",
    b'"",',
    b"\n",
    b" ",
    b"1,",
    b'"\\"",',
]


@pytest.mark.parametrize("before", [b"", b'"', DEEP, DEEP + b'"', b'["', b'{"a":"'])
@pytest.mark.parametrize("unit", UNITS)
def test_no_body_makes_reading_slow(unit, before):
    body = (before + unit * SIZE)[:SIZE]
    began = time.thread_time()
    try:
        decoded(body, object)
    except RefusedError as refused:
        assert refused.said["code"] == "invalid_parameters"
    assert time.thread_time() - began < SECONDS_MAX


@pytest.mark.parametrize("open_, close", [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_nests_deeper_than_it_may_is_refused(open_, close):
    inner = b'"[[[{{{\\"[["'
    assert decoded(open_ * DEPTH_MAX + inner + close * DEPTH_MAX, object)
    with pytest.raises(RefusedError) as refused:
        decoded(open_ * (DEPTH_MAX + 1) + inner + close * (DEPTH_MAX + 1), object)
    assert "nests deeper than 48" in refused.value.said["reason"]


def test_brackets_in_texts_are_no_nesting():
    assert decoded(b'["' + b"[{" * 1_000 + b'\\"[", "\\\\", [1]]', list)[2] == [1]
