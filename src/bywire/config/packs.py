"""Contract packs: what is known of the tools of well-known servers and programs, and when that is believed.

A pack is a contract file. Its schemas are closed and bounded, and often narrower than what a server takes: what a pack
does not name cannot be asked for. A server's tool is taken for the pack's when every parameter that the pack knows
exists there with the same type, and every one that the server requires is required by the pack: then each call that
the contract lets through means what it meant when the contract was written. A server of another version may lack
parameters: the contract is cut to those that are there, unless it needs one of them or reads from it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bywire.config import contract_files
from bywire.config.reading import Node
from bywire.gateway.contract import placeholders

MCP, HTTP, HOST = "mcp", "http", "host"
DEPTH_MAX = 16
GONE, REQUIRED, OTHER_TYPE, UNREADABLE = "gone", "required", "other_type", "unreadable"
# Programs that have their own tools and ask through a hook: no upstream may have their name.
HOSTS = ("claude-code", "codex", "cursor")


class PackKind(msgspec.Struct, frozen=True):
    """What a pack is for: `kind` is mcp, http or host; `url` is where an http one usually leads; `says` one line.

    `credential_variable` is where the program of an mcp one finds its token.
    """

    kind: str
    says: str
    url: str = ""
    credential_variable: str = ""


class Misfit(msgspec.Struct, frozen=True):
    """Why calls of a contract may not mean the same to a server: `kind` is gone, required, other_type or unreadable.

    `where` is the parameter, with dots below it and `[]` for what a list holds.
    """

    where: str
    kind: str
    said: str


class Pack(msgspec.Struct, frozen=True):
    """A pack: its tools by name, as a contract file spells them, and what stands above them."""

    name: str
    kind: PackKind
    tools: Mapping[str, dict[str, Any]]
    head: Mapping[str, Any]


KINDS: Mapping[str, PackKind] = {
    "argocd": PackKind(MCP, "Argo CD, through argoproj-labs/mcp-for-argocd", credential_variable="ARGOCD_API_TOKEN"),
    "claude-code": PackKind(HOST, "the tools of Claude Code itself, through its hooks"),
    "codex": PackKind(HOST, "the tools of Codex itself, through its hooks"),
    "cursor": PackKind(HOST, "the tools of Cursor itself, through its hooks"),
    "github": PackKind(
        MCP, "GitHub, through github/github-mcp-server", credential_variable="GITHUB_PERSONAL_ACCESS_TOKEN"
    ),
    "github-rest": PackKind(HTTP, "GitHub, its REST API", "https://api.github.com"),
    "gitlab-rest": PackKind(HTTP, "GitLab, its REST API version 4", "https://gitlab.com/api/v4"),
    "grafana": PackKind(
        MCP, "Grafana, through grafana/mcp-grafana", credential_variable="GRAFANA_SERVICE_ACCOUNT_TOKEN"
    ),
    "kubernetes": PackKind(MCP, "Kubernetes and Helm, through containers/kubernetes-mcp-server"),
}


def parse_pack(value: Any, source: str, *, name: str) -> Pack:
    """A pack of a document that is a contract file. Raises FieldError naming the first fault."""
    contract_files.parse(value, source, upstream=name)
    document: dict[str, Any] = value
    if name not in KINDS:
        raise Node(value, source).refuse("no such pack is known", "add it to KINDS")
    head = {key: item for key, item in document.items() if key not in {"version", "upstream", "tools"}}
    return Pack(name, KINDS[name], {tool["name"]: tool for tool in document["tools"]}, head)


def misfits(narrow: Mapping[str, Any], wide: Any) -> Iterator[Misfit]:
    """Why calls that the closed schema `narrow` lets through may mean another thing under a server's schema `wide`.

    None: each means the same.
    """
    if not isinstance(wide, dict) or not isinstance(wide.get("properties", {}), dict):
        yield Misfit("", UNREADABLE, "the server says no parameters that can be read")
        return
    yield from _object_misfits(narrow, wide, "", 0)


def cut_to(entry: Mapping[str, Any], wide: Any) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """(the contract without the parameters that the server does not have, their names), or None where it does not fit.

    A parameter that the contract requires or reads from is never cut.
    """
    schema = entry["schema"]
    found = tuple(misfits(schema, wide))
    gone = tuple(sorted(one.where for one in found if one.kind == GONE))
    kept = {*schema.get("required", []), *consulted(entry)}
    if len(gone) < len(found) or any(name in kept or name not in schema.get("properties", {}) for name in gone):
        return None
    left = {name: item for name, item in _properties(schema).items() if name not in gone}
    return {**entry, "schema": {**schema, "properties": left}}, gone


def consulted(entry: Mapping[str, Any]) -> frozenset[str]:
    """The parameters that a contract reads: where a call acts, what it means, costs, asks, what makes it the same."""
    named = [str(entry.get("environment_from", {}).get("parameter", ""))]
    named += [str(name) for name in entry.get("meaning", {}).values()]
    named += [str(rule.get("parameter", "")) for rule in entry.get("cost", ())]
    named += _verified(entry.get("verify", {}))
    named += placeholders(str(entry.get("idempotency_key_from", "")))
    named += [str(entry.get("window", {}).get(end, "")) for end in ("from", "to")]
    return frozenset(part for name in named if name for part in (name, name.partition(".")[0]))


def _verified(verify: Mapping[str, Any]) -> list[str]:
    """The parameters that a contract's verification asks with, and compares with."""
    compared = [operand for one in verify.get("expect", {}).values() for operand in one.values()]
    operands = (*verify.get("parameters", {}).values(), *(one for one in compared if isinstance(one, dict)))
    return [str(one.get("parameter", "")) for one in operands]


