"""The head of an answer leaves in one piece with the first part of its body.

uvicorn writes them one after the other. Each would be a system call here, and wake whoever waits there. ASGI lets a
server hold a head until the body begins; an answer without one says when it is over.
"""

from asyncio import Transport
from typing import Any

_INTERIM = b"HTTP/1.1 100 "


class JoinedWrites:
    """A transport that holds the head of each answer, and passes everything else on."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head = b""
        self._begins = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold what begins an answer; whatever comes next takes it along."""
        if self._begins and not data.startswith(_INTERIM):
            self._begins = False
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def ended(self) -> None:
        """The answer is whole: what is held leaves, and another may begin."""
        self._begins = True
        head, self._head = self._head, b""
        # The other side may have gone meanwhile: its transport takes nothing any more.
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Let go of what is held, then close."""
        self.ended()
        self._transport.close()

    def abort(self) -> None:
        """Forget what is held, and close."""
        self._head = b""
        self._transport.abort()
