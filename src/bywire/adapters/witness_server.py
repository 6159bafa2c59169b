"""A witness over HTTP (C2SP tlog-witness), on loopback: bounded in size, time and number of connections.

`POST /add-checkpoint` asks for a cosignature, `GET /<origin hash>/checkpoint` returns the last one given. Requests
carry no credentials: a signed checkpoint authenticates itself. Other hosts reach it through a TLS proxy or a tunnel.
"""

import asyncio
import ipaddress
import re
import signal
from collections.abc import Callable

from bywire.adapters.router_http import (
    HEAD_BYTES_MAX,
    MessageError,
    RequestHead,
    encode_head,
    parse_request_head,
    read_body,
    read_head,
)
from bywire.adapters.witness_state import WitnessState
from bywire.ledger.witness import CONFLICT, OK, REQUEST_BYTES_MAX, Refusal
from bywire.model.errors import BywireError, ConfigError

CONNECTIONS_MAX = 64
REQUESTS_PER_CONNECTION_MAX = 1_000
REQUEST_SECONDS = 10.0
ANSWER_SECONDS = 10.0
_LISTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):([0-9]{1,5})")
_CHECKPOINT = re.compile(rb"/([0-9a-f]{64})/checkpoint")
_TEXT = b"text/plain; charset=utf-8"
_SIZE = b"text/x.tlog.size"

Reply = tuple[int, bytes, bytes]  # status, content type, body


def serve(state: WitnessState, listen: str, listening: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `listening(url)` is called once the port is open.

    ConfigError `listen_refused` for anything but a loopback address, `listen_failed` when the port is taken.
    """
    host, port = _address(listen)
    asyncio.run(_Server(state).run(host, port, listening))


class _Server:
    def __init__(self, state: WitnessState) -> None:
        self._state = state
        self._open = 0

    async def run(self, host: str, port: int, listening: Callable[[str], None]) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        try:
            server = await asyncio.start_server(self._connection, host, port, limit=HEAD_BYTES_MAX)
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be opened: {error.strerror or error}",
                code="listen_failed",
                next_step="choose another port with --listen, or 0 for a free one",
            ) from error
        async with server:
            bound = server.sockets[0].getsockname()[1]
            listening(f"http://{f'[{host}]' if ':' in host else host}:{bound}")
            await stopped.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > CONNECTIONS_MAX:
                await _send(writer, (503, _TEXT, b"too many connections\n"), keep=False)
                return
            for _ in range(REQUESTS_PER_CONNECTION_MAX):
                if not await self._request(reader, writer):
                    return
        except (OSError, TimeoutError):
            return  # the peer is gone or too slow; it learns nothing more
        finally:
            self._open -= 1
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may serve another."""
        keep = False
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                raw = await read_head(reader)
                if not raw:
                    return False
                head = _bounded(parse_request_head(raw))
                body = await read_body(reader, head.length)
            keep = head.keep_alive
            reply = await asyncio.to_thread(self._answer, head, body)
        except MessageError as error:
            reply = (error.status, _TEXT, f"{error}\n".encode())
        await _send(writer, reply, keep=keep)
        return keep

    def _answer(self, head: RequestHead, body: bytes) -> Reply:
        try:
            if head.target == b"/add-checkpoint":
                return self._add(body) if head.method == b"POST" else (405, _TEXT, b"POST only\n")
            wanted = _CHECKPOINT.fullmatch(head.target)
            if wanted is None:
                return 404, _TEXT, b"nothing here\n"
            if head.method != b"GET":
                return 405, _TEXT, b"GET only\n"
            note = self._state.served(wanted[1].decode())
        except BywireError as error:
            return 500, _TEXT, f"{error.code}\n".encode()
        except OSError:
            return 500, _TEXT, b"state_unreadable\n"
        return (404, _TEXT, b"never cosigned\n") if note is None else (OK, _TEXT, note)

    def _add(self, body: bytes) -> Reply:
        answer = self._state.add(body)
        if isinstance(answer, str):
            return OK, _TEXT, answer.encode()
        if answer.status == CONFLICT:
            return CONFLICT, _SIZE, b"%d\n" % answer.size
        return _refused(answer)


def _bounded(head: RequestHead) -> RequestHead:
    if not 0 <= head.length <= REQUEST_BYTES_MAX:
        raise MessageError(413, f"send at most {REQUEST_BYTES_MAX} bytes, with their length")
    return head


def _refused(refusal: Refusal) -> Reply:
    return refusal.status, _TEXT, f"{refusal.code}: {refusal.message}\n".encode()


async def _send(writer: asyncio.StreamWriter, reply: Reply, *, keep: bool) -> None:
    status, kind, body = reply
    headers = [(b"content-type", kind), (b"connection", b"keep-alive" if keep else b"close")]
    async with asyncio.timeout(ANSWER_SECONDS):
        writer.write(encode_head(b"HTTP/1.1 %d -" % status, headers, len(body)) + body)
        await writer.drain()


def _address(listen: str) -> tuple[str, int]:
    match = _LISTEN.fullmatch(listen)
    host = match[1].strip("[]") if match else ""
    port = int(match[2]) if match else 65_536
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or port > 65_535:
        raise ConfigError(
            f"{listen!r} is not a loopback address with a port",
            code="listen_refused",
            next_step="write --listen 127.0.0.1:PORT; for other hosts put a TLS proxy or a tunnel in front",
        )
    return "127.0.0.1" if host == "localhost" else host, port
