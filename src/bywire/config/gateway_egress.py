"""`egress` of gateway.yaml: which agents may connect where through the forward proxy, and the proxy's limits.

Ports are written out, a wildcard stands for exactly one label at the left, and what only carries other protocols out
(SSH, tunnels, addresses instead of names) cannot be listed at all.
"""

import msgspec

from bywire.config.reading import Node, read_optional
from bywire.gateway.destination import is_raw, is_tunnel_host, is_tunnel_port
from bywire.model.gateway_egress import EgressLimits, EgressRule

RULES_MAX = 256
AGENTS_MAX = 64
PORTS_MAX = 16
AGENT = r"agent:[a-z0-9][a-z0-9._-]{0,62}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"(?:\*\.{_LABEL}\.)?{_LABEL}(?:\.{_LABEL})*"
MIB = 2**20

# Bounds of every number a person may set: name -> (least, most).
LIMIT_BOUNDS: dict[str, tuple[int, int]] = {
    "connections": (1, 16_384),
    "connections_per_agent": (1, 4_096),
    "head_bytes": (1_024, 65_536),
    "head_seconds": (1, 60),
    "hello_seconds": (1, 60),
    "resolve_seconds": (1, 30),
    "connect_seconds": (1, 60),
    "idle_seconds": (1, 3_600),
    "total_seconds": (1, 86_400),
    "recheck_seconds": (1, 300),
    "upload_bytes": (1_024, 2**40),
    "download_bytes": (1_024, 2**40),
}


def read_egress(node: Node) -> tuple[EgressRule, ...]:
    """Raises FieldError naming the first fault."""
    return tuple(_rule(item) for item in node.items("egress rules", least=0, most=RULES_MAX))


def read_egress_limits(node: Node) -> EgressLimits:
    """Raises FieldError naming the first fault."""
    given = {name: item.integer(*LIMIT_BOUNDS[name]) for name, item in node.fields(tuple(LIMIT_BOUNDS)).items()}
    return msgspec.structs.replace(EgressLimits(), **given)


def _rule(node: Node) -> EgressRule:
    fields = node.fields(("agents", "host", "ports", "private"), required=("agents", "host", "ports"))
    agents = fields["agents"].items("agents", least=1, most=AGENTS_MAX, distinct=True)
    ports = fields["ports"].items("ports", least=1, most=PORTS_MAX, distinct=True)
    return EgressRule(
        agents=tuple(item.text("an agent such as agent:deploy", pattern=AGENT) for item in agents),
        host=_host(fields["host"]),
        ports=tuple(_port(item) for item in ports),
        private=read_optional(fields, "private", lambda item: item.boolean(), absent=False),
    )


def _host(node: Node) -> str:
    host = node.text("a host name such as api.example.com or *.example.com, in lower case", pattern=HOST, most=253)
    name = host.removeprefix("*.")
    if is_raw(name):
        raise node.refuse("a destination is a name, never an address", "name the host")
    if is_tunnel_host(name):
        raise node.refuse("this host carries other connections; nothing behind it can be checked", "remove it")
    return host


def _port(node: Node) -> int:
    port = node.integer(1, 65_535)
    if is_tunnel_port(port):
        raise node.refuse(f"port {port} is for SSH, tunnels or remote shells", "list ports of HTTP services only")
    return port
