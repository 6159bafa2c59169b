"""What MCP clients and MCP servers send: messages, events, headers, definitions, and HTTP answers."""

import socket
import time

from registry import Parser, parser

REQUEST = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {"name": "get", "arguments": {"a": [1, {"b": None}]}, "_meta": {"progressToken": "t"}},
}
RESPONSE = {"jsonrpc": "2.0", "id": "7", "result": {"content": [{"type": "text", "text": "done"}], "isError": False}}
FAILURE = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no"}}
STREAM = (
    b'id: 1\ndata:\n\n: ping\n\nevent: message\ndata: {"jsonrpc":"2.0",\r\ndata: "id":1}\r\n\r\nretry: 50\nid: 2\n\n'
)
DEFINITION = {
    "name": "get",
    "description": "Gets what is asked for.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "string", "description": "Which.", "enum": ["x"]}}},
    "outputSchema": {"type": "object"},
    "annotations": {"title": "Get", "readOnlyHint": True},
}
ANSWERS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.0 204 No Content\r\n\r\n",
)


@parser("adapters/mcp_message.py:parse_message")
def _() -> Parser:
    from bywire.adapters.mcp_message import parse_message

    return Parser(parse_message, (REQUEST, RESPONSE, FAILURE), "json")


@parser("adapters/mcp_message.py:check_one_reading")
def _() -> Parser:
    from bywire.adapters.mcp_message import check_one_reading

    return Parser(check_one_reading, (REQUEST, RESPONSE), "json")


@parser("adapters/mcp_events.py:EventParser.parse_part")
def _() -> Parser:
    from bywire.adapters.mcp_events import EventParser

    def read(raw: bytes) -> None:
        events = EventParser(most=65_536)
        for at in range(0, len(raw), 1_000):
            events.parse_part(raw[at : at + 1_000])

    return Parser(read, (STREAM,))


@parser("adapters/mcp_headers.py:decode_value")
def _() -> Parser:
    from bywire.adapters.mcp_headers import decode_value

    return Parser(decode_value, ("us-west1", "=?base64?SGVsbG8=?=", "=?base64?w6k=?="), "text")


@parser("adapters/mcp_headers.py:invalid_annotation")
def _() -> Parser:
    from bywire.adapters.mcp_headers import invalid_annotation, mirrored

    schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}

    def read(value: object) -> None:
        invalid_annotation(value)
        mirrored(value, {"a": 1})

    return Parser(read, (schema,), "value")


@parser("gateway/tool_definition.py:suspicions")
def _() -> Parser:
    from bywire.gateway.tool_definition import definition_digest, difference, suspicions

    def read(value: object) -> None:
        if isinstance(value, dict):
            suspicions(value)
            difference(DEFINITION, value)
            definition_digest(value)

    return Parser(read, (DEFINITION,), "value")


@parser("adapters/http_connection.py:HttpConnection.parts")
def _() -> Parser:
    from bywire.adapters.http_connection import HttpConnection

    def read(raw: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(True)
            theirs.settimeout(0.2)
            connection = HttpConnection(ours)
            try:
                theirs.sendall(raw[:60_000])
            except TimeoutError:
                return
            theirs.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + 1
            connection.head(deadline)
            for _part in connection.parts(deadline):
                pass
            connection.is_quiet()

    return Parser(read, ANSWERS, refusals=(OSError,))
