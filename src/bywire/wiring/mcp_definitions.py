"""What an MCP upstream says of its tools now, beside what was approved of them."""

from typing import Any

import msgspec

from bywire.adapters.mcp_upstream import REQUESTS, McpExecutor
from bywire.gateway.contract import Contract
from bywire.gateway.tool_definition import Suspicion, difference, suspicions
from bywire.model.errors import ConfigError
from bywire.wiring.door import Joined
from bywire.wiring.workspace import Workspace

OFFERED, QUARANTINED, UNLISTED = "offered", "quarantined", "unlisted"


class Examined(msgspec.Struct, frozen=True):
    """One tool. `state` is offered, quarantined, or unlisted (the upstream has it and no contract does).

    `why` says what keeps it from being offered; `approved` and `found` are digests, empty where there is none;
    `changes` are the lines of a diff from what the contract says to what the upstream says.
    """

    tool: str
    state: str
    why: str
    approved: str
    found: str
    reviewed: bool
    changes: tuple[str, ...]
    suspicions: tuple[Suspicion, ...]


def examine(workspace: Workspace, upstream: str) -> tuple[Examined, ...]:
    """Every tool of the upstream or of its contract file, by name; asks the upstream.

    Raises ConfigError `upstream_unknown`, TargetError when it does not answer.
    """
    joined = Joined(workspace)
    try:
        executor = joined.executors.get(f"upstream:{upstream}")
        if not isinstance(executor, McpExecutor):
            raise ConfigError(
                f"gateway.yaml names no MCP upstream {upstream[:64]}",
                code="upstream_unknown",
                next_step="add it to `upstreams` with `kind: mcp`",
            )
        found = executor.definitions(fresh=True)
        names = (name for name in joined.catalogue.names() if name.startswith(f"{upstream}."))
        known = [contract for contract in map(joined.catalogue.find, names) if contract is not None]
        tools = {one.name.partition(".")[2]: one for one in known}
        listed = [_examined(executor, one, found.get(name)) for name, one in tools.items() if name not in REQUESTS]
        unlisted = [
            Examined(
                tool=f"{upstream}.{name}",
                state=UNLISTED,
                why="no contract lists it",
                approved="",
                found=one.digest,
                reviewed=False,
                changes=(),
                suspicions=suspicions(one.tool),
            )
            for name, one in found.items()
            if name not in tools
        ]
    finally:
        joined.close()
    return tuple(sorted((*listed, *unlisted), key=lambda one: one.tool))


def _examined(executor: McpExecutor, contract: Contract, found: Any) -> Examined:
    why = executor.quarantine(contract)
    own = contract.name.partition(".")[2]
    said = {"name": own, "description": contract.description, "inputSchema": contract.schema}
    here = (
        {}
        if found is None
        else {name: found.tool[name] for name in ("name", "description", "inputSchema") if name in found.tool}
    )
    return Examined(
        tool=contract.name,
        state=QUARANTINED if why else OFFERED,
        why=why,
        approved=contract.definition,
        found="" if found is None else found.digest,
        reviewed=contract.reviewed,
        changes=() if found is None or found.digest == contract.definition else difference(said, here),
        suspicions=() if found is None else suspicions(found.tool),
    )
