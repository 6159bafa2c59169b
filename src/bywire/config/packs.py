"""Contract packs: what is known of the tools of well-known servers and programs, and when that is believed.

A pack is a contract file. Its schemas are closed and bounded, and often narrower than what a server takes: what a pack
does not name cannot be asked for. A server's tool is taken for the pack's when every parameter that the pack knows
exists there with the same type, and every one that the server requires is required by the pack: then each call that
the contract lets through means what it meant when the contract was written.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.config import contract_files
from bywire.config.reading import Node

MCP, HTTP, HOST = "mcp", "http", "host"
# Programs that have their own tools and ask through a hook: no upstream may have their name.
HOSTS = ("claude-code", "codex", "cursor")


class PackKind(msgspec.Struct, frozen=True):
    """What a pack is for: `kind` is mcp, http or host; `url` is where an http one usually leads; `says` one line."""

    kind: str
    says: str
    url: str = ""


class Pack(msgspec.Struct, frozen=True):
    """A pack: its tools by name, as a contract file spells them, and what stands above them."""

    name: str
    kind: PackKind
    tools: Mapping[str, dict[str, Any]]
    head: Mapping[str, Any]


KINDS: Mapping[str, PackKind] = {
    "argocd": PackKind(MCP, "Argo CD, through argoproj-labs/mcp-for-argocd"),
    "claude-code": PackKind(HOST, "the tools of Claude Code itself, through its hooks"),
    "codex": PackKind(HOST, "the tools of Codex itself, through its hooks"),
    "cursor": PackKind(HOST, "the tools of Cursor itself, through its hooks"),
    "github": PackKind(MCP, "GitHub, through github/github-mcp-server"),
    "github-rest": PackKind(HTTP, "GitHub, its REST API", "https://api.github.com"),
    "gitlab-rest": PackKind(HTTP, "GitLab, its REST API version 4", "https://gitlab.com/api/v4"),
    "grafana": PackKind(MCP, "Grafana, through grafana/mcp-grafana"),
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


def narrows(narrow: Mapping[str, Any], wide: Any) -> bool:
    """Whether each call that the closed schema `narrow` lets through means the same under a server's schema `wide`."""
    known, theirs = _properties(narrow), _properties(wide)
    if not isinstance(wide, dict) or not set(known) <= set(theirs):
        return False
    wanted = wide.get("required", [])
    if not isinstance(wanted, list) or not all(name in narrow.get("required", []) for name in wanted):
        return False
    return all(_fits(_types(known[name]), _types(theirs[name])) for name in known)


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
