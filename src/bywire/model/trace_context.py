"""W3C trace context: which trace a call belongs to, as its caller says, and what upstreams are told of it.

A traceparent is text from outside: what is not one is as if nothing had been said, and never an error of the call.
"""

import re
from contextvars import ContextVar

import msgspec

SAMPLED = 1
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?", re.ASCII)
_CHARS_MAX = 256

# The traceparent of the call that this thread carries out, for executors to pass on; empty outside of calls.
PASSED_ON: ContextVar[str] = ContextVar("bywire-traceparent", default="")


class TraceContext(msgspec.Struct, frozen=True):
    """A position in a trace; ids in lower-case hex, of 16 and 8 bytes."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    def __str__(self) -> str:
        """As a traceparent of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def heard(traceparent: str) -> TraceContext | None:
    """What a traceparent says (W3C Trace Context, 3.2); None for one that says nothing valid."""
    match = _FORM.fullmatch(traceparent) if len(traceparent) <= _CHARS_MAX else None
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    if not (match[2].strip("0") and match[3].strip("0")):
        return None
    # Of a later version only the bit that this one knows is passed on.
    return TraceContext(match[2], match[3], int(match[4], 16) & SAMPLED)
