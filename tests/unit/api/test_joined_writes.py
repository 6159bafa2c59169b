"""A head leaves in one piece with what follows it; what follows nothing leaves at the end; nothing is lost."""

import pytest

from bywire.api.joined_writes import JoinedWrites

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire:
    """A transport that remembers what reached it, each piece with a bar behind it."""

    def __init__(self):
        self.said = b""
        self.closing = False

    def write(self, data):
        assert not self.closing, "a closed transport takes nothing"
        self.said += data + b"|"

    def writelines(self, parts):
        self.write(b"".join(parts))

    def close(self):
        self.said += b"closed"
        self.closing = True

    def abort(self):
        self.said += b"aborted"
        self.closing = True

    def is_closing(self):
        return self.closing


def told(*parts):
    """What reached the wire: bytes are written, names are called."""
    wire = Wire()
    joined = JoinedWrites(wire)
    for part in parts:
        getattr(joined, part)() if isinstance(part, str) else joined.write(part)
    return wire.said


@pytest.mark.parametrize(
    ("parts", "reached"),
    [
        ([b"head"], b""),
        ([b"head", b"body"], b"headbody|"),
        ([b"head", b""], b"head|"),
        ([b"head", b"one", b"two"], b"headone|two|"),
        ([b"head", "ended"], b"head|"),
        ([b"head", b"body", "ended"], b"headbody|"),
        ([b"head", b"body", "ended", b"next"], b"headbody|"),
        ([b"head", b"body", "ended", b"next", b"body"], b"headbody|nextbody|"),
        ([CONTINUE], CONTINUE + b"|"),
        ([CONTINUE, b"head", b"body"], CONTINUE + b"|headbody|"),
        ([b"head", CONTINUE], b"head" + CONTINUE + b"|"),
        (["ended"], b""),
        (["ended", b"head", b"body"], b"headbody|"),
        ([b"bye", "close"], b"bye|closed"),
        (["close"], b"closed"),
        ([b"bye", "abort"], b"aborted"),
        ([b"bye", "abort", "ended"], b"aborted"),
    ],
)
def test_what_reaches_the_other_side(parts, reached):
    assert told(*parts) == reached


def test_the_other_side_went_meanwhile():
    wire = Wire()
    joined = JoinedWrites(wire)
    joined.write(b"late")
    wire.closing = True
    joined.ended()
    assert wire.said == b""


def test_everything_else_is_the_transports_own():
    wire = Wire()
    wire.get_extra_info = lambda name: name.upper()
    assert JoinedWrites(wire).get_extra_info("peername") == "PEERNAME"
