"""Streams to MCP clients: what is sent meanwhile, who listens for changes, and the older versions' sessions.

Everything is bounded: a client that does not read loses its stream, never the gateway its memory.
"""

import asyncio
import collections
import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_relay import Relay
from bywire.adapters.mcp_upstream import McpExecutor

WAITING_MAX = 256
LISTENERS_MAX, LISTENERS_EACH_MAX = 16_384, 1_024
SESSIONS_MAX, SESSIONS_EACH_MAX = 16_384, 256
STREAMS_PER_SESSION_MAX = 4
FOLLOWED_MAX = 64
_CHANGES = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
UPDATED = "notifications/resources/updated"


class Outlet:
    """Messages on their way to one client. `put` may be called from any thread."""

    __slots__ = ("_loop", "_stirred", "_waiting", "is_over", "on_first")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self.is_over = False
        self.on_first: Callable[[], None] | None = None

    def put(self, message: dict[str, Any]) -> None:
        """Send this as soon as the client reads."""
        self._loop.call_soon_threadsafe(self._put, message)

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._stirred.set()

    async def stirred(self, seconds: float) -> bool:
        """Wait until something is there, or it is over; False when nothing came in that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return False
        self._stirred.clear()
        return True

    def taken(self) -> list[dict[str, Any]]:
        """What is there."""
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def _put(self, message: dict[str, Any]) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(message)
        else:
            self.is_over = True  # it does not read
        self._stirred.set()
        if self.on_first is not None:
            self.on_first()


class Wanted(msgspec.Struct):
    """Which changes a listener hears; `uris` are resources that it follows, `subscription` names its own request."""

    kinds: frozenset[str]
    uris: set[str]
    subscription: rpc.Id | None = None

    def of(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The notification for this listener, if it wants it; of an upstream's text no more than a followed URI."""
        uri = params.get("uri")
        if method == UPDATED and uri in self.uris:
            said = {"uri": uri}
        elif _CHANGES.get(method, "") in self.kinds:
            said = {}
        else:
            return None
        if self.subscription is not None:
            said = {**said, "_meta": {rpc.META_SUBSCRIPTION: self.subscription}}
        return rpc.notification(method, said or None)


class Listeners:
    """Who hears of changes, by upstream. Used from the loop's thread; changes come from any."""

    def __init__(self) -> None:
        self._by_upstream: dict[str, dict[int, tuple[Outlet, Wanted]]] = {}
        self._ids = itertools.count()
        self._stops: dict[str, Callable[[], None]] = {}
        self._each: collections.Counter[str] = collections.Counter()

    def add(self, executor: McpExecutor, principal: str, outlet: Outlet, wanted: Wanted) -> Callable[[], None]:
        """Have changes put into an outlet; returns how to stop that. OverflowError when there are too many."""
        if self._each.total() >= LISTENERS_MAX or self._each[principal] >= LISTENERS_EACH_MAX:
            raise OverflowError("there are as many streams as the gateway keeps")
        self._each[principal] += 1
        number = next(self._ids)
        listeners = self._by_upstream.setdefault(executor.name, {})
        listeners[number] = (outlet, wanted)
        if executor.name not in self._stops:
            loop = asyncio.get_running_loop()

            def hear(method: str, params: dict[str, Any]) -> None:
                loop.call_soon_threadsafe(self._tell, executor.name, method, params)

            self._stops[executor.name] = executor.listen(hear)
        return lambda: self._remove(executor.name, number, principal)

    def _tell(self, upstream: str, method: str, params: dict[str, Any]) -> None:
        for outlet, wanted in self._by_upstream.get(upstream, {}).values():
            message = wanted.of(method, params)
            if message is not None:
                outlet.put(message)

    def _remove(self, upstream: str, number: int, principal: str) -> None:
        self._each[principal] -= 1
        if not self._each[principal]:
            del self._each[principal]
        listeners = self._by_upstream.get(upstream, {})
        listeners.pop(number, None)
        if not listeners and upstream in self._stops:
            self._stops.pop(upstream)()


class McpSession:
    """One client of an older version: what was agreed with it, and its requests under way by their id."""

    __slots__ = ("log_level", "principal", "streams", "under_way", "upstream", "uris", "version")

    def __init__(self, principal: str, upstream: str, version: str) -> None:
        self.principal = principal
        self.upstream = upstream
        self.version = version
        self.log_level = "debug"
        self.under_way: dict[rpc.Id, Relay] = {}
        self.uris: set[str] = set()
        self.streams = 0


class Sessions:
    """Sessions by id. The one used longest ago makes room: of the same principal's, so that nobody ends another's.

    `ended` is told of each that is over.
    """

    def __init__(self, ended: Callable[[str, McpSession], None] = lambda _id, _session: None) -> None:
        self._ended = ended
        self._kept: dict[str, McpSession] = {}
        self._each: dict[str, collections.OrderedDict[str, None]] = {}

    def add(self, session_id: str, session: McpSession) -> None:
        """Keep one. OverflowError when there is room for no other principal's."""
        own = self._each.setdefault(session.principal, collections.OrderedDict())
        if len(own) >= SESSIONS_EACH_MAX or (own and len(self._kept) >= SESSIONS_MAX):
            self.remove(next(iter(own)))
        elif len(self._kept) >= SESSIONS_MAX:
            raise OverflowError("there are as many sessions as the gateway keeps")
        self._kept[session_id] = session
        self._each.setdefault(session.principal, collections.OrderedDict())[session_id] = None

    def find(self, session_id: str, upstream: str) -> McpSession | None:
        """The session, when it is of this upstream."""
        found = self._kept.get(session_id)
        if found is None or found.upstream != upstream:
            return None
        self._each[found.principal].move_to_end(session_id)
        return found

    def remove(self, session_id: str) -> None:
        """End one; its requests under way are cancelled."""
        found = self._kept.pop(session_id, None)
        if found is None:
            return
        own = self._each[found.principal]
        del own[session_id]
        if not own:
            del self._each[found.principal]
        for relay in list(found.under_way.values()):
            relay.cancel()
        self._ended(session_id, found)
