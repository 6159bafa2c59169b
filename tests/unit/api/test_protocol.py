"""Where a request ends: one reading, or none."""

import pytest

from bywire.api.protocol import ambiguous

LENGTH, CODING = b"content-length", b"transfer-encoding"


@pytest.mark.parametrize(
    "headers", [[], [(b"host", b"a")], [(LENGTH, b"0")], [(LENGTH, b"17"), (b"x", b"y")], [(CODING, b"chunked")]]
)
def test_one_reading(headers):
    assert not ambiguous(headers, "1.1")


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([(LENGTH, b"5"), (CODING, b"chunked")], "1.1"),
        ([(CODING, b"chunked"), (LENGTH, b"5")], "1.1"),
        ([(LENGTH, b"5"), (LENGTH, b"5")], "1.1"),
        ([(CODING, b"chunked"), (CODING, b"chunked")], "1.1"),
        ([(LENGTH, b"")], "1.1"),
        ([(LENGTH, b"+5")], "1.1"),
        ([(LENGTH, b"-5")], "1.1"),
        ([(LENGTH, b"5, 5")], "1.1"),
        ([(LENGTH, b"0x5")], "1.1"),
        ([(LENGTH, b"\xb2")], "1.1"),
        ([(CODING, b"identity")], "1.1"),
        ([(CODING, b"gzip, chunked")], "1.1"),
        ([(CODING, b"Chunked")], "1.1"),
        ([(CODING, b"\x0bchunked")], "1.1"),
        ([(CODING, b"chunked")], "1.0"),
    ],
)
def test_more_than_one(headers, version):
    assert ambiguous(headers, version)
