"""Server-sent events: cut anywhere they are the same, and nothing makes them large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters.mcp_events import Event, EventParser, event
from bywire.model.errors import TargetError

STREAM = (
    b"\xef\xbb\xbfid: 1\r\ndata:\r\n\r\n: a comment\n\ndata: a\rdata: b\r\revent: message\ndata: {}\n\n"
    b"event: other\ndata: skipped\n\nretry: 50\nid: 7\ndata:z\ndata: \n\nunknown: 1\n\nid\n\n"
)
EVENTS = [Event(b"", "1"), Event(b"a\nb", "1"), Event(b"{}", "1"), Event(b"z\n", "7"), Event(b"", "")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_a_stream_is_cut_makes_no_difference(cuts):
    parser, found, at = EventParser(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += parser.parse_part(STREAM[at:cut])
        at = cut
    assert found == EVENTS
    assert parser.retry_ms == 50


@given(st.binary(max_size=200).filter(lambda data: b"\n" not in data and b"\r" not in data and data))
def test_what_is_written_is_read(data):
    assert EventParser().parse_part(event(data)) == [Event(data)]


@pytest.mark.parametrize("part", [b"data: x", b"data: " + b"x" * 100 + b"\n", b"x" * 100, b": " + b"c" * 200])
def test_an_event_without_end_is_refused(part):
    parser = EventParser(most=1_000)
    with pytest.raises(TargetError):
        for _ in range(2_000):
            parser.parse_part(part)


def test_many_comments_cost_nothing():
    parser = EventParser(most=1_000)
    for _ in range(5_000):
        assert parser.parse_part(b": still here\n\n") == []


def test_a_server_does_not_choose_how_long_is_waited():
    parser = EventParser()
    parser.parse_part(b"retry: 999999999\n\nretry: -1\n\nretry: 1e9\n\n")
    assert parser.retry_ms == 60_000
