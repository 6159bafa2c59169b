"""An upstream added to the text of gateway.yaml; what is there, comments too, stays as it is."""

import re
from typing import Any

from bywire.config.yaml_text import flow

HEADER = "# What this gateway leads to. Secrets are named here, never written.\n"
_KEY = re.compile(r"upstreams:[ \t]*(?:#.*)?$")
_EMPTY = re.compile(r"upstreams:[ \t]*\[[ \t]*\][ \t]*(?:#.*)?$")


def with_upstream(text: str, entry: dict[str, Any]) -> str:
    """`text` with the upstream at the end of its list, which is made when there is none.

    The caller reads the result again: a layout that this does not see through yields a file that says something else.
    """
    line = f"  - {flow(entry)}"
    lines = (text or f"{HEADER}version: 1\n").rstrip().splitlines()
    at = next((number for number, one in enumerate(lines) if _KEY.match(one) or _EMPTY.match(one)), None)
    if at is None:
        return "\n".join((*lines, "upstreams:", line, ""))
    lines[at] = "upstreams:" if _EMPTY.match(lines[at]) else lines[at]
    end = at + 1
    for number in range(at + 1, len(lines)):
        if lines[number].strip() and not lines[number].startswith((" ", "-", "#")):
            break
        if lines[number].lstrip().startswith("-"):
            line = f"{lines[number][: len(lines[number]) - len(lines[number].lstrip())]}- {flow(entry)}"
        end = number + 1 if lines[number].strip() and not lines[number].startswith("#") else end
    return "\n".join((*lines[:end], line, *lines[end:], ""))
