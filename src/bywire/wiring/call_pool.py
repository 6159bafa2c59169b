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

IDLE_SECONDS = 60.0
# Beside executors, whose names do not begin so: what is no tool's, verdicts and pages, tokens, egress, its records.
OWN, PEOPLE, TOKENS, WAY_OUT, RECORDS = ":own", ":people", ":tokens", ":egress", ":records"


class BusyError(Exception):
    """Every place is taken, or the pool is closed."""


class _Call:
    """Work, and who waits for it on which loop; nobody does when there is no future."""

    __slots__ = ("_future", "_loop", "_work", "has_begun", "is_abandoned")

    def __init__(
        self,
        work: Callable[[], Any],
        future: asyncio.Future[Any] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._work = work
        self._future = future
        self._loop = loop
        self.has_begun = self.is_abandoned = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it."""
        return self._future is not None

    def carry(self) -> tuple[Any, BaseException | None]:
        """What came of it."""
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
                # Where nobody reads that either, the thread still has others to carry.
                with contextlib.suppress(Exception):
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
    """`threads` calls at once in each lane, and `waiting` more behind them.

    Thread-safe. Lanes and threads begin when they are needed, and threads end when they are not; whoever names lanes
    names few.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads_max = threads
        self._places = threads + waiting
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    async def run(self, work: Callable[[], T], lane: str) -> T:
        """`work` in a thread, with what it returns or raises. Raises BusyError when every place is taken.

        Who stops waiting leaves behind what began; what did not is not begun, and its place is free at once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        call = _Call(work, future, loop)
        taken = self._put(call, lane, self._places)
        try:
            return await future
        except asyncio.CancelledError:
            with self._lock:
                if not call.has_begun and not call.is_abandoned:
                    call.is_abandoned = True
                    taken.taken -= 1
            raise

    def leave(self, work: Callable[[], None], lane: str) -> None:
        """`work` in a thread, whatever waits already; nobody is told how it ended. Raises BusyError once closed."""
        self._put(_Call(work), lane, sys.maxsize)

    def close(self) -> None:
        """What is under way ends, and so does what was left to the pool; who waits to begin is told `busy`."""
        with self._lock:
            self._is_closed = True
            lanes = [(lane, tuple(lane.threads)) for lane in self._lanes.values()]
        for lane, threads in lanes:
            left = []
            with contextlib.suppress(Empty):
                while (call := lane.calls.get_nowait()) is not None:
                    if call.is_awaited:
                        call.tell(None, BusyError())
                    else:
                        left.append(call)
            for end in (*left, *(None for _ in threads)):
                lane.calls.put(end)
        for _, threads in lanes:
            for thread in threads:
                thread.join()

    def _put(self, call: _Call, name: str, places: int) -> _Lane:
        with self._lock:
            if self._is_closed:
                raise BusyError
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane()
            if lane.taken >= places:
                raise BusyError
            if len(lane.threads) <= lane.taken and len(lane.threads) < self._threads_max:
                self._begin(lane)
            lane.taken += 1
            lane.calls.put(call)
            return lane

    def _begin(self, lane: _Lane) -> None:
        """One more thread. Where the system has none to give, those that are here are enough."""
        thread = threading.Thread(target=self._carry_all, args=(lane,), name="bywire-call", daemon=True)
        lane.threads.append(thread)
        try:
            thread.start()
        except RuntimeError as error:
            lane.threads.remove(thread)
            if not lane.threads:
                raise BusyError from error

    def _carry_all(self, lane: _Lane) -> None:
        while True:
            try:
                call = lane.calls.get(timeout=IDLE_SECONDS)
            except Empty:
                if self._ends(lane):
                    return
                continue
            if call is None:
                return
            with self._lock:
                call.has_begun = not call.is_abandoned
            if call.has_begun:
                self._carry(call, lane)
            del call  # what it held is not held until the next one comes

    def _carry(self, call: _Call, lane: _Lane) -> None:
        result, error = call.carry()
        with self._lock:
            lane.taken -= 1
        call.tell(result, error)

    def _ends(self, lane: _Lane) -> bool:
        """Whether an idle thread may end: nothing came at the same moment, and nobody waits for its end."""
        with self._lock:
            if self._is_closed or not lane.calls.empty():
                return False
            lane.threads.remove(threading.current_thread())
            return True


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
