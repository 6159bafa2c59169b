"""Threads that carry one call each, for an event loop that waits for it, in lanes that cannot hold each other up.

A lane is an upstream, or a kind of work of our own: an upstream that never answers takes its own threads, and neither
another one's nor those in which people decide. The standard pool makes two futures a call and wakes locks for both:
about 30 us of CPU, where a whole call costs a millisecond.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Beside upstreams, whose names hold no such sign: our own tools, verdicts and pages, tokens, egress.
OWN, PEOPLE, TOKENS, WAY_OUT = ":own", ":people", ":tokens", ":egress"


class BusyError(Exception):
    """Every place is taken, or the pool is closed."""


class _Call:
    """Work, and who waits for it on which loop; nobody does when there is no future."""

    __slots__ = ("_future", "_loop", "_work")

    def __init__(
        self,
        work: Callable[[], Any],
        future: asyncio.Future[Any] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._work = work
        self._future = future
        self._loop = loop

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it."""
        return self._future is not None

    def carry(self) -> tuple[Any, BaseException | None]:
        """What came of it. Who went away before it began wants it no more."""
        if self._future is not None and self._future.cancelled():
            return None, None
        try:
            return self._work(), None
        except StopIteration as ended:  # no future takes that
            error = RuntimeError("work of the pool ended as an iterator does")
            error.__cause__ = ended
            return None, error
        except BaseException as error:  # noqa: BLE001  whoever waits is told
            return None, error

    def tell(self, result: Any, error: BaseException | None) -> None:
        """Tell whoever waits; what nobody waits for is told where an error of any thread is."""
        if self._future is None or self._loop is None:
            if error is not None:
                threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
            return
        try:
            self._loop.call_soon_threadsafe(_settle, self._future, result, error)
        except RuntimeError:  # the loop has ended, and so has everybody on it
            return


class _Lane:
    """The threads of one lane, what they carry, and how many calls there are: carried, or waiting for a thread."""

    __slots__ = ("calls", "taken", "threads")

    def __init__(self) -> None:
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.taken = 0


class CallPool:
    """`threads` calls at once in each lane, and `waiting` more behind all of them together.

    Thread-safe. Lanes and threads begin when they are needed; whoever names lanes names few.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads_max = threads
        self._waiting_max = waiting
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._waiting = 0
        self._is_closed = False

    async def run(self, work: Callable[[], T], lane: str) -> T:
        """`work` in a thread, with what it returns or raises. Raises BusyError when it would wait and cannot.

        Who stops waiting leaves behind what began; what did not is not begun.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Call(work, future, loop), lane, self._waiting_max)
        return await future

    def leave(self, work: Callable[[], None], lane: str) -> None:
        """`work` in a thread, whatever waits already; nobody is told how it ended. Raises BusyError once closed."""
        self._put(_Call(work), lane, sys.maxsize)

    def close(self) -> None:
        """What is under way ends, and so does what was left to the pool; who waits to begin is told `busy`."""
        with self._lock:
            self._is_closed = True
        for lane in self._lanes.values():
            left = []
            with contextlib.suppress(Empty):
                while (call := lane.calls.get_nowait()) is not None:
                    if call.is_awaited:
                        call.tell(None, BusyError())
                    else:
                        left.append(call)
            for end in (*left, *(None for _ in lane.threads)):
                lane.calls.put(end)
        for lane in self._lanes.values():
            for thread in lane.threads:
                thread.join()

    def _put(self, call: _Call, name: str, waiting_max: int) -> None:
        with self._lock:
            if self._is_closed:
                raise BusyError
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane()
            waits = lane.taken >= self._threads_max
            if waits and self._waiting >= waiting_max:
                raise BusyError
            if len(lane.threads) <= lane.taken and not waits:
                self._begin(lane)
            lane.taken += 1
            self._waiting += waits
            lane.calls.put(call)

    def _begin(self, lane: _Lane) -> None:
        """One more thread. Where the system has none to give, those that are here are enough."""
        thread = threading.Thread(target=self._carry_all, args=(lane,), name="bywire-call", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not lane.threads:
                raise BusyError from error
            return
        lane.threads.append(thread)

    def _carry_all(self, lane: _Lane) -> None:
        while (call := lane.calls.get()) is not None:
            result, error = call.carry()
            with self._lock:
                self._waiting -= lane.taken > self._threads_max  # of those behind it, one has a thread now
                lane.taken -= 1
            call.tell(result, error)
            del call, result, error  # what a call held is not held until the next one comes


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
