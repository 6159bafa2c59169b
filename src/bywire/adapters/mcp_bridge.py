"""Standard streams to an MCP endpoint over HTTP: for clients that only start programs. It governs nothing itself.

Each line is one POST with the headers its version wants and a token that is asked for again before it ends; what comes
back is written as lines. The token never reaches the client.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bywire.adapters import mcp_headers
from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_events import EventParser
from bywire.adapters.mcp_http import ANSWER_BYTES_MAX, modern_headers
from bywire.adapters.mcp_message import Message, MessageError
from bywire.adapters.pinned_http import Exchange, PinnedHttp
from bywire.adapters.standard_streams import Lines
from bywire.model.errors import BywireError

UNDER_WAY_MAX = 32
STREAM_SECONDS, STREAM_BYTES_MAX = 3_600.0, 1 << 30
TOOLS_MAX = 2_048
_ACCEPT = "application/json, text/event-stream"


class Bridge:
    """One client's way to one endpoint. `token` gives one that is valid now; with True, a new one."""

    def __init__(
        self, client: PinnedHttp, path: str, token: Callable[[bool], str], lines: Lines, *, timeout_seconds: float
    ) -> None:
        self._client = client
        self._path = path
        self._token = token
        self._lines = lines
        self._timeout = timeout_seconds
        self._session = self._version = ""
        self._schemas: dict[str, dict[str, Any]] = {}
        self._under_way: dict[rpc.Id, Exchange] = {}
        self._lock = threading.Lock()
        self._stream: Exchange | None = None
        self._over = threading.Event()

    def run(self) -> None:
        """Until the client closes its end."""
        with ThreadPoolExecutor(UNDER_WAY_MAX, thread_name_prefix="bywire-bridge") as pool:
            while (line := self._lines.read()) is not None:
                message = self._read(line) if line else None
                if message is None:
                    continue
                if message.method == "initialize":
                    self._carry(message, line)  # what follows needs the session that this begins
                elif not self._is_cancelled(message):
                    pool.submit(self._carry, message, line)
                if message.method == "notifications/initialized":
                    pool.submit(self._listen)
            self._end()

    def _read(self, line: bytes) -> Message | None:
        try:
            return rpc.parse_message(line)
        except MessageError as error:
            self._say(rpc.encoded(rpc.failure(None, error.rpc_code, error.message)))
            return None

    def _is_cancelled(self, message: Message) -> bool:
        """Whether this ends a request of the newest version, which the end of its stream says."""
        named = message.arguments.get("requestId") if message.method == "notifications/cancelled" else None
        with self._lock:
            exchange = self._under_way.get(named) if isinstance(named, int | str) and not self._session else None
        if exchange is not None:
            exchange.abort()
        return exchange is not None

    def _carry(self, message: Message, line: bytes) -> None:
        try:
            if not self._sent(message, line, new_token=False):
                self._sent(message, line, new_token=True)
        except (BywireError, OSError) as error:
            if message.is_request and isinstance(message.id, int | str):
                said = error.message if isinstance(error, BywireError) else str(error)
                self._say(
                    rpc.encoded(rpc.failure(message.id, rpc.INTERNAL_ERROR, f"the gateway did not answer: {said}"))
                )

    def _sent(self, message: Message, line: bytes, *, new_token: bool) -> bool:
        """Send it and write what comes back; False when the token was refused and another one may be tried."""
        headers = self._headers(message, new_token=new_token)
        lasts = message.method == "subscriptions/listen"
        seconds = STREAM_SECONDS if lasts else self._timeout
        with self._client.exchange("POST", self._path, headers, line, timeout_seconds=seconds) as exchange:
            if exchange.status == 401 and not new_token:
                return False
            with self._known(message, exchange):
                self._answered(exchange, message, lasts=lasts)
        return True

    def _headers(self, message: Message, *, new_token: bool) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": _ACCEPT,
            "Authorization": f"Bearer {self._token(new_token)}",
            "User-Agent": "bywire-bridge",
        }
        if rpc.META_VERSION in message.meta:
            sent = {"method": message.method, "params": message.arguments}
            headers |= modern_headers(sent) | {"MCP-Protocol-Version": str(message.meta[rpc.META_VERSION])[:64]}
            schema = self._schemas.get(str(message.arguments.get("name")), {})
            given = message.arguments.get("arguments")
            headers |= mcp_headers.mirrored(schema, given) if isinstance(given, dict) else {}
        elif self._session:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": self._version}
        return headers

    @contextlib.contextmanager
    def _known(self, message: Message, exchange: Exchange) -> Any:
        message_id = message.id if isinstance(message.id, int | str) else None
        with self._lock:
            if message_id is not None:
                self._under_way[message_id] = exchange
        try:
            yield
        finally:
            with self._lock:
                self._under_way.pop(message_id, None) if message_id is not None else None

    def _answered(self, exchange: Exchange, message: Message, *, lasts: bool) -> None:
        if message.method == "initialize":
            self._session = exchange.headers.get("mcp-session-id", "")
        if "text/event-stream" in exchange.headers.get("content-type", ""):
            parser = EventParser()
            for part in exchange.parts(STREAM_BYTES_MAX if lasts else ANSWER_BYTES_MAX):
                for event in parser.parse_part(part):
                    if event.data:
                        self._pass(event.data, message)
            return
        body = b"".join(exchange.parts(ANSWER_BYTES_MAX))
        if message.is_notification or isinstance(message.id, msgspec.UnsetType) or message.id is None:
            return
        try:
            answer = rpc.parse_message(body)
        except MessageError:
            said = f"the gateway answered {exchange.status}: {body[:300].decode('utf-8', 'replace')}"
            self._say(rpc.encoded(rpc.failure(message.id, rpc.INTERNAL_ERROR, said)))
            return
        if answer.id == message.id:
            self._pass(body, message)
        else:
            self._say(rpc.encoded(rpc.failure(message.id, rpc.INTERNAL_ERROR, "the gateway answered another request")))

    def _pass(self, body: bytes, message: Message) -> None:
        """Write a message of the gateway, having learnt from it what later requests need."""
        try:
            answer = rpc.parse_message(body)
        except MessageError:
            return
        result = answer.result if isinstance(answer.result, dict) else {}
        if message.method == "initialize" and isinstance(result.get("protocolVersion"), str):
            self._version = result["protocolVersion"][:64]
        if message.method == "tools/list" and isinstance(result.get("tools"), list):
            for tool in result["tools"][:TOOLS_MAX]:
                if isinstance(tool, dict) and isinstance(tool.get("inputSchema"), dict):
                    self._schemas[str(tool.get("name"))] = tool["inputSchema"]
        self._say(b" ".join(body.split(b"\n")))

    def _listen(self) -> None:
        """The stream of changes that older versions have, as long as the gateway offers it."""
        silent = Message(jsonrpc="2.0", method="notifications/none")
        while self._session and not self._over.is_set():
            headers = self._headers(silent, new_token=False) | {"Accept": "text/event-stream"}
            del headers["Content-Type"]
            opened = self._client.exchange("GET", self._path, headers, None, timeout_seconds=STREAM_SECONDS)
            with contextlib.suppress(BywireError, OSError), opened as stream:
                if stream.status != 200:
                    return
                with self._lock:
                    self._stream = stream
                    is_over = self._over.is_set()
                if is_over:  # the client left while this was being opened: nobody else would end it
                    return
                self._answered(stream, silent, lasts=True)
            if self._stream is None:
                return

    def _end(self) -> None:
        with self._lock:
            self._over.set()
            exchanges = [*self._under_way.values(), *([self._stream] if self._stream is not None else [])]
        for exchange in exchanges:
            exchange.abort()
        if self._session:
            headers = self._headers(Message(jsonrpc="2.0", method="notifications/none"), new_token=False)
            with contextlib.suppress(BywireError, OSError):
                self._client.send("DELETE", self._path, headers, None)
        self._client.close()

    def _say(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            self._lines.write(line)
