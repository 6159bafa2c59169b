"""`upstreams` of gateway.yaml: the systems that agents reach through the gateway."""

from bywire.config.reading import Node, read_optional
from bywire.model.gateway import Upstream

UPSTREAMS_MAX = 64
COMMAND_MAX = 64
UPSTREAM_NAME = r"[a-z][a-z0-9-]{0,31}"
CREDENTIAL_NAME = r"[a-z][a-z0-9_-]{0,63}"
PLACE_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
URL = r"https?://[^\s@?#\\]{1,500}"
KINDS = ("mcp", "http")
ENVIRONMENTS = ("non-production", "staging", "production")
TIMEOUT_SECONDS_MAX = 600
_KEYS = (
    "name", "kind", "url", "command", "private", "service", "environment", "credential", "timeout_seconds",
)  # fmt: skip


def read_upstreams(node: Node) -> tuple[Upstream, ...]:
    """Raises FieldError naming the first fault."""
    found: list[Upstream] = []
    for item in node.items("upstreams", least=0, most=UPSTREAMS_MAX):
        upstream = _upstream(item)
        if any(upstream.name == other.name for other in found):
            raise item.refuse(f"there are two upstreams {upstream.name}", "keep one of them")
        found.append(upstream)
    return tuple(found)


def _upstream(node: Node) -> Upstream:
    fields = node.fields(_KEYS, required=("name", "kind"))
    kind = fields["kind"].choice(KINDS)
    if ("url" in fields) == ("command" in fields):
        raise node.refuse("an upstream is reached in one way", "name url, or command")
    if kind == "http" and "command" in fields:
        raise node.refuse("an http upstream has no command", "name its url")
    return Upstream(
        name=fields["name"].text("lower-case letters, digits and '-'", pattern=UPSTREAM_NAME),
        kind=kind,
        url=read_optional(fields, "url", _url, absent=""),
        command=read_optional(fields, "command", _command, absent=()),
        private=read_optional(fields, "private", lambda item: item.boolean(), absent=False),
        service=read_optional(fields, "service", lambda item: item.text("a service", pattern=PLACE_NAME), absent=""),
        environment=read_optional(fields, "environment", lambda item: item.choice(ENVIRONMENTS), absent=""),
        credential=read_optional(fields, "credential", _credential, absent=""),
        timeout_seconds=read_optional(
            fields, "timeout_seconds", lambda item: item.integer(1, TIMEOUT_SECONDS_MAX, "seconds"), absent=30
        ),
    )


def _url(node: Node) -> str:
    return node.text("a URL such as https://api.example/mcp, without user, query or fragment", pattern=URL)


def _command(node: Node) -> tuple[str, ...]:
    return tuple(item.text("one argument") for item in node.items("arguments", least=1, most=COMMAND_MAX))


def _credential(node: Node) -> str:
    return node.text("the name of one of the credentials", pattern=CREDENTIAL_NAME)
