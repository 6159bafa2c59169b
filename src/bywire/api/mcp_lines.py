"""MCP on standard streams: one client, one upstream, one JSON-RPC message a line, governed as over HTTP."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_message import HANDSHAKE, MODERN, Message, MessageError
from bywire.adapters.mcp_relay import Relay
from bywire.adapters.standard_streams import Lines
from bywire.api.mcp_server import Caller, McpServer, UnauthenticatedError, modern_fault
from bywire.api.mcp_streams import Listeners, McpSession, Outlet, Wanted
from bywire.wiring.gateway import Gateway

UNDER_WAY_MAX = 64
KEEP_SECONDS = 3_600.0
# How long a client that closed its end is still answered.
GRACE_SECONDS = 5.0
ALL_CHANGES = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged"})


class LineServer:
    """Serves one client until it closes its end."""

    def __init__(self, gateway: Gateway, upstream: str, token: Callable[[], str], lines: Lines) -> None:
        self._server = McpServer(gateway)
        self._upstream = upstream
        self._token = token
        self._lines = lines
        self._listeners = Listeners()
        self._under_way: dict[rpc.Id, Relay] = {}
        self._streams: dict[rpc.Id, Outlet] = {}
        self._session = McpSession("", upstream, HANDSHAKE[0])
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer until the input ends; calls with an effect are waited for."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="bywire-lines") as reader:
            while (line := await loop.run_in_executor(reader, self._lines.read)) is not None:
                if line:
                    self._hear(line)
        for outlet in self._streams.values():
            outlet.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for relay in self._under_way.values():
            relay.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _hear(self, line: bytes) -> None:
        try:
            message = rpc.parse_message(line)
            rpc.check_one_reading(line)
        except MessageError as error:
            self._say(rpc.failure(None, error.rpc_code, error.message))
            return
        if message.is_notification:
            self._told(message)
        elif message.is_request and isinstance(message.id, int | str):
            if message.id in self._under_way or message.id in self._streams or len(self._under_way) >= UNDER_WAY_MAX:
                why = "a request with this id is under way, or too many are"
                self._say(rpc.failure(message.id, rpc.INVALID_REQUEST, why))
                return
            self._start(self._answer(message, message.id))

    def _told(self, message: Message) -> None:
        """A client cancels; what else it may tell changes nothing here."""
        cancelled = message.arguments.get("requestId") if message.method == "notifications/cancelled" else None
        if isinstance(cancelled, int | str) and cancelled in self._under_way:
            self._under_way[cancelled].cancel()
        elif isinstance(cancelled, int | str) and cancelled in self._streams:
            self._streams[cancelled].end()
        elif message.method == "notifications/initialized":
            self._start(self._listen(None, Wanted(ALL_CHANGES, self._session.uris)))

    async def _answer(self, message: Message, message_id: rpc.Id) -> None:
        modern = rpc.META_VERSION in message.meta
        fault = modern_fault(message, None) if modern else None
        if fault is not None:
            self._say(rpc.failure(message_id, fault.code, fault.message, fault.data))
            return
        if modern and message.method == "subscriptions/listen":
            await self._listen(message, self._wanted(message, message_id))
            return
        caller = self._caller(message, modern=modern)
        relay = self._under_way[message_id] = self._server.relay(caller, message, self._notify)
        try:
            answer = await self._server.answer(caller, message, relay)
        except UnauthenticatedError as nobody:
            answer = rpc.failure(message_id, -31_401, str(nobody.said["reason"]), nobody.said)
        finally:
            self._under_way.pop(message_id, None)
        if "result" in answer and not modern:
            self._remember(message, answer["result"])
        if not relay.is_cancelled:
            self._say(answer)

    def _caller(self, message: Message, *, modern: bool) -> Caller:
        meta, session = message.meta, self._session
        level = meta.get(rpc.META_LOG_LEVEL, "") if modern else session.log_level
        return Caller(
            token=self._token(),
            upstream=self._upstream,
            version=MODERN if modern else session.version,
            capabilities=meta[rpc.META_CAPABILITIES] if modern else {},
            log_level=level if isinstance(level, str) else "",
        )

    def _wanted(self, message: Message, message_id: rpc.Id) -> Wanted:
        asked = message.arguments.get("notifications")
        asked = asked if isinstance(asked, dict) else {}
        return Wanted(frozenset(name for name in ALL_CHANGES if asked.get(name) is True), set(), message_id)

    async def _listen(self, message: Message | None, wanted: Wanted) -> None:
        """Pass changes on until the client cancels or goes; `message` asked for it in the newest version."""
        executor = self._server.executor(self._upstream)
        if executor is None:
            return
        outlet = Outlet()
        key: rpc.Id = wanted.subscription if wanted.subscription is not None else "\x00standing"
        self._streams[key] = outlet
        stop = self._listeners.add(executor, "", outlet, wanted)
        meta = {rpc.META_SUBSCRIPTION: wanted.subscription}
        try:
            if message is not None:
                honoured = dict.fromkeys(sorted(wanted.kinds), True)
                said = {"_meta": meta, "notifications": honoured}
                self._say(rpc.notification("notifications/subscriptions/acknowledged", said))
            while not outlet.is_over:
                await outlet.stirred(KEEP_SECONDS)
                for one in outlet.taken():
                    self._say(one)
        finally:
            stop()
            self._streams.pop(key, None)
        if wanted.subscription is not None:
            self._say(rpc.result(wanted.subscription, {"resultType": "complete", "_meta": meta}))

    def _remember(self, message: Message, result: dict[str, Any]) -> None:
        session, params = self._session, message.arguments
        if message.method == "initialize":
            session.version = result["protocolVersion"]
        elif message.method == "logging/setLevel":
            session.log_level = str(params.get("level"))
        elif message.method == "resources/subscribe" and isinstance(params.get("uri"), str):
            session.uris.add(params["uri"])

    def _notify(self, method: str, params: dict[str, Any]) -> None:
        self._say(rpc.notification(method, params))

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a client that went away is seen at the end of its input
            self._lines.write(rpc.encoded(message))

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def serve_lines(gateway: Gateway, upstream: str, token: Callable[[], str], lines: Lines) -> None:
    """Serve one client on its lines until it closes them."""
    asyncio.run(LineServer(gateway, upstream, token, lines).serve())
