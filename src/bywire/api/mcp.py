"""`/mcp/UPSTREAM`: MCP over streamable HTTP, in the newest version and in the two with a handshake before it.

An answer is one JSON object as long as nothing was to be told before it; the first notification turns it into a
stream. A client that goes away ends a read; what may have had an effect is carried out, and the same call with the same
key finds its outcome.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from bywire.adapters import mcp_message as rpc
from bywire.adapters.key_files import draw_id
from bywire.adapters.mcp_followed import Follower
from bywire.adapters.mcp_link import HANDSHAKE_KNOWN
from bywire.adapters.mcp_message import HANDSHAKE, MODERN, Message, MessageError
from bywire.adapters.mcp_relay import Relay
from bywire.api.errors import RefusedError, malformed, told
from bywire.api.mcp_exchange import Exchange
from bywire.api.mcp_server import Caller, FaultError, McpServer, UnauthenticatedError, modern_fault
from bywire.api.mcp_streams import STREAMS_PER_SESSION_MAX, Listeners, McpSession, Outlet, Sessions, Wanted
from bywire.api.reading import body_of, fields_of, token_of, trace_of
from bywire.wiring import payload
from bywire.wiring.call_pool import BusyError
from bywire.wiring.gateway import Gateway, lane_of_upstream

FOLLOWED_MAX = 64
URI_CHARS_MAX = 8_192
_ONCE = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id", b"accept", b"last-event-id")
_ALL_CHANGES = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged"})


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    return [Route("/mcp/{upstream}", McpEndpoint(gateway), methods=["POST", "GET", "DELETE"])]


class McpEndpoint:
    """ASGI: one upstream's MCP endpoint, by the path parameter `upstream`."""

    def __init__(self, gateway: Gateway) -> None:
        self._server = McpServer(gateway)
        self._gateway = gateway
        self._bytes_max = gateway.settings.limits.body_bytes
        self._sessions = Sessions(lambda session_id, one: self._released(one.upstream, one.principal, session_id))
        self._listeners = Listeners()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        try:
            exchange = self._exchange(request, send)
            if scope["method"] == "POST":
                await self._post(exchange)
            elif scope["method"] == "GET":
                await self._get(exchange)
            else:
                await self._delete(exchange)
        except RefusedError as refused:
            await told(refused.said, refused.status)(scope, receive, send)
        except UnauthenticatedError as nobody:
            await told(nobody.said)(scope, receive, send)
        except ClientDisconnect:
            return

    def _exchange(self, request: Request, send: Send) -> Exchange:
        upstream = str(request.path_params["upstream"])
        headers = request.scope["headers"]
        if len(fields_of(request.scope)) != len(headers):
            names = [name for name, _ in headers]
            repeated = next((name for name in _ONCE if names.count(name) > 1), b"")
            if repeated:
                raise malformed(f"there are two {repeated.decode()} headers", "send one")
        token = token_of(request)
        if self._server.executor(upstream) is None:
            raise RefusedError(
                payload.refusal(
                    payload.UNKNOWN_TOOL,
                    "there is no MCP upstream of that name",
                    next_step="name it in gateway.yaml, with kind: mcp",
                ),
                404,
            )
        return Exchange(request, send, upstream, token)

    async def _post(self, exchange: Exchange) -> None:
        if not exchange.accepts("application/json", "text/event-stream"):
            raise malformed("an MCP client accepts JSON and event streams", "send Accept with both", 406)
        if exchange.header("content-type").partition(";")[0].strip().lower() != "application/json":
            raise malformed("the body is not JSON", "send Content-Type: application/json", 415)
        body = await body_of(exchange.request, self._bytes_max)
        try:
            message = rpc.parse_message(body)
            rpc.check_one_reading(body)
        except MessageError as error:
            await exchange.reply(rpc.failure(None, error.rpc_code, error.message), 400)
            return
        if exchange.header("mcp-protocol-version") == MODERN or rpc.META_VERSION in message.meta:
            await self._modern(exchange, message)
        else:
            await self._older(exchange, message)

    async def _modern(self, exchange: Exchange, message: Message) -> None:
        if not message.is_request or isinstance(message.id, msgspec.UnsetType) or message.id is None:
            if message.method is msgspec.UNSET:
                await exchange.reply(rpc.failure(None, rpc.INVALID_REQUEST, "a client sends no responses"), 400)
            else:
                await exchange.accepted()  # this version knows none from clients; the end of a stream cancels
            return
        fault = modern_fault(message, exchange.headers)
        if fault is not None:
            await exchange.reply(rpc.failure(message.id, fault.code, fault.message, fault.data), 400)
            return
        meta = message.meta
        level = meta.get(rpc.META_LOG_LEVEL, "")
        caller = Caller(
            token=exchange.token,
            upstream=exchange.upstream,
            version=MODERN,
            capabilities=meta[rpc.META_CAPABILITIES],
            log_level=level if isinstance(level, str) else "",
            trace=trace_of(exchange.request),
            headers=exchange.headers,
        )
        if message.method == "subscriptions/listen":
            await self._listen(exchange, caller, message)
            return
        outlet = Outlet()
        relay = self._server.relay(caller, message, _into(outlet))
        await exchange.answered(self._server, caller, message, relay, outlet, cancels=True)

    async def _older(self, exchange: Exchange, message: Message) -> None:
        if message.method == "initialize":
            await self._begin(exchange, message)
            return
        session = self._session(exchange)
        if not message.is_request or isinstance(message.id, msgspec.UnsetType) or message.id is None:
            cancelled = message.arguments.get("requestId") if message.method == "notifications/cancelled" else None
            relay = session.under_way.get(cancelled) if isinstance(cancelled, int | str) else None
            if relay is not None:
                relay.cancel()
            await exchange.accepted()
            return
        if message.id in session.under_way:
            await exchange.reply(
                rpc.failure(message.id, rpc.INVALID_REQUEST, "a request with this id is under way"), 400
            )
            return
        caller = Caller(
            token=exchange.token,
            upstream=exchange.upstream,
            version=session.version,
            log_level=session.log_level,
            trace=trace_of(exchange.request),
            session=exchange.header("mcp-session-id"),
        )
        outlet = Outlet()
        relay = session.under_way[message.id] = self._server.relay(caller, message, _into(outlet))
        try:
            answer = await exchange.answered(self._server, caller, message, relay, outlet, cancels=False)
        finally:
            session.under_way.pop(message.id, None)
        if "result" in answer:
            _remember(session, message)

    async def _begin(self, exchange: Exchange, message: Message) -> None:
        if isinstance(message.id, msgspec.UnsetType) or message.id is None:
            await exchange.reply(rpc.failure(None, rpc.INVALID_REQUEST, "initialize is a request"), 400)
            return
        principal = self._principal(exchange)
        caller = Caller(token=exchange.token, upstream=exchange.upstream, version=HANDSHAKE[0])
        answer = await self._server.answer(caller, message, Relay(lambda *_: None))
        if "result" not in answer:
            await exchange.reply(answer, 400)
            return
        version = answer["result"]["protocolVersion"]
        session_id = draw_id()
        session = McpSession(principal, exchange.upstream, version)
        try:
            self._sessions.add(session_id, session)
        except OverflowError as error:
            raise RefusedError(payload.busy()) from error
        await exchange.reply(answer, 200, [(b"mcp-session-id", session_id.encode())])

    async def _get(self, exchange: Exchange) -> None:
        if exchange.header("mcp-protocol-version") == MODERN:
            await exchange.not_allowed("POST")
            return
        if not exchange.accepts("text/event-stream"):
            raise malformed("this is a stream of events", "send Accept: text/event-stream", 406)
        session = self._session(exchange)
        if session.streams >= STREAMS_PER_SESSION_MAX:
            raise malformed("this session has as many streams as it may", "close one", 409)
        session.streams += 1
        try:
            await self._stream(exchange, Wanted(_ALL_CHANGES, session.uris), [])
        finally:
            session.streams -= 1

    async def _delete(self, exchange: Exchange) -> None:
        if exchange.header("mcp-protocol-version") == MODERN:
            await exchange.not_allowed("POST")
            return
        self._session(exchange)
        self._sessions.remove(exchange.header("mcp-session-id"))
        await exchange.accepted(200)

    async def _listen(self, exchange: Exchange, caller: Caller, message: Message) -> None:
        """`subscriptions/listen`: what the client may hear is said first, then what changes, until it goes away."""
        principal, stream = self._gateway.session(caller.token).principal.id, draw_id()
        try:
            await self._listened(exchange, msgspec.structs.replace(caller, session=stream), message)
        finally:
            self._released(caller.upstream, principal, stream)

    async def _listened(self, exchange: Exchange, caller: Caller, message: Message) -> None:
        asked = message.arguments.get("notifications")
        asked = asked if isinstance(asked, dict) else {}
        kinds = frozenset(name for name in _ALL_CHANGES if asked.get(name) is True)
        uris = [uri for uri in asked.get("resourceSubscriptions") or () if _may_follow(uri)][:FOLLOWED_MAX]
        followed = set()
        for uri in uris:
            subscribe = Message(jsonrpc="2.0", id=0, method="resources/subscribe", params={"uri": uri})
            answer = await self._server.answer(caller, subscribe, Relay(lambda *_: None))
            if "result" in answer:
                followed.add(uri)
        honoured: dict[str, Any] = dict.fromkeys(sorted(kinds), True)
        if followed:
            honoured["resourceSubscriptions"] = sorted(followed)
        meta = {rpc.META_SUBSCRIPTION: message.id}
        first = rpc.notification("notifications/subscriptions/acknowledged", {"_meta": meta, "notifications": honoured})
        await self._stream(exchange, Wanted(kinds, followed, _id(message)), [first])

    async def _stream(self, exchange: Exchange, wanted: Wanted, first: list[dict[str, Any]]) -> None:
        executor = self._server.executor(exchange.upstream)
        if executor is None:
            raise RuntimeError("the upstream went away")
        outlet = Outlet()
        try:
            stop = self._listeners.add(executor, self._principal(exchange), outlet, wanted)
        except OverflowError as error:
            raise RefusedError(payload.busy()) from error
        try:
            await exchange.streamed(outlet, first)
        finally:
            stop()

    def _released(self, upstream: str, principal: str, session: str) -> None:
        """What a session or stream followed ends with it; in a thread, for the upstream is told."""
        executor = self._server.executor(upstream)
        if executor is not None:
            follower = Follower(principal, session)
            with contextlib.suppress(BusyError):  # it ends, and everything that is followed with it
                self._gateway.pool.leave(lambda: executor.link.release(follower), lane_of_upstream(upstream))

    def _session(self, exchange: Exchange) -> McpSession:
        """The session of a request, for the principal that began it alone."""
        session_id = exchange.header("mcp-session-id")
        principal = self._principal(exchange)
        if not session_id:
            raise malformed("this request names no session", "begin with initialize, then send Mcp-Session-Id", 400)
        found = self._sessions.find(session_id, exchange.upstream)
        if found is None or found.principal != principal:
            raise malformed("there is no such session", "begin again with initialize", 404)
        version = exchange.header("mcp-protocol-version")
        if version and version not in HANDSHAKE_KNOWN:
            raise malformed(f"this session speaks {found.version}", "send that as MCP-Protocol-Version", 400)
        return found

    def _principal(self, exchange: Exchange) -> str:
        return self._gateway.session(exchange.token).principal.id


def _into(outlet: Outlet) -> Any:
    """A relay's way into an outlet."""

    def hear(method: str, params: dict[str, Any]) -> None:
        outlet.put(rpc.notification(method, params))

    return hear


def _id(message: Message) -> rpc.Id:
    if isinstance(message.id, int | str):
        return message.id
    raise FaultError(rpc.INVALID_REQUEST, "a request has an id")


def _may_follow(uri: Any) -> TypeGuard[str]:
    """Whether it is kept for as long as a session or stream lasts."""
    return isinstance(uri, str) and len(uri) <= URI_CHARS_MAX


def _remember(session: McpSession, message: Message) -> None:
    """What a session asked for that stays: its log level, and the resources it follows."""
    params = message.arguments
    uri = params.get("uri")
    if message.method == "logging/setLevel":
        session.log_level = str(params.get("level"))
    elif not _may_follow(uri):
        return
    elif message.method == "resources/subscribe" and len(session.uris) < FOLLOWED_MAX:
        session.uris.add(uri)
    elif message.method == "resources/unsubscribe":
        session.uris.discard(uri)
