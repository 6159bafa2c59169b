"""What is written in one turn of the loop leaves in one piece, in order, and nothing of it is lost or kept for ever."""

import asyncio

import pytest

from bywire.api.joined_writes import HELD_BYTES_MAX, JoinedWrites


class Wire:
    """A transport that remembers what reached it."""

    def __init__(self):
        self.said = []
        self.closing = False

    def write(self, data):
        assert not self.closing, "a closed transport takes nothing"
        self.said.append(data)

    def close(self):
        self.said.append("closed")
        self.closing = True

    def abort(self):
        self.said.append("aborted")
        self.closing = True

    def is_closing(self):
        return self.closing


def after_a_turn(do):
    """(what had reached the wire when `do` returned, what had one turn later)."""

    async def turn():
        wire = Wire()
        do(JoinedWrites(wire, asyncio.get_running_loop()))
        at_once = list(wire.said)
        await asyncio.sleep(0)
        return at_once, wire.said

    return asyncio.run(turn())


def said(*parts):
    def do(joined):
        for part in parts:
            getattr(joined, part)() if isinstance(part, str) else joined.write(part)

    return do


@pytest.mark.parametrize(
    ("parts", "at_once", "then"),
    [
        ([b"head", b"body"], [], [b"headbody"]),
        ([b"head"], [], [b"head"]),
        ([b"bye", "close"], [b"bye", "closed"], [b"bye", "closed"]),
        (["close"], ["closed"], ["closed"]),
        ([b"bye", "abort"], ["aborted"], ["aborted"]),
    ],
)
def test_one_turn(parts, at_once, then):
    assert after_a_turn(said(*parts)) == (at_once, then)


def test_two_turns_are_two_pieces():
    async def turns():
        wire = Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop())
        joined.write(b"one")
        await asyncio.sleep(0)
        joined.write(b"two")
        await asyncio.sleep(0)
        return wire.said

    assert asyncio.run(turns()) == [b"one", b"two"]


def test_what_never_waits_does_not_pile_up():
    part = b"x" * (HELD_BYTES_MAX // 4)
    at_once, then = after_a_turn(said(part, part, part, part, part))
    assert at_once == [4 * part]
    assert then == [4 * part, part]


def test_a_little_more_than_nothing_after_a_full_piece_still_leaves():
    """The count begins again with each piece."""
    at_once, then = after_a_turn(said(b"x" * HELD_BYTES_MAX, b"a", b"b"))
    assert at_once == [b"x" * HELD_BYTES_MAX]
    assert then == [b"x" * HELD_BYTES_MAX, b"ab"]


def test_the_other_side_went_meanwhile():
    async def turn():
        wire = Wire()
        JoinedWrites(wire, asyncio.get_running_loop()).write(b"late")
        wire.closing = True
        await asyncio.sleep(0)
        return wire.said

    assert asyncio.run(turn()) == []


def test_everything_else_is_the_transports_own():
    async def asked():
        wire = Wire()
        wire.get_extra_info = lambda name: name.upper()
        return JoinedWrites(wire, asyncio.get_running_loop()).get_extra_info("peername")

    assert asyncio.run(asked()) == "PEERNAME"
