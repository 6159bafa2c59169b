"""A hook's gateway in this process: slower to start than to ask one that serves, and there is nothing to run."""

from collections.abc import Iterable

from bywire.gateway.contract import Catalogue
from bywire.model.ask import Answered, Ask
from bywire.model.gateway import Upstream
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway
from bywire.wiring.hooks import SURFACE, Told, refused_by


class Here:
    """A gateway in this process."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self._gateway = gateway
        self._token = token

    def permit(self, ask: Ask) -> Told:
        """As the door says."""
        return _told(self._gateway.permit(self._token, ask, exact=True))

    def report(self, intent: str, status: str) -> None:
        """Once, by the principal that it was permitted to."""
        answered = self._gateway.report(self._token, intent, status, {"surface": SURFACE})
        if answered.payload and answered.code not in {payload.UPSTREAM_FAILED, payload.OUTCOME_UNKNOWN}:
            raise refused_by(answered.payload)

    def knows(self, upstream: str, tool: str) -> bool:
        """From the contract files."""
        return _knows(self._gateway.catalogue, upstream, tool)

    def server(self, reached: str) -> str:
        """From gateway.yaml."""
        return server_of(reached, self._gateway.settings.upstreams)

    def may_read(self, tool: str) -> bool:
        """From the contract files."""
        found = self._gateway.catalogue.find(tool)
        return found is not None and found.read


def server_of(reached: str, upstreams: Iterable[Upstream]) -> str:
    """The one MCP upstream that is reached by this URL or command line; empty when none is, or several are."""
    wanted = reached.strip().rstrip("/")
    found = [
        one.name
        for one in upstreams
        if one.kind == "mcp" and wanted and wanted in {one.url.rstrip("/"), " ".join(one.command)}
    ]
    return found[0] if len(found) == 1 else ""


def _knows(catalogue: Catalogue, upstream: str, tool: str) -> bool:
    found = catalogue.find(f"{upstream}.{tool}")
    return found is not None and found.upstream == upstream


def _told(answered: Answered) -> Told:
    if answered.payload:
        return Told(answered.payload)
    result = answered.outcome.result or {}
    if result.get("permitted") is not True:
        return Told({"code": payload.CONFLICT, "reason": "this very call was permitted before"})
    return Told({}, result["parameters"], result["intent"])
