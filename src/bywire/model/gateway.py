"""gateway.yaml as it is used: where the gateway listens, what it leads to, and how much of anything it takes."""

import msgspec

from bywire.model.gateway_budgets import REFUSALS, Budgets, CallRate
from bywire.model.gateway_channels import Channels
from bywire.model.gateway_credentials import GatewayCredential
from bywire.model.gateway_egress import EgressLimits, EgressRule
from bywire.model.gateway_inspection import InspectionSettings
from bywire.model.gateway_issuers import ApiKeys, Issuer
from bywire.model.gateway_telemetry import TelemetrySettings


class Listen(msgspec.Struct, frozen=True):
    """Where the gateway listens. `egress_port` 0: no forward proxy."""

    host: str = "127.0.0.1"
    port: int = 8750
    egress_port: int = 0


class ServeLimits(msgspec.Struct, frozen=True):
    """Bounds of the server. Sizes in bytes, times in seconds.

    `calls_in_flight` threads carry calls out for each upstream, `calls_waiting` more wait for one; who comes then is
    told `busy`.
    `request_seconds` bounds how long a client takes to send one request, `idle_seconds` how long it stays silent after.
    """

    body_bytes: int = 1_048_576
    header_bytes: int = 32_768
    headers: int = 100
    connections: int = 16_384
    calls_in_flight: int = 16
    calls_waiting: int = 256
    request_seconds: int = 15
    idle_seconds: int = 75
    shutdown_seconds: int = 10


class Upstream(msgspec.Struct, frozen=True):
    """One system that agents reach through here: an MCP server by `url` or `command`, or an HTTP API by `url`.

    `service` and `environment` are empty where the operator's own apply. `credential` names one of `credentials`.
    `variables` are what a command is started with beside what every program needs, and `credential_variable` is the
    variable in which it finds the credential.
    """

    name: str
    kind: str
    url: str = ""
    command: tuple[str, ...] = ()
    private: bool = False
    service: str = ""
    environment: str = ""
    credential: str = ""
    timeout_seconds: int = 30
    variables: dict[str, str] = {}
    credential_variable: str = ""


class BundlesSettings(msgspec.Struct, frozen=True):
    """`GET /bundles/...`: who has the token in `token_file` (empty: nobody) reads the policy, beside every session."""

    token_file: str = ""


class GatewayConfig(msgspec.Struct, frozen=True):
    """The whole file. `hosts` are the names that a Host header may carry beside loopback and `public_url`'s."""

    listen: Listen = Listen()
    public_url: str = ""
    hosts: tuple[str, ...] = ()
    limits: ServeLimits = ServeLimits()
    upstreams: tuple[Upstream, ...] = ()
    credentials: tuple[GatewayCredential, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    api_keys: ApiKeys = ApiKeys()
    egress: tuple[EgressRule, ...] = ()
    egress_limits: EgressLimits = EgressLimits()
    inspection: InspectionSettings = InspectionSettings()
    budgets: Budgets = Budgets()
    calls: tuple[CallRate, ...] = ()
    refusals: tuple[CallRate, ...] = REFUSALS
    telemetry: TelemetrySettings = TelemetrySettings()
    channels: Channels = Channels()
    bundles: BundlesSettings = BundlesSettings()

    def upstream(self, name: str) -> Upstream | None:
        """The upstream with this name."""
        return next((one for one in self.upstreams if one.name == name), None)

    @property
    def url(self) -> str:
        """Where people and agents reach the gateway, without a slash at the end."""
        if self.public_url:
            return self.public_url
        host = f"[{self.listen.host}]" if ":" in self.listen.host else self.listen.host
        return f"http://{host}:{self.listen.port}"
