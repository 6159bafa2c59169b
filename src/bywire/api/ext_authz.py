"""Envoy's `ext_authz` over HTTP: whether a request that Envoy holds goes on to its upstream.

Envoy asks with the method, path and headers of the request, below a prefix that says how the upstream is found:
`/ext_authz/route/NAME/<path>` by its name, `/ext_authz/host/<path>` by the Host that the client asked for. It is read
into the tool that it is, as `/route` does, and permitted as `/v1/permit` does. Envoy sends what the client sent, so
that only an action which the policy leaves as it is goes on. Its outcome stays unknown until somebody reports it.

Envoy marks a body that it shows (`x-envoy-auth-partial-body`) and says nothing of a request that has none, as it says
nothing where it is not set to show any. A prefix that begins with `/ext_authz/whole` is the operator's word, which no
client can write, that the filter sends whole bodies: then silence is no body.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from bywire.adapters.key_files import draw_id
from bywire.api.errors import as_json, malformed, told
from bywire.api.limits import without_port
from bywire.api.reading import body_of, fields_of, token_of, trace_of
from bywire.api.route_reading import Table, parameters_of, segments_of
from bywire.api.routes import HTTP, UNMATCHED, Below, declared, destination_of
from bywire.model.ask import Ask
from bywire.model.gateway import Upstream
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway

PREFIX = "/ext_authz"
BY_ROUTE, BY_HOST = b"/ext_authz/route/", b"/ext_authz/host"
WHOLE = b"/ext_authz/whole/"
REMOVE = "x-envoy-auth-headers-to-remove"
PARTIAL = b"x-envoy-auth-partial-body"
# Of what becomes another protocol Envoy shows no body, whatever it is set to.
_OTHER_PROTOCOL = (b"upgrade", b"http2-settings")
_KEYS = (b"idempotency-key", b"x-request-id")
_KEY_BYTES_MAX = 200
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The route of this surface."""
    upstreams = {one.name: one for one in gateway.settings.upstreams if one.kind == HTTP}
    checker = _Checker(gateway, upstreams)
    return [Below(PREFIX, checker.check)]


class _Checker:
    """Checks requests that Envoy holds."""

    def __init__(self, gateway: Gateway, upstreams: Mapping[str, Upstream]) -> None:
        self._gateway = gateway
        self._upstreams = upstreams
        self._hosts = _by_host(upstreams.values())
        self._table = Table(gateway.catalogue, tuple(upstreams))

    async def check(self, request: Request) -> Response:
        """200 with headers for Envoy, or the payload."""
        token = token_of(request)
        upstream, raw = self._upstream(request)
        if upstream is None:
            said = payload.refusal(
                payload.UNKNOWN_TOOL,
                "this request leads to no HTTP upstream of gateway.yaml",
                status="denied",
                next_step="name the upstream in Envoy's path_prefix: /ext_authz/route/NAME",
            )
            return told(said, 403)
        body = await self._body(request)
        answered = await self._gateway.agrant(token, self._ask(request, upstream, raw, body), exact=True)
        if answered.payload:
            # Envoy takes nothing but 200 for a yes; a client must not take 202 for one either.
            status = 403 if answered.code in {payload.APPROVAL_NEEDED, payload.UNKNOWN_TOOL} else 0
            return told(answered.payload, status)
        result, decision = answered.outcome.result or {}, answered.outcome.decision
        marks = {
            REMOVE: "authorization",
            "x-bywire-decision-id": decision.id if decision is not None else "",
            "x-bywire-call-id": payload.call_id(answered.outcome),
        }
        if result.get("intent"):
            marks["x-bywire-intent"] = str(result["intent"])
        return as_json({"status": "permitted"}, headers=marks)

    def _upstream(self, request: Request) -> tuple[Upstream | None, bytes]:
        """(the upstream, the raw path that its server will see)."""
        whole = _without_mark(request.scope["raw_path"].partition(b"?")[0])
        if whole.startswith(BY_ROUTE):
            name, slash, rest = whole.removeprefix(BY_ROUTE).partition(b"/")
            return self._upstreams.get(name.decode("latin-1")), slash + rest or b"/"
        if whole == BY_HOST or whole.startswith(BY_HOST + b"/"):
            host = without_port(fields_of(request.scope).get(b"host", b"").lower())
            return self._hosts.get(host.decode("latin-1")), whole.removeprefix(BY_HOST) or b"/"
        return None, b""

    async def _body(self, request: Request) -> bytes:
        """The whole body that Envoy buffered. What it does not show cannot be looked through."""
        body = await body_of(request, self._gateway.settings.limits.body_bytes)
        fields = fields_of(request.scope)
        if not body and (request.method in _BODILESS or _has_none(request.scope["raw_path"], fields)):
            return body
        if fields.get(PARTIAL) != b"false":
            raise malformed(
                "Envoy does not send the whole body",
                "set with_request_body, without allow_partial_message, and path_prefix: /ext_authz/whole/...",
                413,
            )
        return body

    def _ask(self, request: Request, upstream: Upstream, raw: bytes, body: bytes) -> Ask:
        scope = request.scope
        found = self._table.find(upstream.name, request.method, segments_of(raw))
        if found is None:
            asked = {"method": request.method, "path": raw.decode("latin-1")}
            return Ask(f"{upstream.name}.{UNMATCHED}", asked, key=draw_id(), surface="ext_authz")
        entry, in_path = found
        contract = entry.contract
        said = declared(scope["headers"])
        if said.dry_run:
            raise malformed("Envoy would carry a dry run out", "ask for it at /route/NAME, or at /v1/advise")
        return Ask(
            tool=contract.name,
            change=said.change,
            plan=said.plan,
            evidence=said.evidence,
            tokens=said.tokens,
            parameters=parameters_of(entry, in_path, scope["query_string"], scope["headers"], body),
            key="" if contract.read or contract.key_template else _key(scope),
            surface="ext_authz",
            trace=trace_of(request),
            destination=destination_of(upstream),
        )


def _without_mark(raw: bytes) -> bytes:
    """The path as it is without the operator's word on bodies."""
    return b"/ext_authz/" + raw.removeprefix(WHOLE) if raw.startswith(WHOLE) else raw


def _has_none(raw: bytes, fields: Mapping[bytes, bytes]) -> bool:
    """Whether a request of which Envoy shows no body has none."""
    return raw.startswith(WHOLE) and PARTIAL not in fields and not any(name in fields for name in _OTHER_PROTOCOL)


def _key(scope: Scope) -> str:
    """The client's idempotency key, else the id that Envoy gave the request; without either, a call of its own."""
    fields = fields_of(scope)
    for name in _KEYS:
        if name in fields:
            return fields[name][: _KEY_BYTES_MAX + 1].decode("latin-1")
    return draw_id()


def _by_host(upstreams: Iterable[Upstream]) -> dict[str, Upstream]:
    """Upstreams by their own host; one that two of them share names neither."""
    found: dict[str, Upstream] = {}
    shared = set()
    for upstream in upstreams:
        host = (urlsplit(upstream.url).hostname or "").lower()
        if host in found:
            shared.add(host)
        found[host] = upstream
    return {host: upstream for host, upstream in found.items() if host not in shared}
