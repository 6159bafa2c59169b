"""What agents send to the forward proxy and to routes: request heads, TLS hellos, hosts, paths, queries and bodies."""

from typing import Any

import h11
from registry import Parser, parser

from bywire.model.errors import BywireError

CONNECT = (
    b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
)
PLAIN = (
    b"GET http://api.example.com/a?b=c HTTP/1.1\r\nHost: api.example.com\r\nProxy-Authorization: Bearer abc\r\n"
    b"traceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01\r\nVia: 1.1 elsewhere\r\n\r\n"
)
RULE = {"agents": ["agent:deploy"], "host": "*.example.com", "ports": [443, 8443], "private": False}


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def hello(name: bytes = b"api.example.com") -> bytes:
    """A small ClientHello in one record."""
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    extensions = _extension(0, len(entry).to_bytes(2, "big") + entry) + _extension(43, b"\x02\x03\x04")
    body = b"\x03\x03" + b"r" * 32 + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + len(extensions).to_bytes(2, "big")
    message = b"\x01" + len(body + extensions).to_bytes(3, "big") + body + extensions
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


@parser("adapters/egress_proxy_hello.py:parse_client_hello")
def _() -> Parser:
    from bywire.adapters.egress_proxy_hello import parse_client_hello

    return Parser(parse_client_hello, (hello(), hello(b"A.example.")))


@parser("adapters/egress_proxy_request.py:parse_wanted")
def _() -> Parser:
    from bywire.adapters.egress_proxy_request import parse_wanted, request_headers

    def call(raw: bytes) -> Any:
        conn = h11.Connection(h11.SERVER, max_incomplete_event_size=16_384)
        conn.receive_data(raw)
        event = conn.next_event()
        if not isinstance(event, h11.Request):
            return None
        return parse_wanted(event), request_headers(list(event.headers), b"api.example.com")

    return Parser(call, (CONNECT, PLAIN), refusals=(BywireError, h11.RemoteProtocolError))


@parser("gateway/destination.py:parse_authority")
def _() -> Parser:
    from bywire.gateway.destination import facts, parse_authority

    def call(text: str) -> Any:
        return facts("agent:x", parse_authority(text), (), ())

    return Parser(call, ("api.example.com:443", "127.0.0.1:80", "[::1]:443", "0x7f.1:1"), "text")


@parser("gateway/destination.py:parse_host")
def _() -> Parser:
    from bywire.gateway.destination import parse_host

    return Parser(parse_host, ("api.example.com", "xn--e1afmkfd.example", "[fe80::1]", "2130706433."), "text")


@parser("gateway/request_path.py:parse_path")
def _() -> Parser:
    from bywire.gateway.request_path import parse_path

    return Parser(parse_path, (b"/repos/a%2Fb/contents/x.y", b"/"))


@parser("gateway/request_path.py:parse_template")
def _() -> Parser:
    from bywire.gateway.request_path import ambiguous, parse_template

    other = parse_template("/a/{x}/{+rest}")
    return Parser(lambda text: ambiguous(parse_template(text), other), ("/a/{+b}/c", "/", "/a/{x}"), "text")


@parser("api/route_reading.py:segments_of")
def _() -> Parser:
    from bywire.api.errors import RefusedError
    from bywire.api.route_reading import segments_of

    return Parser(segments_of, (b"/orders/1",), refusals=(RefusedError,))


def _entry() -> Any:
    from bywire.api.route_reading import Entry
    from bywire.gateway.contract import Contract
    from bywire.gateway.request_path import parse_template
    from bywire.model.connection import Route

    properties: dict[str, Any] = {
        "id": {"type": "integer"},
        "tag": {"type": "array", "items": {"type": "string"}},
        "n": {"type": ["number", "null"]},
        "b": {"type": "boolean"},
    }
    route = Route("POST", "/orders/{id}", query=("tag", "n", "b"))
    contract = Contract("shop.x", "read", "upstream:shop", {"properties": properties}, upstream="shop", request=route)
    return Entry(parse_template(route.path), route, contract)


@parser("api/route_reading.py:parameters_of")
def _() -> Parser:
    from bywire.api.errors import RefusedError
    from bywire.api.route_reading import parameters_of

    entry = _entry()
    return Parser(
        lambda raw: parameters_of(entry, {"id": "1"}, raw, [], b""),
        (b"tag=a&tag=b&n=1.5&b=true",),
        refusals=(RefusedError,),
    )


@parser("api/route_reading.py:parameters_of (body)")
def _() -> Parser:
    from bywire.api.errors import RefusedError
    from bywire.api.route_reading import parameters_of

    entry, kind = _entry(), [(b"content-type", b"application/json")]
    return Parser(
        lambda raw: parameters_of(entry, {"id": "1"}, b"", kind, raw), ({"n": 1, "b": True},), "json", (RefusedError,)
    )


@parser("config/gateway_egress.py:read_egress")
def _() -> Parser:
    from bywire.config.gateway_egress import read_egress
    from bywire.config.reading import Node

    return Parser(lambda value: read_egress(Node(value, "gateway.yaml")), ([RULE],), "value")


@parser("config/gateway_egress.py:read_egress_limits")
def _() -> Parser:
    from bywire.config.gateway_egress import read_egress_limits
    from bywire.config.reading import Node

    return Parser(lambda value: read_egress_limits(Node(value, "gateway.yaml")), ({"idle_seconds": 5},), "value")


@parser("config/contract_request.py:read_request")
def _() -> Parser:
    from bywire.config.contract_request import read_request
    from bywire.config.reading import Node

    schema = {"properties": {"a": {}, "b": {}, "c": {}}, "required": ["a"]}
    said = {"method": "POST", "path": "/x/{a}", "query": ["b"], "headers": {"accept": "c"}, "body": "form"}
    return Parser(lambda value: read_request(Node(value, "contracts/shop.yaml"), schema), (said,), "value")


@parser("gateway/inspection_places.py:address_of")
def _() -> Parser:
    from bywire.gateway.inspection_places import address_of

    return Parser(lambda data: address_of(data.decode("utf-8", "replace")), (b"0xA9FEA9FE", b"169.254.43518", b"::1"))


@parser("gateway/sensitive_views.py:from_base64")
def _() -> Parser:
    from bywire.gateway.sensitive_views import from_base64

    return Parser(from_base64, (b"c2VjcmV0LXRleHQ=", b"c2VjcmV0LXRleHQ", b"-_-_"))
