"""`/route/NAME/PATH`: the plain HTTP API of an upstream, for agents that hold no credential of it.

The request is read into a call of the tool that it is (`route_reading`), goes through the door like any other, and is
made anew by the executor; the upstream's status and its redacted body come back. The agent's token stays here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from bywire.adapters.key_files import draw_id
from bywire.api.declared import Declared, UndeclarableError, from_headers
from bywire.api.errors import malformed, told
from bywire.api.reading import body_of, header, token_of, trace_of
from bywire.api.route_reading import Table, parameters_of, segments_of
from bywire.gateway.destination import AddressClass
from bywire.model.ask import Answered, Ask
from bywire.model.gateway import Upstream
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway

PREFIX = "/route"
HTTP = "http"
# No contract can name a tool so: what is asked for under this name is denied, and recorded.
UNMATCHED = ":unmatched"
_PORTS = {"https": 443, "http": 80}
_KEY_BYTES_MAX = 256
# Never shown as a page: this origin has pages of its own, on which people approve.
_KINDS = frozenset({"application/json", "application/problem+json", "application/yaml", "text/plain", "text/csv"})
_SAFE = {
    "cache-control": "no-store",
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
}
# Statuses of an upstream that a client would take for this gateway's own.
_OURS = frozenset({401, 407, 421})


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface. Raises ConfigError `routes_ambiguous`."""
    upstreams = {one.name: one for one in gateway.settings.upstreams if one.kind == HTTP}
    table = Table(gateway.catalogue, tuple(upstreams))

    async def routed(request: Request) -> Response:
        token = token_of(request)
        whole = request.scope["raw_path"].partition(b"?")[0]
        if not whole.startswith(f"{PREFIX}/".encode()):
            raise malformed("the path has more than one reading", "send it in its plain form")
        raw = whole.removeprefix(PREFIX.encode())
        name = raw[1:].partition(b"/")[0].decode("latin-1")
        if name not in upstreams:
            return told(_unknown("there is no HTTP upstream of that name"))
        segments = segments_of(raw.removeprefix(f"/{name}".encode()) or b"/")
        found = table.find(name, request.method, segments)
        if found is None:
            return await _unmatched(gateway, token, name, request, raw)
        entry, in_path = found
        body = await body_of(request, gateway.settings.limits.body_bytes)
        headers = request.scope["headers"]
        said = declared(headers)
        ask = Ask(
            tool=entry.contract.name,
            parameters=parameters_of(entry, in_path, request.scope["query_string"], headers, body),
            key=_key(headers, derived=bool(entry.contract.key_template), read=entry.contract.read),
            change=said.change,
            plan=said.plan,
            evidence=said.evidence,
            dry_run=said.dry_run,
            surface=HTTP,
            trace=trace_of(request),
            tokens=said.tokens,
            destination=destination_of(upstreams[name]),
        )
        answered = await gateway.acall(token, ask)
        tried = said.dry_run and not entry.contract.read and not answered.payload and not answered.outcome.replayed
        return answer(answered, tried=tried)

    return [Below(PREFIX, routed)]


