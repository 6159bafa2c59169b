"""One file of `agent-policies/`: YAML, or JSON by its suffix. What two readers could take differently is refused.

A JSON file has to be JSON, with each member once, and is then read by the one YAML reader, which knows the places of
what is wrong in it. In JSON a tab is never part of a text: a space in its place changes neither value nor column.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from bywire.adapters import yaml_file
from bywire.config import agent_policy, json_document

T = TypeVar("T")


def parse(data: bytes, source: str, reader: Callable[[Any, str], T]) -> T:
    """`reader(value, source)` over the one document. Raises ConfigError with the place of the first fault."""
    if source.endswith(agent_policy.JSON_SUFFIX):
        json_document.load(data, source, bytes_max=agent_policy.BYTES_MAX)
        data = data.replace(b"\t", b" ")
    return yaml_file.parse(data, source, reader, bytes_max=agent_policy.BYTES_MAX, aliases_max=0)
