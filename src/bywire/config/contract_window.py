"""`window` of a contract: which parameters say from when to when, and how many seconds may lie between them.

What is a limit of lines to an agent is a scan of everything to a server, so that a bound on the answer bounds no cost.
"""

from collections.abc import Mapping
from typing import Any

from bywire.config.reading import Node, read_optional
from bywire.model.connected import TimeWindow

SECONDS_MAX = 31_622_400


def read_window(node: Node, schema: Mapping[str, Any]) -> TimeWindow:
    """`schema` is the tool's, whose own properties are meant. Raises FieldError naming the first fault."""
    known = sorted(schema.get("properties", {}))
    fields = node.fields(("from", "to", "seconds"), required=("from", "seconds"))
    window = TimeWindow(
        since=fields["from"].choice(known),
        until=read_optional(fields, "to", lambda item: item.choice(known), ""),
        seconds=fields["seconds"].integer(1, SECONDS_MAX, "seconds"),
    )
    if window.since == window.until:
        raise fields["to"].refuse("a stretch of time has two ends", "name another parameter, or leave out `to`: now")
    return window
