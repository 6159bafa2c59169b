"""Message heads: what may pass, what is refused, and that no input does anything else."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters import router_http as http

HOST = b"Host: x\r\n"


def request(*lines, first=b"GET / HTTP/1.1"):
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(raw):
    for parse in (http.parse_request_head, lambda head: http.parse_response_head(head, b"GET")):
        try:
            parse(raw + b"\r\n\r\n")
        except http.MessageError as error:
            assert 400 <= error.status <= 505


@given(
    st.lists(st.sampled_from([b"Content-Length: 3", b"Content-Length: 4", b"Transfer-Encoding: chunked"]), max_size=3)
)
def test_a_length_is_said_once_or_refused(lines):
    if len(lines) > 1:
        with pytest.raises(http.MessageError):
            http.parse_request_head(request(*lines))
    else:
        expected = {b"Content-Length: 3": 3, b"Content-Length: 4": 4, b"Transfer-Encoding: chunked": -1}
        assert http.parse_request_head(request(*lines)).length == (expected[lines[0]] if lines else 0)


def test_rows_of_what_is_refused():
    rows = [
        (request(b"Bad Name: x"), 400),
        (request(b"X: a\x00b"), 400),
        (request(b"Host: y"), 400),
        (request(b"Content-Length: 0x10"), 400),
        (request(b"Content-Length: 1, 1"), 400),
        (request(b"Transfer-Encoding: identity"), 400),
        (request(first=b"GET  / HTTP/1.1"), 400),
        (request(first=b"GET /a b HTTP/1.1"), 400),
        (request(first=b"GET * HTTP/1.1"), 400),
        (request(first=b"CONNECT host:443 HTTP/1.1"), 400),
        (request(first=b"GET / HTTP/1.2"), 505),
        (request(*[b"X: y"] * 200), 431),
    ]
    for raw, status in rows:
        with pytest.raises(http.MessageError) as caught:
            http.parse_request_head(raw)
        assert caught.value.status == status, raw


def test_only_end_to_end_headers_travel():
    head = http.parse_request_head(
        request(
            b"Connection: close, X-Hop, Host",
            b"X-Hop: 1",
            b"Keep-Alive: 5",
            b"X-Forwarded-For: 6.6.6.6",
            b"X-Bywire-Arm: canary",
            b"Accept: */*",
        )
    )
    assert http.end_to_end(head.headers, request=True) == [(b"host", b"x"), (b"accept", b"*/*")]
    assert not head.keep_alive


def test_bodies_that_responses_do_not_have():
    rows = [(b"HEAD", 200, 0), (b"GET", 204, 0), (b"GET", 304, 0), (b"GET", 200, 7), (b"GET", 100, 0)]
    for method, status, length in rows:
        raw = b"HTTP/1.1 %d \r\nContent-Length: 7\r\n\r\n" % status
        assert http.parse_response_head(raw, method).length == length
    assert http.parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n", b"GET").length == -2


async def read_all(raw, length):
    reader = asyncio.StreamReader(limit=http.HEAD_BYTES_MAX)
    reader.feed_data(raw)
    reader.feed_eof()
    return await http.read_body(reader, length)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_chunks_add_up_to_the_body(chunks):
    raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert asyncio.run(read_all(raw, -1)) == b"".join(chunks)


@given(st.binary(max_size=60))
def test_a_malformed_or_short_chunked_body_is_refused_or_read(raw):
    try:
        asyncio.run(read_all(raw, -1))
    except http.MessageError as error:
        assert error.status in (400, 413)


def test_bodies_are_bounded():
    for raw, length in ((b"", http.BODY_BYTES_MAX + 1), (b"fffffff\r\n", -1), (b"x" * (http.BODY_BYTES_MAX + 1), -2)):
        with pytest.raises(http.MessageError) as caught:
            asyncio.run(read_all(raw, length))
        assert caught.value.status == 413
