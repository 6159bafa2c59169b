"""What is written to a connection in one turn of the loop leaves in one piece: the head of an answer and its body.

uvicorn writes them one after the other. Each would be a system call here, and wake whoever waits there.
"""

from asyncio import AbstractEventLoop, Transport
from typing import Any

# An answer that goes on without ever waiting must not pile up here, where nobody slows it down.
HELD_BYTES_MAX = 65_536


class JoinedWrites:
    """A transport that holds what is written until the loop comes round, and passes everything else on."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold `data`; it leaves in this turn of the loop."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes >= HELD_BYTES_MAX:
            self._flush()

    def close(self) -> None:
        """Let go of what is held, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Forget what is held, and close."""
        self._held.clear()
        self._transport.abort()

    def _flush(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        # The other side may have gone meanwhile: its transport takes nothing any more.
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))
