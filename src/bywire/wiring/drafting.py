"""What `bywire connect` does: asks a server what its tools are, drafts their contracts, and writes both down.

Nothing that is there is changed: contracts are only ever added, an upstream is not led elsewhere, and a file whose
layout does not let something be added is left alone with an error that says what to write.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bywire.adapters.mcp_upstream import REQUESTS, Definition, McpExecutor
from bywire.adapters.yaml_file import load, parse
from bywire.config import contract_drafts, contract_files, gateway_config
from bywire.config.contract_drafts import DRAFTED, KNOWN, QUARANTINED, REFUSED, Draft
from bywire.config.gateway_addition import with_upstream
from bywire.config.packs import HOST, HOSTS, MCP, Pack
from bywire.config.yaml_text import flow, items_text
from bywire.gateway.tool_definition import printable
from bywire.model.connected import PRODUCTION
from bywire.model.errors import BywireError, ConfigError, TargetError
from bywire.model.gateway import GatewayConfig, Upstream
from bywire.policy.shadow import Shadow
from bywire.seal.keys import Signer
from bywire.wiring.door import Joined
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.policies import active_shadows, shadow_rule
from bywire.wiring.workspace import Workspace

SHADOW_DAYS = 7
WORDS_CHARS = 400
# What stands between a draft and its calls: that nobody reviewed it, and that a person is asked for each of them.
OF_DRAFTS = ("contract.unreviewed", "contract.unclassified")
_FIELDS = (
    "kind", "url", "command", "private", "service", "environment", "credential", "variables", "credential_variable",
)  # fmt: skip


class Drafting(msgspec.Struct, frozen=True):
    """What was found and written. `place` is (service, environment) of the upstream; `tools` the full names."""

    upstream: str
    kind: str
    drafts: tuple[Draft, ...]
    place: tuple[str, str]
    tools: tuple[str, ...]
    wrote_contracts: bool
    wrote_upstream: bool


def connect(workspace: Workspace, wanted: Upstream, pack: Pack | None) -> Drafting:
    """Draft the contracts of an upstream and add it to gateway.yaml. Safe to run again.

    `wanted` names neither url nor command where gateway.yaml, or the pack, says how it is reached.
    Raises ConfigError `upstream_unknown`, `upstream_differs`, `upstream_reserved`, `file_layout`, and for what the
    files may not hold; TargetError when the server does not answer.
    """
    _check_name(wanted.name, pack)
    settings = read_gateway(workspace)
    upstream = None if pack is not None and pack.kind.kind == HOST else _upstream(settings, wanted, pack)
    text, existing = existing_contracts(workspace, wanted.name)
    if upstream is not None and upstream.kind == MCP:
        drafts = _of_server(workspace, settings, upstream, pack, existing)
    else:
        drafts = _of_pack(pack, existing)
    added = [one.entry for one in drafts if one.entry is not None]
    head = pack.head if pack is not None and upstream is None else {}
    new = upstream is not None and settings.upstream(wanted.name) is None
    gateway = _gateway_text(workspace, settings, upstream) if new and upstream is not None else b""
    if added:
        _write_contracts(workspace, wanted.name, text, head, added)
    if gateway:
        workspace.directory.write(gateway_config.FILE_NAME, gateway)
    operator = workspace.operator
    service = (upstream.service if upstream else str(head.get("service", ""))) or operator.service
    environment = (upstream.environment or operator.environment) if upstream else str(head.get("environment", ""))
    return Drafting(
        upstream=wanted.name,
        kind=upstream.kind if upstream else HOST,
        drafts=drafts,
        place=(service, environment or PRODUCTION),
        tools=tuple(sorted(f"{wanted.name}.{one.tool}" for one in drafts if one.state not in {REFUSED, QUARANTINED})),
        wrote_contracts=bool(added),
        wrote_upstream=bool(gateway),
    )


def try_drafts(
    workspace: Workspace, drafting: Drafting, person: str, sign_with: Callable[[str], Signer]
) -> tuple[tuple[Shadow, int], ...]:
    """Have the rules OF_DRAFTS recorded instead of enforced there for a week: (shadow, ledger index) of each new one.

    A rule that is on trial there already is left as it was signed. Raises PolicyError `shadow_refused` in production.
    """
    service, environment = drafting.place
    tried = {
        one["rule"]
        for one in active_shadows(workspace, workspace.clock.now_ms())
        if (one["service"], one["environment"]) == (service, environment)
    }
    reason = f"the tools of {drafting.upstream} are tried before they are reviewed"
    return tuple(
        shadow_rule(workspace, rule, person, SHADOW_DAYS, reason, sign_with, place=drafting.place)
        for rule in OF_DRAFTS
        if rule not in tried
    )


def _check_name(name: str, pack: Pack | None) -> None:
    is_host = pack is not None and pack.kind.kind == HOST
    if (name in HOSTS) == is_host and (not is_host or pack is None or name == pack.name):
        return
    raise (
        ConfigError(
            f"{name} is the name of a program that asks through a hook",
            code="upstream_reserved",
            next_step=f"bywire connect {name} --pack {name}, or choose another name",
        )
        if name in HOSTS
        else ConfigError(
            f"the pack {pack.name if pack else name} is for that program alone",
            code="upstream_reserved",
            next_step=f"bywire connect {pack.name if pack else name} --pack {pack.name if pack else name}",
        )
    )


def _upstream(settings: GatewayConfig, wanted: Upstream, pack: Pack | None) -> Upstream:
    """The upstream as gateway.yaml names it, or as it will."""
    kind = pack.kind.kind if pack is not None else MCP
    url = wanted.url or ("" if wanted.command or pack is None else pack.kind.url)
    asked = msgspec.structs.replace(wanted, kind=kind, url=url)
    if asked.command and asked.credential and not asked.credential_variable and pack is not None:
        asked = msgspec.structs.replace(asked, credential_variable=pack.kind.credential_variable)
    known = settings.upstream(wanted.name)
    if known is None:
        if not asked.url and not asked.command:
            raise ConfigError(
                f"gateway.yaml names no upstream {wanted.name}",
                code="upstream_unknown",
                next_step=f"bywire connect {wanted.name} -- COMMAND..., or with --url URL",
            )
        return asked
    empty = Upstream(name="", kind="")
    given = [field for field in _FIELDS if getattr(wanted, field) != getattr(empty, field)]
    differs = [field for field in given if getattr(wanted, field) != getattr(known, field)]
    if differs or known.kind != kind:
        raise ConfigError(
            f"gateway.yaml says otherwise what {wanted.name} is: {', '.join(differs) or 'kind'}",
            code="upstream_differs",
            next_step="edit gateway.yaml, or choose another name",
        )
    return known


def existing_contracts(workspace: Workspace, name: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """(text, tools by name) of the contract file; empty when there is none. Raises ConfigError for a faulty one."""
    place = f"{contract_files.DIRECTORY}/{name}{contract_files.SUFFIX}"
    if not (workspace.directory.path / place).exists():
        return "", {}
    data = workspace.directory.read(place, bytes_max=contract_files.BYTES_MAX)
    return data.decode(), {str(tool["name"]): tool for tool in _document(workspace, name, data)["tools"]}


def _document(workspace: Workspace, name: str, data: bytes) -> dict[str, Any]:
    source = str(workspace.directory.path / contract_files.DIRECTORY / f"{name}{contract_files.SUFFIX}")
    limit = contract_files.BYTES_MAX
    parse(data, source, lambda value, said: contract_files.parse(value, said, upstream=name), bytes_max=limit)
    document: dict[str, Any] = load(data, source, bytes_max=limit)
    return document


def _of_server(
    workspace: Workspace,
    settings: GatewayConfig,
    upstream: Upstream,
    pack: Pack | None,
    existing: Mapping[str, dict[str, Any]],
) -> tuple[Draft, ...]:
    found, _ = listed(workspace, settings, upstream)
    new = [
        _checked(contract_drafts.draft(one.tool, one.digest, pack), upstream.name)
        for name, one in sorted(found.items())
        if name not in existing
    ]
    digests: dict[str, str | None] = {name: one.digest for name, one in found.items()}
    old = [contract_drafts.compared(tool, digests.get(name)) for name, tool in existing.items() if name not in REQUESTS]
    return tuple(sorted((*new, *old), key=lambda one: one.tool))


def listed(
    workspace: Workspace, settings: GatewayConfig, upstream: Upstream
) -> tuple[Mapping[str, Definition], dict[str, Any]]:
    """(what a server says its tools are, by name; what it says it is). `upstream` takes the place of its name's.

    Raises ConfigError, TargetError when it does not answer.
    """
    others = tuple(one for one in settings.upstreams if one.name != upstream.name)
    joined = Joined(workspace, msgspec.structs.replace(settings, upstreams=(*others, upstream)))
    try:
        executor = joined.executors.get(f"upstream:{upstream.name}")
        if not isinstance(executor, McpExecutor):
            raise next(iter(joined.faults), None) or ConfigError(
                f"{upstream.name} is no MCP server", code="upstream_unknown", next_step="see gateway.yaml"
            )
        try:
            found = executor.definitions(fresh=True)
            return found, executor.link.spoken().server
        except TargetError as error:
            raise _with_words(error, upstream, executor.link.last_words()) from error
    finally:
        joined.close()


def _with_words(error: TargetError, upstream: Upstream, words: str) -> TargetError:
    """The error with what a program said at its end. With a credential in its hands, what it says is not repeated."""
    if not words.strip() or upstream.credential:
        return error
    return TargetError(
        f"{error.message}; it said: {printable(words.strip()[-WORDS_CHARS:], WORDS_CHARS)}",
        code=error.code,
        next_step="give it what it asks for (--set NAME=VALUE, --credential NAME), or run it by hand",
    )


def _checked(one: Draft, upstream: str) -> Draft:
    """A draft that a contract file can hold, or a refusal."""
    problem = contract_drafts.parse_draft(one.entry, upstream) if one.entry is not None else ""
    if not problem and one.entry is not None:
        problem = "" if _reads_back(one.entry) else "it cannot be written down so that it reads the same"
    return msgspec.structs.replace(one, state=REFUSED, why=problem, entry=None, reviewed=False) if problem else one


def _reads_back(entry: dict[str, Any]) -> bool:
    try:
        return bool(load(items_text([entry]).encode(), "a draft", bytes_max=contract_files.BYTES_MAX) == [entry])
    except (BywireError, UnicodeEncodeError):
        return False


def _of_pack(pack: Pack | None, existing: Mapping[str, dict[str, Any]]) -> tuple[Draft, ...]:
    if pack is None:
        raise ConfigError("an HTTP upstream needs a pack", code="pack_unknown", next_step="bywire connect --list-packs")
    new = [
        Draft(name, KNOWN if tool["reviewed"] else DRAFTED, entry=dict(tool), reviewed=tool["reviewed"])
        for name, tool in pack.tools.items()
        if name not in existing
    ]
    old = [contract_drafts.compared({**tool, "definition": None}, "") for tool in existing.values()]
    return tuple(sorted((*new, *old), key=lambda one: one.tool))


def _write_contracts(
    workspace: Workspace, name: str, before: str, head: Mapping[str, Any], added: list[dict[str, Any]]
) -> None:
    text = contract_drafts.contract_text(before, name, head, added)
    place = f"{contract_files.DIRECTORY}/{name}{contract_files.SUFFIX}"
    kept = _document(workspace, name, before.encode())["tools"] if before else []
    try:
        written = _document(workspace, name, text.encode())["tools"]
    except ConfigError as error:
        raise _layout(place, items_text(added)) from error
    if written != [*kept, *added]:
        raise _layout(place, items_text(added))
    workspace.directory.write(place, text.encode())


def _gateway_text(workspace: Workspace, settings: GatewayConfig, upstream: Upstream) -> bytes:
    """gateway.yaml with the upstream in it, as it will be read."""
    empty, name = Upstream(name="", kind=""), gateway_config.FILE_NAME
    fields = {field: getattr(upstream, field) for field in _FIELDS}
    entry = {"name": upstream.name} | {
        field: list(value) if isinstance(value, tuple) else value
        for field, value in fields.items()
        if value != getattr(empty, field)
    }
    place = workspace.directory.path / name
    before = workspace.directory.read(name).decode() if place.exists() else ""
    text = with_upstream(before, entry).encode()
    after = parse(text, str(place), gateway_config.parse)
    if after != msgspec.structs.replace(settings, upstreams=(*settings.upstreams, upstream)):
        raise _layout(name, f"  - {flow(entry)}")
    return text


def _layout(name: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"{name} is laid out so that nothing can be added to it, or it would say something else then",
        code="file_layout",
        next_step=f"add this yourself: {wanted.strip()[:2000]}",
    )
