"""Checking one file that a person wrote, by itself: as its reader reads it when it counts, and without a workspace.

What lies in other files is not seen: a tool that no contract describes, two routes that could be one request.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bywire.adapters import agent_policy_file, yaml_file
from bywire.config import agent_policy, agents_config, contract_files, gateway_config, operator_config, service_intent
from bywire.model.errors import ConfigError
from bywire.wiring.identities import TOOLS

_BYTES_MAX = {"contract": contract_files.BYTES_MAX, "agent-policy": agent_policy.BYTES_MAX}


def check_file(kind: str, place: Path) -> None:
    """`kind` is the name of its schema. Raises ConfigError with line and column of the first fault."""
    bytes_max = _BYTES_MAX.get(kind, yaml_file.BYTES_MAX)
    data, source = yaml_file.read_bytes(place, bytes_max=bytes_max), str(place)
    if kind == "agent-policy":
        agent_policy_file.parse(data, source, agent_policy.parse)
        return
    yaml_file.parse(data, source, _reader(kind, place), bytes_max=bytes_max)


def _reader(kind: str, place: Path) -> Callable[[Any, str], Any]:
    if kind == "agents":
        return partial(agents_config.parse, people=_people_beside(place), tools=TOOLS)
    if kind == "contract":
        return partial(contract_files.parse, upstream=place.stem)
    readers: dict[str, Callable[[Any, str], Any]] = {
        "bywire": service_intent.parse,
        "gateway": gateway_config.parse,
        "operator": operator_config.parse,
    }
    return readers[kind]


def _people_beside(place: Path) -> frozenset[str]:
    """The people whom the agents' owners must be among."""
    operator = place.parent / operator_config.FILE_NAME
    if not operator.exists():
        raise ConfigError(
            f"{place}: owners are people of {operator_config.FILE_NAME}, which is not beside it",
            code="file_missing",
            next_step=f"check it where {operator_config.FILE_NAME} lies",
        )
    found = yaml_file.parse(yaml_file.read_bytes(operator), str(operator), operator_config.parse)
    return frozenset(person.id for person in found.people)
