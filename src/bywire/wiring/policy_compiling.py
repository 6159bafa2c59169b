"""`bywire policy compile`: the operator's agent-policies/ become Rego in a candidate bundle, examined as a whole.

The candidate is the operator's copy of the policy with one module and one module of tests for each file there. It is
written only when it is fit to decide; then it is signed and activated like any other.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.agent_policy_file import parse
from bywire.adapters.knowledge_base import operator_policy
from bywire.adapters.policy_directory import check_empty, write_policy
from bywire.adapters.policy_process import examine_apart
from bywire.config import agent_policy
from bywire.config.reading import Node
from bywire.gateway.contract import Contract
from bywire.model.errors import ConfigError
from bywire.policy.agent_bounds import AgentBounds, Tool, UnresolvedError, resolved
from bywire.policy.bounds_proofs import proofs_of
from bywire.policy.bundle import AGENTS_FOLDER, MANIFEST, parse_bundle
from bywire.policy.compile_bounds import MARK, compiled
from bywire.policy.difference import Difference, compare
from bywire.policy.examination import Examination, Request
from bywire.seal.digest import sha256_hex
from bywire.wiring.catalogue import BUILT_IN_CONTRACTS, connected_tools
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.identities import registrations
from bywire.wiring.policy_in_force import raise_unfit
from bywire.wiring.policy_review import loaded
from bywire.wiring.workspace import Workspace


class Compiled(msgspec.Struct, frozen=True):
    """What came of it. `written` is empty when nothing differs from what is there."""

    agents: tuple[str, ...]
    warnings: tuple[str, ...]
    before: Examination
    after: Examination
    difference: Difference
    written: str


def compile_policies(workspace: Workspace, out: Path | None = None) -> Compiled:
    """Compile every agent policy into `out`, by default into the operator's copy, with the next revision.

    Raises ConfigError for the first fault of a file, with its line; PolicyError when the whole is not fit to decide.
    """
    if out is not None:
        check_empty(out)
    directory = workspace.policies.directory
    before = operator_policy(directory)
    policies = read_policies(workspace)
    after = _candidate(before, policies)
    changed = after != before
    if changed:
        after[MANIFEST] = _manifest(after[MANIFEST], _next_revision(workspace, before))
    old = loaded(examine_apart(Request(before, tests=False)))
    new = examine_apart(Request(after))
    raise_unfit(new)
    if changed:
        write_policy(out or directory, {} if out else before, after)
    return Compiled(
        agents=tuple(bounds.agent for bounds in policies),
        warnings=(*_told(policies), *_unregistered(workspace, policies)),
        before=old,
        after=new,
        difference=compare(old, new),
        written=str(out or directory) if changed else "",
    )


def read_policies(workspace: Workspace) -> tuple[AgentBounds, ...]:
    """The operator's agent policies with their tools, by agent. Raises ConfigError."""
    tools = known_tools(workspace)
    names = workspace.directory.names(agent_policy.DIRECTORY, most=agent_policy.FILES_MAX)
    found: dict[str, AgentBounds] = {}
    for name in names:
        bounds = _read(workspace, name, tools)
        if bounds.agent in found:
            raise ConfigError(
                f"{name} and {found[bounds.agent].source} are both about {bounds.agent}",
                code="agent_policy_twice",
                next_step="merge them into one file",
            )
        found[bounds.agent] = bounds
    return tuple(found[agent] for agent in sorted(found))


def known_tools(workspace: Workspace) -> tuple[Tool, ...]:
    """Every tool there is, built in or connected, as far as policies turn on it."""
    connected = connected_tools(workspace, read_gateway(workspace)).contracts
    return tuple(_tool(contract) for contract in (*BUILT_IN_CONTRACTS, *connected))


def _tool(contract: Contract) -> Tool:
    closed = contract.schema.get("additionalProperties") is False
    return Tool(
        name=contract.name,
        read=contract.read,
        meaning=frozenset(contract.meaning),
        units=frozenset(rule.unit for rule in contract.cost),
        parameters=frozenset(contract.schema.get("properties", {})) if closed else None,
    )


def _read(workspace: Workspace, name: str, tools: tuple[Tool, ...]) -> AgentBounds:
    place = f"{agent_policy.DIRECTORY}/{name}"
    if not name.endswith(agent_policy.SUFFIXES):
        # Skipped, its bounds would be taken to be in force by whoever wrote it.
        raise ConfigError(
            f"{place!r} is neither YAML nor JSON by its name, so that it would not be read",
            code="agent_policy_suffix",
            next_step=f"name it NAME.yaml, .yml or .json, or move it out of {agent_policy.DIRECTORY}/",
        )
    if re.fullmatch(agent_policy.FILE_NAME, name) is None:
        raise ConfigError(
            f"{name!r} is no name for a policy", code="agent_policy_name", next_step="use letters, digits, . _ and -"
        )
    data = workspace.directory.read(place, bytes_max=agent_policy.BYTES_MAX)

    def read(value: Any, source: str) -> AgentBounds:
        bounds = agent_policy.parse(value, source)
        try:
            return resolved(bounds, tools)
        except UnresolvedError as error:
            raise Node(value, source, path=("actions", error.index, "name")).refuse(
                error.problem, error.remedy
            ) from error

    source = str(workspace.directory.path / place)
    bounds = parse(data, source, read)
    return msgspec.structs.replace(bounds, source=name, digest=sha256_hex(data))


def _candidate(before: dict[str, bytes], policies: Iterable[AgentBounds]) -> dict[str, bytes]:
    """The operator's copy with these policies in place of those compiled earlier."""
    after = {name: data for name, data in before.items() if not _is_compiled(name, data)}
    for bounds in policies:
        for name, text in (
            (f"{bounds.agent}.rego", compiled(bounds)),
            (f"{bounds.agent}_test.rego", proofs_of(bounds)),
        ):
            if f"{AGENTS_FOLDER}{name}" in after:
                raise ConfigError(
                    f"policy/{AGENTS_FOLDER}{name} was written by hand, and {bounds.source} would replace it",
                    code="agent_policy_by_hand",
                    next_step=f"remove one of the two: a policy in YAML, or one in Rego, for {bounds.agent}",
                )
            after[f"{AGENTS_FOLDER}{name}"] = text.encode()
    return after


def _is_compiled(name: str, data: bytes) -> bool:
    return name.startswith(AGENTS_FOLDER) and data.startswith(MARK.encode())


def _next_revision(workspace: Workspace, before: dict[str, bytes]) -> int:
    active = [row.revision for row in workspace.policies.store.bundles()]
    return max([parse_bundle(before).manifest.revision, *active]) + 1


def _manifest(data: bytes, revision: int) -> bytes:
    return json.dumps({**json.loads(data), "revision": revision}, indent=2).encode() + b"\n"


def _told(policies: Iterable[AgentBounds]) -> Iterable[str]:
    return (f"{bounds.source}: {warning}" for bounds in policies for warning in bounds.warnings)


def _unregistered(workspace: Workspace, policies: Iterable[AgentBounds]) -> Iterable[str]:
    """Policies of agents that could not act anyway, and actions that their registration leaves out."""
    known = registrations(workspace)
    for bounds in policies:
        registration = known.find(f"agent:{bounds.agent}")
        if registration is None:
            yield f"{bounds.source}: no agent:{bounds.agent} is registered: bywire agents register {bounds.agent}"
            continue
        for action in bounds.actions:
            gone = sorted(set(action.tools) - set(registration.tools))
            if gone:
                yield f"{bounds.source}: agent:{bounds.agent} is not registered for {', '.join(gone)}"
