"""Bytes in both directions between two sockets, within bounds of bytes, silence and time.

Memory is bounded by the socket buffers: nothing is read before what came earlier was taken by the other side, and a
side that takes nothing is as silent as one that sends nothing.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bywire.model.gateway_egress import EgressLimits

PART_BYTES = 65_536


class LimitError(Exception):
    """A bound of the connection was reached; `which` is its name in the settings."""

    def __init__(self, which: str) -> None:
        super().__init__(which)
        self.which = which


class Meter:
    """Counts one connection's bytes and ends it by `LimitError` after silence, too much time, or too many of them."""

    def __init__(self, limits: EgressLimits) -> None:
        self.sent = 0
        self.received = 0
        self._limits = limits
        self._ends = 0.0
        self._withdrawn = False
        self._timer: asyncio.Timeout | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + self._limits.total_seconds
        self._timer = asyncio.timeout_at(self._next(loop.time()))
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            try:
                await self._timer.__aexit__(kind, error, trace)
            except TimeoutError:
                over = asyncio.get_running_loop().time() >= self._ends
                bound = "total_seconds" if over else "idle_seconds"
                raise LimitError("withdrawn" if self._withdrawn else bound) from None

    def up(self, count: int) -> None:
        """So much is on its way to the destination."""
        self.sent += count
        if self.sent > self._limits.upload_bytes:
            raise LimitError("upload_bytes")
        self._alive()

    def down(self, count: int) -> None:
        """So much came back."""
        self.received += count
        if self.received > self._limits.download_bytes:
            raise LimitError("download_bytes")
        self._alive()

    def withdraw(self) -> None:
        """End it now: what allowed it does not hold any more."""
        self._withdrawn = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(0)

    def _alive(self) -> None:
        if self._timer is not None and not self._withdrawn:
            self._timer.reschedule(self._next(asyncio.get_running_loop().time()))

    def _next(self, now: float) -> float:
        return min(self._ends, now + self._limits.idle_seconds)


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    meter: Meter,
) -> None:
    """Until the destination ends, or a bound is reached. A client that only stops sending is still answered."""
    up = asyncio.create_task(_pump(reader, upstream[1], meter.up))
    down = asyncio.create_task(_pump(upstream[0], writer, meter.down))
    try:
        done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await down
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]) -> None:
    try:
        while data := await reader.read(PART_BYTES):
            count(len(data))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        # Gone midway: the other direction ends with it.
        return
