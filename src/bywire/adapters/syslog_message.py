"""RFC 5424 messages and how streams frame them (RFC 6587, 3.4.1; RFC 5425, 4.3). Pure: text in, bytes out."""

import re

from bywire.adapters.json_log_lines import rfc3339

FACILITIES = {
    "user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "local0": 16, "local1": 17, "local2": 18, "local3": 19,
    "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
ERROR, WARNING, INFO = 3, 4, 6
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]+")
_HOST_CHARS_MAX, _APP_CHARS_MAX, _PROCESS_CHARS_MAX = 255, 48, 128
NIL = "-"


def message(facility: str, grave: int, at_ms: int, host: str, app: str, process: str, kind: str, text: bytes) -> bytes:
    """One message, without structured data; `text` is ASCII."""
    head = (
        f"<{FACILITIES[facility] * 8 + grave}>1 {rfc3339(at_ms)} {_field(host, _HOST_CHARS_MAX)}"
        f" {_field(app, _APP_CHARS_MAX)} {_field(process, _PROCESS_CHARS_MAX)} {_field(kind, 32)} {NIL} "
    )
    return head.encode("ascii") + text


def framed(one: bytes) -> bytes:
    """A message on a stream: its length in bytes, a space, itself."""
    return b"%d " % len(one) + one


def severity(effect: str, status: str, error: str) -> int:
    """A denied call is a warning, one that broke an error."""
    if effect == "deny":
        return WARNING
    return ERROR if error and status in {"failed", "unknown"} else INFO


def _field(text: str, most: int) -> str:
    return _NOT_PRINTABLE.sub("", text)[:most] or NIL
