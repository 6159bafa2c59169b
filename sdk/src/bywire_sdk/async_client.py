"""The same client for asyncio: each request runs in a thread of the client's own, so the loop never waits for one.

Cancelling gives up the wait, not what the gateway has already begun. A permit that arrives after its caller was
cancelled is handed back at once as never used, so that nothing stays unknown without need.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from bywire_sdk import system
from bywire_sdk.client import PENDING, Client, Parameters, pauses
from bywire_sdk.errors import ApprovalNeeded, GatewayError
from bywire_sdk.protocol import FAILED, Advice, Answer, Ask, Options, Permitted, Reported, Tool

T = TypeVar("T")
_FACES = threading.Lock()


class AsyncClient:
    """`Client` for asyncio, with the same arguments. `blocking` is the client underneath."""

    def __init__(self, url: str = "", *, blocking: Client | None = None, **arguments: Any) -> None:
        self.blocking = blocking or Client(url, **arguments)
        self._pool = ThreadPoolExecutor(self.blocking.limits.connections_max, thread_name_prefix="bywire-sdk")

    @classmethod
    def from_environment(cls, **arguments: Any) -> Self:
        """As `Client.from_environment`."""
        return cls(blocking=Client.from_environment(**arguments))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let requests under way end, then close the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        self.blocking.close()

    async def call(
        self,
        tool: str,
        parameters: Parameters = None,
        *,
        wait_seconds: float = 0,
        **more: Unpack[Options],
    ) -> Answer:
        """As `Client.call`."""
        more["key"] = (ask := self.blocking.ask(tool, parameters, **more)).key
        more["traceparent"] = ask.traceparent
        return await self._waiting(
            wait_seconds, lambda: self.run(lambda: self.blocking.call(tool, ask.parameters, **more))
        )

    async def permit(
        self,
        tool: str,
        parameters: Parameters = None,
        *,
        wait_seconds: float = 0,
        **more: Unpack[Options],
    ) -> Permitted | Answer:
        """As `Client.permit`."""
        return await self.permit_ask(self.blocking.ask(tool, parameters, **more), wait_seconds)

    async def permit_ask(self, ask: Ask, wait_seconds: float = 0) -> Permitted | Answer:
        """As `Client.permit_ask`. Cancelled while the gateway answers, it reports that nothing was done."""
        return await self._waiting(
            wait_seconds, lambda: self.run(lambda: self.blocking.permit_ask(ask), given_up=self._hand_back)
        )

    async def report(
        self, intent: str, status: str, result: Mapping[str, Any] | None = None, *, error: str = ""
    ) -> Reported:
        """As `Client.report`."""
        return await self.run(lambda: self.blocking.report(intent, status, result, error=error))

    async def advise(self, tool: str, parameters: Parameters = None, **more: Unpack[Options]) -> Advice:
        """As `Client.advise`."""
        more["traceparent"] = self.blocking.ask(tool, parameters, **more).traceparent
        return await self.run(lambda: self.blocking.advise(tool, parameters, **more))

    async def tools(self, upstream: str = "") -> tuple[Tool, ...]:
        """As `Client.tools`."""
        return await self.run(lambda: self.blocking.tools(upstream))

    async def approval_state(self, needed: ApprovalNeeded) -> str:
        """As `Client.approval_state`."""
        return await self.run(lambda: self.blocking.approval_state(needed))

    async def wait_for_approval(self, needed: ApprovalNeeded, timeout_seconds: float) -> str:
        """As `Client.wait_for_approval`; no thread waits meanwhile."""
        ends = system.seconds() + timeout_seconds
        for pause in pauses(self.blocking.limits):
            state = await self.approval_state(needed)
            if state != PENDING:
                return state
            left = ends - system.seconds()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
        raise needed

    async def run(self, work: Callable[[], T], given_up: Callable[[T], None] | None = None) -> T:
        """`work` in a thread of the client. `given_up` gets what it returned after nobody waited for it any more."""
        future = self.start(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if given_up is not None and not future.cancelled():
                self._pool.submit(_afterwards, future, given_up)
            raise

    def start(self, work: Callable[[], T]) -> Future[T]:
        """`work` in a thread of the client, whether or not anybody waits for it."""
        return self._pool.submit(work)

    async def _waiting(self, wait_seconds: float, attempt: Callable[[], Awaitable[T]]) -> T:
        ends, before = system.seconds() + wait_seconds, ""
        for pause in pauses(self.blocking.limits):
            try:
                return await attempt()
            except ApprovalNeeded as needed:
                left = ends - system.seconds()
                if left <= 0:
                    raise
                if needed.approval_id == before:
                    await asyncio.sleep(min(pause, left))
                before = needed.approval_id
                await self.wait_for_approval(needed, left)
        raise AssertionError("pauses do not end")

    def _hand_back(self, answer: Permitted | Answer) -> None:
        if isinstance(answer, Permitted):
            with contextlib.suppress(GatewayError):
                self.blocking.report(answer.intent, FAILED, error="cancelled before it began")


def face_of(client: Client) -> AsyncClient:
    """The asyncio face of a client that exists; one client has one."""
    with _FACES:
        if client.face is None:
            client.face = AsyncClient(blocking=client)
        face: AsyncClient = client.face
    return face


def _afterwards(future: Future[T], given_up: Callable[[T], None]) -> None:
    if future.exception() is None:
        given_up(future.result())
