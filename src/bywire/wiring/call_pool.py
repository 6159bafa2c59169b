"""Threads that carry one call each, for an event loop that waits for it.

The standard pool makes two futures a call and wakes locks for both: about 30 us of CPU, where a whole call costs a
millisecond.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


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


class CallPool:
    """`threads` calls at once and `waiting` more behind them. Thread-safe; threads begin when they are needed."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads_max = threads
        self._places = threads + waiting
        self._lock = threading.Lock()
        self._taken = 0
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._is_closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """`work` in a thread, with what it returns or raises. Raises BusyError when every place is taken.

        Who stops waiting leaves behind what began; what did not is not begun.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Call(work, future, loop), self._places)
        return await future

    def leave(self, work: Callable[[], None]) -> None:
        """`work` in a thread, whatever waits already; nobody is told how it ended. Raises BusyError once closed."""
        self._put(_Call(work), sys.maxsize)

    def close(self) -> None:
        """What is under way ends, and so does what was left to the pool; who waits to begin is told `busy`."""
        with self._lock:
            self._is_closed = True
        left = []
        with contextlib.suppress(Empty):
            while (call := self._calls.get_nowait()) is not None:
                if call.is_awaited:
                    call.tell(None, BusyError())
                else:
                    left.append(call)
        for end in (*left, *(None for _ in self._threads)):
            self._calls.put(end)
        for thread in self._threads:
            thread.join()

    def _put(self, call: _Call, places: int) -> None:
        with self._lock:
            if self._is_closed or self._taken >= places:
                raise BusyError
            if len(self._threads) <= self._taken and len(self._threads) < self._threads_max:
                self._begin()
            self._taken += 1
            self._calls.put(call)

    def _begin(self) -> None:
        """One more thread. Where the system has none to give, those that are here are enough."""
        thread = threading.Thread(target=self._carry_all, name="bywire-call", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise BusyError from error
            return
        self._threads.append(thread)

    def _carry_all(self) -> None:
        while (call := self._calls.get()) is not None:
            result, error = call.carry()
            with self._lock:
                self._taken -= 1
            call.tell(result, error)
            del call, result, error  # what a call held is not held until the next one comes


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
