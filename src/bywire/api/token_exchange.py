"""`POST /v1/token`: token exchange over HTTP (RFC 8693), with errors in the words of RFC 6749 beside the one payload.

The body is a form and the answer JSON that nobody keeps. A client is told apart by the address that its connection came
from; headers that claim another one are not read.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.api.errors import as_json
from bywire.api.reading import body_of, header
from bywire.identity.exchange import ISSUED_TYPE, REQUEST_BYTES_MAX, RequestError
from bywire.model.errors import BywireError
from bywire.wiring import payload
from bywire.wiring.call_pool import TOKENS, BusyError
from bywire.wiring.exchanging import exchange
from bywire.wiring.gateway import Gateway
from bywire.wiring.identities import IssuedToken

# RFC 6749, 5.2 and RFC 8693, 2.2.2: a subject token that is not accepted, for whatever reason, is an invalid request.
INVALID, UNAVAILABLE, FAILED = "invalid_request", "temporarily_unavailable", "server_error"
RETRY_SECONDS = {"exchange_rate": 60, "jwks_unavailable": 30}
NEVER_KEPT = {"pragma": "no-cache"}
_STATUS_TOO_MANY = 429


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    exchanging = exchange(gateway.workspace, gateway.settings)

    async def token(request: Request) -> Response:
        if request.scope["query_string"]:
            return refused(RequestError(INVALID, "parameters belong in the body: a URL is in every log"))
        kind = header(request.scope["headers"], b"content-type").decode("latin-1")
        body = await body_of(request, REQUEST_BYTES_MAX)
        client = request.client.host if request.client else ""
        try:
            issued = await gateway.run(lambda: exchanging.token(body, kind, client), TOKENS)
        except BusyError:
            return told(payload.busy(), UNAVAILABLE, 503, payload.BUSY_RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001  the rim: whatever broke issued nothing, and the caller is told so
            return refused(error)
        return as_json(issued_answer(issued, gateway.workspace.clock.now_ms()), 200, NEVER_KEPT)

    return [Route("/v1/token", token, methods=["POST"])]


def issued_answer(issued: IssuedToken, now_ms: int) -> dict[str, Any]:
    """RFC 8693, 2.2.1; `run` is the run that the session is bound to."""
    return {
        "access_token": issued.token,
        "issued_token_type": ISSUED_TYPE,
        "token_type": "Bearer",
        "expires_in": max(0, (issued.expires_at_ms - now_ms) // 1000),
        "scope": issued.principal,
        "session": issued.session,
        "run": issued.run,
    }


def refused(error: Exception) -> Response:
    """An error in the words of RFC 6749, with the payload that every surface has."""
    code = error.code if isinstance(error, BywireError) else ""
    if code in RETRY_SECONDS:
        status = _STATUS_TOO_MANY if code == "exchange_rate" else 503
        said = payload.refusal(payload.BUSY, str(error), next_step=getattr(error, "next_step", ""))
        return told(said, UNAVAILABLE, status, RETRY_SECONDS[code])
    if isinstance(error, RequestError):
        said = payload.refusal(payload.INVALID_PARAMETERS, error.message, next_step=error.next_step)
        return told(said, error.error, 400)
    said = payload.of_error(error)
    if said["code"] == payload.BUSY:
        return told(said, UNAVAILABLE, 503, payload.BUSY_RETRY_SECONDS)
    if code.startswith(("token_", "agent_", "registration_")):
        return told({**said, "code": payload.UNAUTHENTICATED}, INVALID, 400)
    return told(said, FAILED, 500)


def told(said: dict[str, Any], error: str, status: int, retry_seconds: int = 0) -> Response:
    """`{"error", "error_description", "payload"}`."""
    if retry_seconds:
        said = {**said, "retry": {"key": "", "after_seconds": retry_seconds}}
    headers = {**NEVER_KEPT, **({"retry-after": str(retry_seconds)} if retry_seconds else {})}
    return as_json({"error": error, "error_description": _ascii(said["reason"]), "payload": said}, status, headers)


def _ascii(text: str) -> str:
    """The characters that RFC 6749, 5.2 allows in a description."""
    return "".join(one if " " <= one <= "~" and one not in '"\\' else "'" for one in text)
