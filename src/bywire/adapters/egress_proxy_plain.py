"""One plain HTTP request through the forward proxy: framed anew on both sides, streamed, never kept whole."""

import asyncio

import h11

from bywire.adapters.egress_proxy_relay import PART_BYTES, Meter
from bywire.adapters.egress_proxy_request import Wanted, request_headers, response_headers
from bywire.model.errors import TargetError

_HEAD_BYTES_MAX = 65_536
_INTERIM_MAX = 16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def forward(
    conn: h11.Connection, request: h11.Request, wanted: Wanted, client: Streams, upstream: Streams, meter: Meter
) -> None:
    """Send the request on and its answer back. Raises TargetError before anything was answered, OSError after."""
    host, port = wanted.destination.host, wanted.destination.port
    authority = host.encode() if port == 80 else f"{host}:{port}".encode()
    other = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
    headers = request_headers(list(request.headers), authority)
    head = other.send(h11.Request(method=request.method, target=wanted.path, headers=headers))
    upstream[1].write(head or b"")
    await _send_body(conn, other, client, upstream, meter)
    try:
        response = await _response(other, upstream[0], meter)
    except (h11.RemoteProtocolError, EOFError) as error:
        raise TargetError(
            f"{host} did not answer in HTTP", code="upstream_failed", next_step="ask the host's owner"
        ) from error
    back = h11.Response(
        status_code=response.status_code, reason=response.reason, headers=response_headers(list(response.headers))
    )
    client[1].write(conn.send(back) or b"")
    await _send_answer(conn, other, client, upstream, meter)


async def _send_body(
    conn: h11.Connection, other: h11.Connection, client: Streams, upstream: Streams, meter: Meter
) -> None:
    while True:
        if conn.they_are_waiting_for_100_continue:
            client[1].write(conn.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        event = await next_event(conn, client[0])
        if isinstance(event, h11.Data):
            meter.up(len(event.data))
            upstream[1].write(other.send(event) or b"")
            await upstream[1].drain()
        elif isinstance(event, h11.EndOfMessage):
            # Trailers stay here: nobody looked at them.
            upstream[1].write(other.send(h11.EndOfMessage()) or b"")
            await upstream[1].drain()
            return


async def _response(other: h11.Connection, reader: asyncio.StreamReader, meter: Meter) -> h11.Response:
    for _ in range(_INTERIM_MAX):
        event = await next_event(other, reader)
        if isinstance(event, h11.Response):
            meter.down(0)
            return event
    raise EOFError("only interim answers")


async def _send_answer(
    conn: h11.Connection, other: h11.Connection, client: Streams, upstream: Streams, meter: Meter
) -> None:
    while True:
        try:
            event = await next_event(other, upstream[0])
        except (h11.RemoteProtocolError, EOFError) as error:
            # The client sees an answer that is cut short, as it was.
            raise ConnectionAbortedError(str(error)) from error
        if isinstance(event, h11.Data):
            meter.down(len(event.data))
            client[1].write(conn.send(event) or b"")
            await client[1].drain()
        elif isinstance(event, h11.EndOfMessage):
            client[1].write(conn.send(h11.EndOfMessage()) or b"")
            await client[1].drain()
            return


async def next_event(conn: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    """The next thing the peer said. Raises EOFError when it left, h11.RemoteProtocolError for what is no HTTP."""
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA:
            conn.receive_data(await reader.read(PART_BYTES))
        elif isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
            return event
        else:
            raise EOFError("the peer closed the connection")
