"""One HTTP request of an MCP client, with the ways to answer it: an object, a stream of events, or nothing to say."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_events import event
from bywire.adapters.mcp_headers import Headers
from bywire.adapters.mcp_message import Message
from bywire.adapters.mcp_relay import Relay
from bywire.api.errors import http_status
from bywire.api.mcp_answers import REFUSED
from bywire.api.mcp_server import Caller, McpServer
from bywire.api.mcp_streams import Outlet
from bywire.api.reading import fields_of
from bywire.wiring import payload

KEEP_ALIVE_SECONDS = 15.0
BESIDE_SECONDS = 0.5
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_STATUS = {rpc.METHOD_NOT_FOUND: 404, rpc.INVALID_PARAMS: 400, rpc.HEADER_MISMATCH: 400, rpc.UNSUPPORTED_VERSION: 400}


class Exchange:
    """One HTTP request with the way to answer it."""

    def __init__(self, request: Request, send: Send, upstream: str, token: str) -> None:
        self.request = request
        self.upstream = upstream
        self.token = token
        self.headers: Headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]
        ]
        self._fields = fields_of(request.scope)
        self._send = send
        self._is_stream = self._is_left = False

    def header(self, name: str) -> str:
        """One header, or empty."""
        return self._fields.get(name.encode(), b"").decode("latin-1")

    def accepts(self, *kinds: str) -> bool:
        """Whether the client takes each of these media types."""
        said = {part.partition(";")[0].strip().lower() for part in self.header("accept").split(",")}
        return all(said & {kind, "*/*", f"{kind.partition('/')[0]}/*"} for kind in kinds)

    async def reply(self, answer: dict[str, Any], status: int, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """One JSON object."""
        body = rpc.encoded(answer)
        headers = [*_JSON, (b"content-length", str(len(body)).encode()), *more]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def accepted(self, status: int = 202) -> None:
        """Nothing to say."""
        await Response(status_code=status)(self.request.scope, self.request.receive, self._send)

    async def not_allowed(self, methods: str) -> None:
        """Another method."""
        answer = Response(status_code=405, headers={"allow": methods})
        await answer(self.request.scope, self.request.receive, self._send)

    async def answered(
        self, server: McpServer, caller: Caller, message: Message, relay: Relay, outlet: Outlet, *, cancels: bool
    ) -> dict[str, Any]:
        """The answer to a request, alone or at the end of a stream; `cancels`: who goes away wants it no more."""
        beside: asyncio.Task[None] | None = None

        def begin() -> None:
            nonlocal beside
            if beside is None:
                beside = asyncio.ensure_future(self._beside(outlet, relay if cancels else None))

        # Nearly every call is over before anything is to be told or anybody has left: only then is it looked after.
        outlet.on_first = begin
        timer = asyncio.get_running_loop().call_later(BESIDE_SECONDS, begin)
        try:
            answer = await server.answer(caller, message, relay)
        finally:
            timer.cancel()
            outlet.end()
            if beside is not None:
                await beside
        if self._is_stream:
            await self._more(event(rpc.encoded(answer)), ends=True)
        elif not self._is_left:
            await self.reply(answer, _status(answer) if caller.is_modern else 200)
        return answer

    async def _beside(self, outlet: Outlet, relay: Relay | None) -> None:
        """Pass on what is to be told while a call is under way, and see whether its client leaves."""
        leaving = asyncio.ensure_future(self._left(outlet))
        try:
            while not self._is_left:
                stirred = await outlet.stirred(KEEP_ALIVE_SECONDS)
                parts = [event(rpc.encoded(one)) for one in outlet.taken()]
                if (parts or not stirred) and not self._is_left:
                    await self._more(b"".join(parts) or b":\n\n", begins=not self._is_stream)
                if outlet.is_over:
                    break
            if self._is_left and relay is not None:
                relay.cancel()
        finally:
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving

    async def streamed(self, outlet: Outlet, first: list[dict[str, Any]]) -> None:
        """What comes, until the client goes away or does not read."""
        await self._more(b"".join(event(rpc.encoded(one)) for one in first) or b":\n\n", begins=True)
        leaving = asyncio.ensure_future(self._left(outlet))
        try:
            while not outlet.is_over:
                await outlet.stirred(KEEP_ALIVE_SECONDS)
                if not leaving.done():
                    await self._more(b"".join(event(rpc.encoded(one)) for one in outlet.taken()) or b":\n\n")
            if not leaving.done():
                await self._more(b"", ends=True)
        finally:
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving

    async def _left(self, outlet: Outlet) -> None:
        """Returns when the client went away."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        self._is_left = True
        outlet.end()

    async def _more(self, body: bytes, *, begins: bool = False, ends: bool = False) -> None:
        if begins:
            self._is_stream = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        await self._send({"type": "http.response.body", "body": body, "more_body": not ends})


def _status(answer: dict[str, Any]) -> int:
    code = answer["error"]["code"] if "error" in answer else 0
    said = (answer["error"].get("data") or {}) if code == REFUSED else {}
    return http_status(said) if said.get("code") == payload.BUSY else _STATUS.get(code, 200)