def _object_misfits(narrow: Mapping[str, Any], wide: Mapping[str, Any], where: str, depth: int) -> Iterator[Misfit]:
    known, theirs = _properties(narrow), _properties(wide)
    wanted = wide.get("required", [])
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        yield Misfit(where, UNREADABLE, "what the server requires cannot be read")
        wanted = []
    # Inside of a value, what a call may hold is what it needs to hold: a server refuses it where it is left out.
    ours = {*narrow.get("required", ()), *((known or wanted) if where else ())}
    yield from (Misfit(f"{where}{name}", REQUIRED, "the server requires it") for name in wanted if name not in ours)
    for name in known:
        if name in theirs:
            yield from _misfits(known[name], theirs[name], f"{where}{name}", depth + 1)
        # An object that says nothing of what it holds takes anything.
        elif theirs or not where:
            yield Misfit(f"{where}{name}", GONE, "the server has no such parameter")


def _misfits(narrow: Any, wide: Any, where: str, depth: int) -> Iterator[Misfit]:
    ours, theirs = _types(narrow), _types(wide)
    if not _fits(ours, theirs):
        said = f"the server takes {_words(theirs)}, the contract {_words(ours)}"
        yield Misfit(where, OTHER_TYPE, said)
    elif depth <= DEPTH_MAX and isinstance(narrow, dict) and isinstance(wide, dict):
        if isinstance(wide.get("properties"), dict):
            yield from _object_misfits(narrow, wide, f"{where}.", depth)
        if isinstance(narrow.get("items"), dict) and isinstance(wide.get("items"), dict):
            yield from _misfits(narrow["items"], wide["items"], f"{where}[]", depth + 1)


def _words(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "anything"


def _properties(schema: Any) -> dict[str, Any]:
    found = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return found if isinstance(found, dict) else {}


def _fits(narrow: frozenset[str], wide: frozenset[str]) -> bool:
    """No types mean any."""
    return not wide or not narrow or narrow <= wide


def _types(schema: Any) -> frozenset[str]:
    """Which JSON types a schema takes; none when it does not say. A whole number is a number."""
    said = schema.get("type") if isinstance(schema, dict) else None
    if said is None and isinstance(schema, dict) and isinstance(schema.get("anyOf"), list):
        parts = [_types(one) for one in schema["anyOf"]]
        return frozenset[str]().union(*parts)
    words = [said] if isinstance(said, str) else said
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return frozenset()
    found = frozenset(words) - {"null"}
    return found | {"integer"} if "number" in found else found
