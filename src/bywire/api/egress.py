"""The forward proxy's door: each connection is an `open_connection`, asked for under the agent's own token."""

from socket import socket  # noqa: TID251  a type: adapters.listening makes it
from typing import Any

from bywire.adapters.destinations import Destinations
from bywire.adapters.egress_proxy import Admission, EgressProxy, Ended
from bywire.adapters.pinned_http import Resolve, resolved
from bywire.api.errors import http_status
from bywire.gateway.destination import OPEN_CONNECTION, Destination, facts
from bywire.gateway.egress_contracts import EGRESS
from bywire.model.ask import Ask
from bywire.model.errors import BywireError
from bywire.wiring import payload
from bywire.wiring.call_pool import RECORDS, WAY_OUT, BusyError
from bywire.wiring.gateway import Gateway

CONNECTION = "connection"


class GatewayDoor:
    """`adapters.egress_proxy.EgressDoor` on a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def admit(self, token: str, destination: Destination, addresses: tuple[str, ...], trace: str) -> Admission:
        """Decide one connection, and record it."""
        try:
            return await self._gateway.run(lambda: self._admitted(token, destination, addresses, trace), WAY_OUT)
        except BusyError:
            return _refused(payload.busy())

    async def holder(self, token: str) -> str | None:
        """Whose session it is, while it is open and nothing is stopped; None when there is no time to look."""
        try:
            return await self._gateway.run(lambda: self._holder(token), WAY_OUT)
        except BusyError:
            return None

    def refusal(self, code: str, reason: str, next_step: str) -> dict[str, Any]:
        """The payload for what never reached the door."""
        return payload.refusal(code, reason, next_step=next_step)

    def ended(self, ended: Ended) -> None:
        """Record how much went where, and why it ended; the proxy does not wait for it."""
        document = {
            "principal": ended.principal,
            "host": ended.destination.host,
            "port": ended.destination.port,
            "address": ended.address,
            "why": ended.why,
            "bytes_sent": ended.sent,
            "bytes_received": ended.received,
        }
        self._gateway.pool.leave(lambda: self._record(document), RECORDS)

    def _record(self, document: dict[str, Any]) -> None:
        workspace = self._gateway.workspace
        try:
            workspace.journal.record_document(CONNECTION, document, "", workspace.clock.now_ms())
        except BywireError:
            self._gateway.telemetry.failures += 1  # the connection is over: there is nobody to tell

    def _holder(self, token: str) -> str:
        workspace = self._gateway.workspace
        try:
            session = workspace.sessions.session_of(token, workspace.clock.now_ms())
            state = workspace.state.snapshot(session, workspace.operator.service)
        except BywireError:
            return ""
        return "" if state.stopped or state.freeze_all else state.session.principal.id

    def _admitted(self, token: str, destination: Destination, addresses: tuple[str, ...], trace: str) -> Admission:
        try:
            principal = self._gateway.session(token).principal.id
        except BywireError as error:
            return _refused(payload.of_error(error))
        ask = Ask(
            tool=OPEN_CONNECTION,
            parameters={"host": destination.host, "port": destination.port},
            surface=EGRESS,
            trace=trace,
            destination=facts(principal, destination, addresses, self._gateway.settings.egress),
        )
        answered = self._gateway.call(token, ask)
        return _refused(answered.payload) if answered.payload else Admission(allowed=True, status=200, payload={})


def egress_proxy(gateway: Gateway, listener: socket, *, resolve: Resolve = resolved) -> EgressProxy:
    """The forward proxy that gateway.yaml describes, not started yet."""
    settings = gateway.settings
    destinations = Destinations(
        settings.egress, settings.egress_limits, resolve=resolve, own_ports=(settings.listen.port,)
    )
    return EgressProxy(listener, GatewayDoor(gateway), destinations, settings.egress_limits)


def _refused(said: dict[str, Any]) -> Admission:
    # A connection that waits for a person is no connection yet: 202 would tell a client that it is one.
    status = 403 if said["code"] == payload.APPROVAL_NEEDED else http_status(said)
    return Admission(allowed=False, status=status, payload=said)
