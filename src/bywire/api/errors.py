"""HTTP answers: JSON bodies, and which status each code of the one payload is told with."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bywire.wiring import payload
from bywire.wiring.pacing import TOO_OFTEN

HTTP_STATUS: Mapping[str, int] = {
    payload.POLICY_DENIED: 403,
    payload.APPROVAL_NEEDED: 202,
    payload.INVALID_PARAMETERS: 400,
    payload.UNKNOWN_TOOL: 404,
    payload.UNAUTHENTICATED: 401,
    payload.CONFLICT: 409,
    payload.UPSTREAM_FAILED: 502,
    payload.OUTCOME_UNKNOWN: 504,
    payload.BUSY: 503,
    payload.ENGINE_ERROR: 500,
}
_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_encoder = msgspec.json.Encoder()


def http_status(said: Mapping[str, Any]) -> int:
    """The status of a payload: as its code says, and 429 to the one caller for whom alone the gateway is busy."""
    too_often = any(rule["rule"] in TOO_OFTEN for rule in said["rules"])
    return 429 if too_often else HTTP_STATUS[said["code"]]


class RefusedError(Exception):
    """A request that is answered with a payload before anything was asked of the gateway."""

    def __init__(self, said: dict[str, Any], status: int = 0) -> None:
        super().__init__(said["code"])
        self.said = said
        self.status = status or http_status(said)


def malformed(reason: str, next_step: str, status: int = 400) -> RefusedError:
    """A request that is not of our form."""
    return RefusedError(payload.refusal(payload.INVALID_PARAMETERS, reason, next_step=next_step), status)


def unauthenticated(reason: str) -> RefusedError:
    """A request that nobody vouches for."""
    said = payload.refusal(
        payload.UNAUTHENTICATED, reason, next_step="send `Authorization: Bearer TOKEN`; bywire agents token NAME"
    )
    return RefusedError(said)


class JsonAnswer(Response):
    """A JSON answer; nothing may keep it, for it is one principal's. Made without what Starlette's own looks up."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        if headers:
            self.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return JsonAnswer(_encoder.encode(value), status, headers)


def told(said: Mapping[str, Any], status: int = 0) -> Response:
    """`{"error": payload}` with the payload's status, `Retry-After` and `WWW-Authenticate` where they belong."""
    code = str(said["code"])
    headers = {}
    if said.get("retry"):
        headers["retry-after"] = str(said["retry"]["after_seconds"])
    if code == payload.UNAUTHENTICATED:
        headers["www-authenticate"] = 'Bearer realm="bywire"'
    return as_json({"error": said}, status or http_status(said), headers)


class Caught:
    """ASGI: whatever a route raises becomes the payload, and no trace of it leaves the process."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; answer what is raised, unless an answer has begun."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if not begun:
                # The process ends, and whoever waits here no longer hears what became of a call that began.
                await told(payload.cut_short())(scope, receive, send)
            raise
        except Exception as error:  # noqa: BLE001  the rim of the process
            if begun:
                # Half an answer cannot be taken back; the connection ends, and nobody else tells of it.
                payload.log_fault(error)
                raise HalfAnsweredError from None
            await answer_to(error)(scope, receive, send)


class HalfAnsweredError(Exception):
    """An answer broke off."""


def answer_to(error: Exception) -> Response:
    """The payload of an error."""
    if isinstance(error, RefusedError):
        return told(error.said, error.status)
    return told(payload.of_error(error))


async def on_refused(_: Request, error: Exception) -> Response:
    """FastAPI's handler for `RefusedError` and for errors of ours."""
    return answer_to(error)
