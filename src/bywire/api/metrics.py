"""`GET /metrics`: for Prometheus, which has no session and brings a token of its own, and for nobody's agent."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.api.errors import malformed, unauthenticated
from bywire.api.limits import is_loopback
from bywire.api.reading import token_of
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig
from bywire.wiring.gateway import Gateway

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The route of this surface."""
    telemetry = gateway.telemetry

    kept = gateway.settings.telemetry.metrics is not None

    def metrics(request: Request) -> Response:
        if not kept:
            raise malformed("no metrics are kept", "write `telemetry: {metrics: ...}` in gateway.yaml", 404)
        if not telemetry.metrics_open and not telemetry.may_scrape(token_of(request)):
            raise unauthenticated("this is not the token of telemetry.metrics.token_file")
        return Response(telemetry.scrape(), headers=_HEADERS, media_type=CONTENT_TYPE)

    return [Route("/metrics", metrics, methods=["GET"])]


def check_metrics(settings: GatewayConfig) -> None:
    """Raises ConfigError `metrics_exposed`: names of agents and budgets would be for whoever reaches the port."""
    metrics = settings.telemetry.metrics
    if metrics is None or not metrics.open or (is_loopback(settings.listen.host) and not settings.public_url):
        return
    raise ConfigError(
        "gateway.yaml opens metrics, and others than this machine reach the gateway",
        code="metrics_exposed",
        next_step="write `metrics: {token_file: FILE}`; Prometheus sends it as authorization.credentials_file",
    )
