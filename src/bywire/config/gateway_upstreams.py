"""`upstreams` of gateway.yaml: the systems that agents reach through the gateway."""

import re

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
VARIABLES_MAX, VARIABLE_CHARS_MAX = 32, 1_024
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
# Names under which programs look for a secret: one is named in `credentials`, never written.
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|PRIVATE_KEY)$", re.IGNORECASE
)
_KEYS = (
    "name", "kind", "url", "command", "private", "service", "environment", "credential", "timeout_seconds",
    "variables", "credential_variable",
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
    for name in ("variables", "credential_variable"):
        if name in fields and "command" not in fields:
            raise fields[name].refuse("only a command has variables", f"remove {name}")
    if "credential_variable" in fields and "credential" not in fields:
        raise fields["credential_variable"].refuse("there is no credential to put there", "name the credential")
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
        variables=read_optional(fields, "variables", _variables, absent={}),
        credential_variable=read_optional(
            fields, "credential_variable", lambda item: item.text("the name of a variable", pattern=VARIABLE), absent=""
        ),
    )


def secret_named(variable: str) -> bool:
    """Whether programs look for a secret under this name."""
    return _SECRET.search(variable) is not None


def _variables(node: Node) -> dict[str, str]:
    found = node.mapping("variables", pattern=VARIABLE, most=VARIABLES_MAX)
    for name, item in found.items():
        if secret_named(name):
            raise item.refuse(
                f"{name} is a secret, and this file holds none",
                f"name it in `credentials`, with `credential_variable: {name}`",
            )
    return {name: item.text("a value", least=0, most=VARIABLE_CHARS_MAX) for name, item in found.items()}


def _url(node: Node) -> str:
    return node.text("a URL such as https://api.example/mcp, without user, query or fragment", pattern=URL)


def _command(node: Node) -> tuple[str, ...]:
    return tuple(item.text("one argument") for item in node.items("arguments", least=1, most=COMMAND_MAX))


def _credential(node: Node) -> str:
    return node.text("the name of one of the credentials", pattern=CREDENTIAL_NAME)