class Below(BaseRoute):
    """Everything below a prefix in any method, whatever its decoded path holds: patterns know no line ends."""

    def __init__(self, prefix: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self.path = prefix
        self._prefix = f"{prefix}/"
        self._endpoint = endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """By the decoded path alone, so that no other spelling of the prefix leads elsewhere."""
        ours = scope["type"] == "http" and scope["path"].startswith(self._prefix)
        return (Match.FULL if ours else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Nothing is named here."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


async def _unmatched(gateway: Gateway, token: str, name: str, request: Request, raw: bytes) -> Response:
    """Asked for what no contract is: the door denies it, so that the attempt is on record."""
    asked = {"method": request.method, "path": raw.decode("latin-1")}
    answered = await gateway.acall(token, Ask(f"{name}.{UNMATCHED}", asked, key=draw_id(), surface=HTTP))
    if answered.code in {payload.UNAUTHENTICATED, payload.BUSY, payload.ENGINE_ERROR}:
        return told(answered.payload)
    said = _unknown(f"no contract of {name} is this request")
    return told({**said, **{key: answered.payload[key] for key in said if key.endswith(("_id", "_version"))}})


def answer(answered: Answered, *, tried: bool = False) -> Response:
    """The upstream's own answer, or the payload; what was only `tried` is told so, for no upstream was asked."""
    outcome = answered.outcome
    marks = {"bywire-call-id": payload.call_id(outcome), "bywire-replayed": str(outcome.replayed).lower()}
    if outcome.decision is not None:
        marks["bywire-decision-id"] = outcome.decision.id
    if outcome.label is not None:
        marks["bywire-trust"] = str(outcome.label["trust_level"])
    error = outcome.error or {}
    if tried:
        return _upstream({"json": {"dry_run": True}}, {**marks, "bywire-dry-run": "true"})
    if not answered.payload:
        return _upstream(shown(outcome.result or {}), marks)
    status = int(error.get("status", "0"))
    if answered.code == payload.UPSTREAM_FAILED and 400 <= status < 600 and status not in _OURS:
        headers = {"content-type": error.get("content_type", "text/plain")}
        if "retry_after_seconds" in error:
            headers["retry-after"] = error["retry_after_seconds"]
        return _upstream({"status": status, "headers": headers, "text": error.get("said", "")}, marks)
    said = told(answered.payload)
    said.headers.update(marks)
    return said


def shown(value: Any) -> Any:
    """A canonical value as text for whoever asked: every secret is `[kind]`, and the shape is the upstream's again."""
    if isinstance(value, dict):
        if value.keys() == {"text", "secrets"}:
            return value["text"]
        return {key: shown(item) for key, item in (value["literal"] if value.keys() == {"literal"} else value).items()}
    return [shown(item) for item in value] if isinstance(value, list | tuple) else value


def _upstream(result: Mapping[str, Any], marks: Mapping[str, str]) -> Response:
    """What an executor kept of an answer, as an answer."""
    headers = {**result.get("headers", {})}
    kind = str(headers.pop("content-type", "text/plain")).partition(";")[0].strip().lower()
    if "json" in result:
        content, kind = msgspec.json.encode(result["json"]), "application/json"
    elif "omitted" in result:
        headers["bywire-omitted"] = str(result["omitted"])
        content = b""
    else:
        content = str(result.get("text", "")).encode()
    kind = kind if kind in _KINDS or kind.endswith("+json") else "text/plain"
    return Response(
        content,
        int(result.get("status", 200)),
        {**headers, **marks, **_SAFE, "content-type": kind if "json" in kind else f"{kind}; charset=utf-8"},
    )


def declared(headers: list[tuple[bytes, bytes]]) -> Declared:
    """What a caller says beside the parameters. Raises RefusedError."""
    try:
        return from_headers(headers)
    except UndeclarableError as error:
        raise malformed(str(error), "see docs/gateway.md, Plain HTTP; or leave the header out") from error


def _key(headers: list[tuple[bytes, bytes]], *, derived: bool, read: bool) -> str:
    """The caller's idempotency key; without one every request is a call of its own, as it is at the upstream."""
    given = header(headers, b"idempotency-key")[: _KEY_BYTES_MAX + 1].decode("latin-1")
    return given or ("" if derived or read else draw_id())


def destination_of(upstream: Upstream) -> dict[str, Any]:
    """Where a request to an upstream leads, as the policy sees it."""
    parts = urlsplit(upstream.url)
    kind = AddressClass.PRIVATE if upstream.private else AddressClass.PUBLIC
    return {
        "host": parts.hostname or "",
        "port": parts.port or _PORTS.get(parts.scheme, 0),
        "address_class": str(kind),
        "tunnel": False,
        "listed": True,
    }


def _unknown(reason: str) -> dict[str, Any]:
    return payload.refusal(
        payload.UNKNOWN_TOOL, reason, status="denied", next_step="GET /v1/tools lists the tools; an operator adds one"
    )
