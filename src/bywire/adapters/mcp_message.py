"""JSON-RPC 2.0 as MCP narrows it: one message at a time, ids that are texts or whole numbers, bounded nesting.

Both ends use it, for what clients send and for what upstreams answer: whatever is not exactly a message is refused here
with the JSON-RPC code that says why, before anything looks at what it asks.
"""

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from bywire.model.errors import BywireError
from bywire.seal.strict_json import one_reading

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32020, -32021, -32022
MODERN = "2026-07-28"
# Versions with a handshake; the newest is offered first.
HANDSHAKE = ("2025-11-25", "2025-06-18")
VERSIONS = (MODERN, *HANDSHAKE)
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_SERVER = "io.modelcontextprotocol/serverInfo"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
# Which parameter a request's Mcp-Name header repeats.
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
DEPTH_MAX = 64
ID_CHARS_MAX, METHOD_CHARS_MAX, ID_MAX = 256, 128, 2**53 - 1

Id: TypeAlias = int | str


class MessageError(BywireError):
    """What came is no message. `rpc_code` is the JSON-RPC code to answer with."""

    code = "message_malformed"

    def __init__(self, message: str, rpc_code: int = INVALID_REQUEST) -> None:
        super().__init__(message, next_step="send one JSON-RPC 2.0 request, notification or response")
        self.rpc_code = rpc_code


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request (method, id), a notification (method), or a response (id and result, or error)."""

    jsonrpc: Literal["2.0"]
    method: str | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    params: dict[str, Any] | UnsetType = UNSET
    result: Any = UNSET
    error: dict[str, Any] | UnsetType = UNSET

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return self.method is not UNSET and self.id is not UNSET

    @property
    def is_notification(self) -> bool:
        """Whether it wants none."""
        return self.method is not UNSET and self.id is UNSET

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters; none are as good as an empty object."""
        return {} if isinstance(self.params, UnsetType) else self.params

    @property
    def meta(self) -> dict[str, Any]:
        """`_meta` of the parameters, when it is an object."""
        found = self.arguments.get("_meta")
        return found if isinstance(found, dict) else {}


_decoder = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


def parse_message(raw: bytes) -> Message:
    """One message. Raises MessageError."""
    try:
        message = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        batch = raw.lstrip()[:1] == b"["
        why = (
            "batches are not part of this protocol: send one message"
            if batch
            else f"this is no JSON-RPC message: {error}"
        )
        raise MessageError(why) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"this is no JSON: {error}", PARSE_ERROR) from error
    except RecursionError as error:
        raise MessageError(f"it nests deeper than {DEPTH_MAX}", PARSE_ERROR) from error
    # Only what has many brackets can be deep: the walk is spared for nearly every message.
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and is_deep([message.params, message.result, message.error]):
        raise MessageError(f"it nests deeper than {DEPTH_MAX}")
    _check(message)
    return message


def check_one_reading(raw: bytes) -> None:
    """MessageError when two readers could take a document for two things: equal members, or what is no number."""
    try:
        one_reading(raw.decode())
    except (ValueError, RecursionError) as error:
        raise MessageError(f"it has more than one reading: {error}", PARSE_ERROR) from error


def is_deep(value: Any, most: int = DEPTH_MAX) -> bool:
    """Whether a JSON value nests deeper than `most`; level by level, so that no depth costs a stack."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def encoded(message: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return _encoder.encode(message)


def request(method: str, params: dict[str, Any], message_id: Id) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}


def notification(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


def result(message_id: Id, value: Any) -> dict[str, Any]:
    """An answer."""
    return {"jsonrpc": "2.0", "id": message_id, "result": value}


def failure(message_id: Id | None, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """An error; without an id when nobody knows which request it answers."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": message_id, "error": error}


def _check(message: Message) -> None:
    named = isinstance(message.method, str)
    if isinstance(message.method, str) and not 0 < len(message.method) <= METHOD_CHARS_MAX:
        raise MessageError(f"a method's name has 1 to {METHOD_CHARS_MAX} characters")
    if isinstance(message.id, str) and len(message.id) > ID_CHARS_MAX:
        raise MessageError(f"an id has at most {ID_CHARS_MAX} characters")
    if isinstance(message.id, int) and abs(message.id) > ID_MAX:
        raise MessageError("an id that is a number lies within what JSON carries exactly")
    if message.id is None and (named or message.error is UNSET):
        raise MessageError("an id is a text or a whole number, never null")
    answers = (message.result is not UNSET) + (message.error is not UNSET)
    if named == bool(answers) or answers > 1 or (answers and message.id is UNSET and message.error is UNSET):
        raise MessageError("a message has a method, or a result, or an error")
