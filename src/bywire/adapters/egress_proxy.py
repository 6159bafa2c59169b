"""The forward proxy: an agent's way out, to the hosts and ports that the operator lists and to nothing else.

A CONNECT is a tunnel that nobody looks into: only its first message is read, which must be a TLS ClientHello for
exactly the host that was asked for. Each connection is asked for at the door under the agent's own token, goes to an
address that was checked before, and is bounded in bytes, silence, time and number. Whatever goes wrong closes it.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from socket import socket
from typing import Any, Protocol

import h11
import msgspec

from bywire.adapters.destinations import Destinations
from bywire.adapters.egress_proxy_hello import parse_client_hello
from bywire.adapters.egress_proxy_plain import Streams, forward, next_event
from bywire.adapters.egress_proxy_relay import PART_BYTES, LimitError, Meter, relay
from bywire.adapters.egress_proxy_request import Wanted, parse_wanted
from bywire.adapters.listening import port_of
from bywire.gateway.destination import Destination
from bywire.model.errors import BywireError, EvidenceError, TargetError
from bywire.model.gateway_egress import EgressLimits

LINGER_SECONDS = 1.0
LINGER_BYTES = 65_536
_REASONS = {
    400: "Bad Request", 403: "Forbidden", 407: "Proxy Authentication Required", 408: "Request Timeout",
    413: "Content Too Large", 429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip
# TLS: fatal, unrecognized_name (RFC 8446, 6.2).
_UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"


class Admission(msgspec.Struct, frozen=True):
    """What the door said to one connection. Refused: `status` and `payload` are what the client is told."""

    allowed: bool
    status: int
    payload: dict[str, Any]


class Ended(msgspec.Struct, frozen=True):
    """How a connection that was allowed ended: `why` is closed, a limit's name, or an error's code; bytes each way."""

    principal: str
    destination: Destination
    address: str
    why: str
    sent: int
    received: int


class EgressDoor(Protocol):
    """What decides and records; the proxy itself only enforces."""

    async def admit(self, token: str, destination: Destination, addresses: tuple[str, ...], trace: str) -> Admission:
        """Decide one connection."""
        ...

    async def holder(self, token: str) -> str | None:
        """The principal of a token whose session is open while nothing is stopped, else empty; None: ask later."""
        ...

    def refusal(self, code: str, reason: str, next_step: str) -> dict[str, Any]:
        """The payload for what never reached the door."""
        ...

    def ended(self, ended: Ended) -> None:
        """Record how a connection ended; must not block."""
        ...


class _RefusedError(Exception):
    """The answer that ends a connection before anything was forwarded."""

    def __init__(self, status: int, payload: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.payload = payload


class EgressProxy:
    """One listening socket, which the proxy closes at its end."""

    def __init__(self, listener: socket, door: EgressDoor, destinations: Destinations, limits: EgressLimits) -> None:
        destinations.own(port_of(listener))
        self._listener = listener
        self._door = door
        self._destinations = destinations
        self._limits = limits
        self._open = 0
        self._by_principal: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer whoever connects."""
        self._server = await asyncio.start_server(self._accepted, sock=self._listener, limit=PART_BYTES)

    async def close(self) -> None:
        """Take no more connections and end those that are open."""
        if self._server is not None:
            self._server.close()
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._destinations.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._open += 1
        try:
            await self._answered(reader, writer)
        except (OSError, EOFError, h11.LocalProtocolError):
            # The client left midway, or the answer was cut short: there is nobody to tell.
            pass
        except asyncio.CancelledError:
            # Only `close` cancels, and a server's own callback must not see it.
            pass
        finally:
            self._open -= 1
            with contextlib.suppress(OSError):
                writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._open > self._limits.connections:
                said = self._door.refusal("busy", "the proxy has as many connections as it takes", "try again")
                writer.write(_answer(503, said))
                return
            await self._exchange((reader, writer))
        except _RefusedError as refused:
            await _tell((reader, writer), refused.status, refused.payload)

    async def _exchange(self, client: Streams) -> None:
        """One connection: head, destination, addresses, the door, and then its bytes."""
        conn = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        request, wanted = await self._head(conn, client)
        if not wanted.token:
            raise self._refused(
                407, "unauthenticated", "no token came with the request", "send Proxy-Authorization: Bearer TOKEN"
            )
        principal = await self._door.holder(wanted.token)
        if principal is None:
            raise self._refused(503, "busy", "the gateway has as many calls waiting as it takes", "try again")
        with self._counted(principal):
            addresses = await self._admitted(wanted, principal)
            await self._connected(conn, request, wanted, client, addresses, principal)

    async def _admitted(self, wanted: Wanted, principal: str) -> tuple[str, ...]:
        """The checked addresses of a destination that this principal may connect to now."""
        addresses, problem = await self._addresses(principal, wanted.destination)
        admission = await self._door.admit(wanted.token, wanted.destination, addresses, wanted.trace)
        if not admission.allowed:
            why = {"reason": problem.message, "next_step": problem.next_step} if problem is not None else {}
            status = 407 if admission.status == 401 else admission.status
            raise _RefusedError(status, {**admission.payload, **(why if status == 403 else {})})
        # The allowlist holds whatever the policy in force says, a rule in shadow mode included.
        if not self._destinations.listed(principal, wanted.destination, addresses):
            raise self._refused(
                403, "policy_denied", f"{wanted.destination.host} is not listed", "list it under `egress`"
            )
        return addresses

    async def _head(self, conn: h11.Connection, client: Streams) -> tuple[h11.Request, Wanted]:
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                event = await next_event(conn, client[0])
            if not isinstance(event, h11.Request):
                raise self._refused(400, "invalid_parameters", "that is no request", "send one")
            return event, parse_wanted(event)
        except TimeoutError:
            raise self._refused(
                408, "invalid_parameters", "the request head took too long", "send it at once"
            ) from None
        except h11.RemoteProtocolError as error:
            raise self._refused(400, "invalid_parameters", f"malformed request: {error}", "send HTTP/1.1") from error
        except EvidenceError as error:
            raise self._refused(400, "invalid_parameters", error.message, error.next_step) from error

    async def _addresses(self, principal: str, destination: Destination) -> tuple[tuple[str, ...], TargetError | None]:
        """(addresses, why there are none). The door is asked in any case: a refused attempt is recorded, too."""
        try:
            return await self._destinations.addresses(principal, destination), None
        except TargetError as error:
            return (), error

    async def _connected(
        self,
        conn: h11.Connection,
        request: h11.Request,
        wanted: Wanted,
        client: Streams,
        addresses: tuple[str, ...],
        principal: str,
    ) -> None:
        try:
            upstream = await self._destinations.connect(wanted.destination, addresses)
        except TargetError as error:
            raise self._refused(502, "upstream_failed", error.message, error.next_step) from error
        address, meter, why = str(upstream[1].get_extra_info("peername")[0]), Meter(self._limits), "closed"
        watch = asyncio.create_task(self._watch(wanted.token, meter))
        try:
            async with meter:
                if wanted.tunnel:
                    await self._tunnel(conn, wanted, client, upstream, meter)
                else:
                    await forward(conn, request, wanted, client, upstream, meter)
        except LimitError as error:
            why = error.which
            if not wanted.tunnel and conn.our_state is h11.SEND_RESPONSE:  # nothing was answered yet
                status = 413 if why == "upload_bytes" else 504
                raise self._refused(status, "upstream_failed", f"a bound was reached: {why}", "ask for less") from error
        except BywireError as error:
            why = error.code
            if isinstance(error, TargetError):
                raise self._refused(502, "upstream_failed", error.message, error.next_step) from error
        except (OSError, EOFError, h11.ProtocolError):
            why = "cut_short"
        finally:
            watch.cancel()
            with contextlib.suppress(OSError):
                upstream[1].close()
            self._door.ended(Ended(principal, wanted.destination, address, why, meter.sent, meter.received))

    async def _watch(self, token: str, meter: Meter) -> None:
        """A stop, or the end of a session, ends what was opened before it."""
        while True:
            await asyncio.sleep(self._limits.recheck_seconds)
            if await self._door.holder(token) == "":
                meter.withdraw()
                return

    async def _tunnel(
        self, conn: h11.Connection, wanted: Wanted, client: Streams, upstream: Streams, meter: Meter
    ) -> None:
        client[1].write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        await client[1].drain()
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                first = await _first_message(conn.trailing_data[0], client[0], wanted.destination.host)
        except TimeoutError:
            raise EvidenceError("no ClientHello came", code="hello_refused") from None
        except EvidenceError:
            client[1].write(_UNRECOGNIZED_NAME)
            raise
        meter.up(len(first))
        upstream[1].write(first)
        await relay(*client, upstream, meter)

    @contextlib.contextmanager
    def _counted(self, principal: str) -> Iterator[None]:
        if self._by_principal[principal] >= self._limits.connections_per_agent:
            raise self._refused(
                429, "busy", f"{principal} has {self._limits.connections_per_agent} connections open", "close one"
            )
        self._by_principal[principal] += 1
        try:
            yield
        finally:
            self._by_principal[principal] -= 1
            if not self._by_principal[principal]:
                del self._by_principal[principal]

    def _refused(self, status: int, code: str, reason: str, next_step: str) -> _RefusedError:
        return _RefusedError(status, self._door.refusal(code, reason, next_step))


async def _first_message(data: bytes, reader: asyncio.StreamReader, host: str) -> bytes:
    """The bytes of a ClientHello for `host`, and nothing but them. Raises EvidenceError `hello_refused`."""
    while (hello := parse_client_hello(data)) is None:
        part = await reader.read(PART_BYTES)
        if not part:
            raise EvidenceError("the client left before its ClientHello", code="hello_refused")
        data += part
    if hello.server_name != host:
        raise EvidenceError(
            f"the tunnel is for {host}, and the client asks for {hello.server_name or 'no name'}", code="hello_refused"
        )
    return data


def _answer(status: int, payload: dict[str, Any]) -> bytes:
    body = json.dumps({"error": payload}).encode()
    asks = b'proxy-authenticate: Bearer realm="bywire"\r\nproxy-authenticate: Basic realm="bywire"\r\n'
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\n".encode() + (asks if status == 407 else b"")
    length = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return head + length + body


async def _tell(client: Streams, status: int, payload: dict[str, Any]) -> None:
    """Answer and close, after the client had the chance to read it."""
    reader, writer = client
    writer.write(_answer(status, payload))
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            left = LINGER_BYTES
            while left > 0 and (part := await reader.read(PART_BYTES)):
                left -= len(part)
