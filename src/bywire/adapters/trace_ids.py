"""New ids of traces and spans."""

import os

from bywire.model.trace_context import TraceContext, heard


def begun(traceparent: str) -> TraceContext:
    """The span of a new call: in its caller's trace, or in one of its own."""
    parent = heard(traceparent) if traceparent else None
    if parent is not None:
        return TraceContext(parent.trace_id, os.urandom(8).hex(), parent.flags)
    drawn = os.urandom(24).hex()
    return TraceContext(drawn[:32], drawn[32:])
