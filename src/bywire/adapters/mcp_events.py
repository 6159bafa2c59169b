"""Server-sent events (WHATWG HTML, 9.2) as MCP uses them: each event's data is one message. Bounded, fed in parts."""

import re

import msgspec

from bywire.model.errors import TargetError

EVENT_BYTES_MAX = 8 * 1024 * 1024
RETRY_MS_MAX = 60_000
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True):
    """One event. `data` is empty for one that only says where to go on from."""

    data: bytes
    id: str = ""


class EventParser:
    """Bytes in, events out. Comments and fields that MCP does not use are skipped."""

    def __init__(self, most: int = EVENT_BYTES_MAX) -> None:
        self._most = most
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._size = 0
        self._kind = b""
        self._id = ""
        self._is_new = False
        self._begun = False
        self.retry_ms = 1_000

    def parse_part(self, part: bytes) -> list[Event]:
        """The events that this part ends. TargetError `event_too_large`."""
        self._rest += part
        if not self._begun:
            if len(self._rest) < len(_BOM) and _BOM.startswith(bytes(self._rest)):
                return []
            self._begun = True
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]
        found: list[Event] = []
        at = 0
        while (end := _LINE_END.search(self._rest, max(at, self._searched))) is not None:
            if end.group() == b"\r" and end.end() == len(self._rest):
                break  # the other half of this line's end may follow
            event = self._line(bytes(self._rest[at : end.start()]))
            at = end.end()
            if event is not None:
                found.append(event)
        del self._rest[:at]
        self._searched = max(0, len(self._rest) - 1)
        if len(self._rest) + self._size > self._most:
            raise TargetError(
                f"an event is larger than {self._most} bytes", code="event_too_large", next_step="ask for less"
            )
        return found

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._kind = value
        elif name == b"id" and b"\x00" not in value:
            self._id, self._is_new = value.decode("utf-8", "replace")[:1_024], True
        elif name == b"retry" and value.isdigit() and len(value) <= 9:
            self.retry_ms = min(int(value), RETRY_MS_MAX)
        return None

    def _dispatch(self) -> Event | None:
        data, kind, is_new = b"\n".join(self._data), self._kind, self._is_new
        self._data, self._size, self._kind, self._is_new = [], 0, b"", False
        if kind not in {b"", b"message"} or not (data or is_new):
            return None
        return Event(data, self._id)


def event(message: bytes) -> bytes:
    """One message as an event; JSON of ours has no line end inside."""
    return b"event: message\ndata: " + message + b"\n\n"
