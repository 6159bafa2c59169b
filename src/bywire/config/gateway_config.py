"""gateway.yaml, version 1: where the gateway listens and what it leads to; beside operator.yaml, outside repositories.

A missing optional field takes the default of `bywire.model.gateway`; an unknown one is an error. Each section beside
the top level has a module of its own.
"""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from bywire.config.gateway_budgets import read_budgets, read_calls, read_teams
from bywire.config.gateway_channels import read_channels
from bywire.config.gateway_credentials import read_credentials
from bywire.config.gateway_egress import read_egress, read_egress_limits
from bywire.config.gateway_inspection import read_inspection
from bywire.config.gateway_issuers import read_api_keys, read_issuers
from bywire.config.gateway_telemetry import read_telemetry
from bywire.config.gateway_upstreams import read_upstreams
from bywire.config.reading import Node, read_optional
from bywire.model.gateway import BundlesSettings, GatewayConfig, Listen, ServeLimits
from bywire.model.gateway_budgets import REFUSALS, Budget, Budgets, WindowBudget
from bywire.model.gateway_channels import Channels
from bywire.model.gateway_egress import EgressLimits
from bywire.model.gateway_inspection import InspectionSettings
from bywire.model.gateway_issuers import ApiKeys
from bywire.model.gateway_telemetry import TelemetrySettings

FILE_NAME = "gateway.yaml"
HOSTS_MAX = 32
KEYS = (
    "version", "listen", "public_url", "hosts", "limits", "upstreams", "credentials", "issuers", "api_keys", "egress",
    "egress_limits", "inspection", "budgets", "teams", "calls", "refusals", "telemetry", "channels",
    "bundles",
)  # fmt: skip
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}"
_AUTHORITY = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PUBLIC_URL = r"https?://[A-Za-z0-9.\[\]:-]{1,255}(?:/[A-Za-z0-9._~/-]{0,200})?"
MIB = 2**20

# Bounds of every number a person may set: name -> (least, most).
LIMIT_BOUNDS: dict[str, tuple[int, int]] = {
    "body_bytes": (1_024, 16 * MIB),
    "header_bytes": (4_096, 262_144),
    "headers": (16, 1_000),
    "connections": (16, 65_536),
    "calls_in_flight": (1, 128),
    "calls_waiting": (0, 10_000),
    "request_seconds": (1, 300),
    "idle_seconds": (1, 3_600),
    "shutdown_seconds": (1, 120),
}


def parse(value: Any, source: str) -> GatewayConfig:
    """Raises FieldError naming the first fault."""
    fields = Node(value, source).fields(KEYS, required=("version",))
    fields["version"].version(1)
    budgets: tuple[Budget | WindowBudget, ...] = read_optional(fields, "budgets", read_budgets, ())
    found = GatewayConfig(
        listen=read_optional(fields, "listen", _listen, Listen()),
        public_url=read_optional(fields, "public_url", _public_url, ""),
        hosts=read_optional(fields, "hosts", _hosts, ()),
        limits=read_optional(fields, "limits", _limits, ServeLimits()),
        upstreams=read_optional(fields, "upstreams", read_upstreams, ()),
        credentials=read_optional(fields, "credentials", read_credentials, ()),
        issuers=read_optional(fields, "issuers", read_issuers, ()),
        api_keys=read_optional(fields, "api_keys", read_api_keys, ApiKeys()),
        egress=read_optional(fields, "egress", read_egress, ()),
        egress_limits=read_optional(fields, "egress_limits", read_egress_limits, EgressLimits()),
        inspection=read_optional(fields, "inspection", read_inspection, InspectionSettings()),
        budgets=Budgets(
            budgets=tuple(one for one in budgets if isinstance(one, Budget)),
            windows=tuple(one for one in budgets if isinstance(one, WindowBudget)),
            teams=read_optional(fields, "teams", read_teams, {}),
        ),
        calls=read_optional(fields, "calls", read_calls, ()),
        refusals=read_optional(fields, "refusals", read_calls, REFUSALS),
        telemetry=read_optional(fields, "telemetry", read_telemetry, TelemetrySettings()),
        channels=read_optional(fields, "channels", read_channels, Channels()),
        bundles=read_optional(fields, "bundles", _bundles, BundlesSettings()),
    )
    _check_credentials(fields, found)
    return found


def _check_credentials(fields: dict[str, Node], found: GatewayConfig) -> None:
    """An upstream that names a credential which is not there would be called without one."""
    known = {credential.name for credential in found.credentials}
    for upstream in found.upstreams:
        if upstream.credential and upstream.credential not in known:
            raise fields["upstreams"].refuse(
                f"{upstream.name} uses the credential {upstream.credential}, which is not there",
                f"add {upstream.credential} to credentials",
            )


def _listen(node: Node) -> Listen:
    fields = node.fields(("host", "port", "egress_port"))
    return Listen(
        host=read_optional(fields, "host", lambda item: item.text("a host or address", pattern=_HOST), "127.0.0.1"),
        port=read_optional(fields, "port", lambda item: item.integer(0, 65_535), 8750),
        egress_port=read_optional(fields, "egress_port", lambda item: item.integer(0, 65_535), 0),
    )


def _public_url(node: Node) -> str:
    url = node.text("a URL such as https://bywire.example", pattern=_PUBLIC_URL)
    try:
        if urlsplit(url).hostname and (urlsplit(url).port or 0) >= 0:
            return url.rstrip("/")
    except ValueError:
        pass
    raise node.expected("a URL such as https://bywire.example")


def _hosts(node: Node) -> tuple[str, ...]:
    names = node.items("host names", least=0, most=HOSTS_MAX, distinct=True)
    return tuple(item.text("a host name, with its port if it has one", pattern=_AUTHORITY).lower() for item in names)


def _bundles(node: Node) -> BundlesSettings:
    fields = node.fields(("token_file",), required=("token_file",))
    return BundlesSettings(fields["token_file"].text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512))


def _limits(node: Node) -> ServeLimits:
    fields = node.fields(tuple(LIMIT_BOUNDS))
    given = {name: item.integer(*LIMIT_BOUNDS[name]) for name, item in fields.items()}
    return msgspec.structs.replace(ServeLimits(), **given)
