"""The `/v1` control plane on FastAPI: status, requests for approval, decisions, the caller's own registration, keys.

It shows, and takes verdicts that a person signed; it decides nothing. Nothing here stops, resumes or registers: for
that a person's signature would have to travel, and only verdicts carry one.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bywire import __version__
from bywire.api.errors import RefusedError, as_json, on_refused, told
from bywire.api.openapi import completed
from bywire.api.reading import document_of, token_of
from bywire.identity.session import Session
from bywire.identity.tokens import jwks
from bywire.model.errors import BywireError, ConflictError
from bywire.wiring import overview, payload
from bywire.wiring.call_pool import PEOPLE, BusyError
from bywire.wiring.gateway import Gateway

Json: TypeAlias = dict[str, Any]
_REFUSALS: dict[int | str, Json] = {401: {"description": "nobody vouches for the caller"}}
_MISSING: dict[int | str, Json] = {**_REFUSALS, 404: {"description": "nothing of the caller's is called so"}}


class Policy(BaseModel):
    """The policy in force."""

    revision: int
    digest: str


class StaleFile(BaseModel):
    """A file of the configuration: changed, added, removed, unreadable or too_large since the start."""

    file: str
    state: str


class Config(BaseModel):
    """Whether the files still say what this server read when it started; `fault`: no server would start with them."""

    stale: bool
    files: list[StaleFile]
    fault: str
    next_step: str


class Status(BaseModel):
    """What is served, under which policy, and what stands in the way."""

    service: str
    environment: str
    policy: Policy
    policy_refused: str
    upstreams: list[dict[str, str]]
    stops: list[dict[str, str]]
    incident: bool
    frozen: bool
    deliveries: list[dict[str, str]]
    ledger_entries: int
    config: Config


class Approvals(BaseModel):
    """The caller's own requests for approval, newest first."""

    approvals: list[Json]


class ApprovalState(BaseModel):
    """pending, approved, denied, expired or revoked."""

    id: str
    state: str
    expires_at_ms: int


class Changed(BaseModel):
    """That the policy had the action changed: what it said of the one that was asked for, and what was taken out."""

    before: str
    decision_id: str
    asked: str
    masked: dict[str, int]
    replaced: int


class RecordedDecision(BaseModel):
    """A decision as it is recorded; `sanitized` is null for an action that was decided as it was asked."""

    entry: int
    decision: Json
    input: Json
    sanitized: Changed | None


class Settled(BaseModel):
    """A verdict that was taken."""

    id: str
    state: str
    entry: int


class Health(BaseModel):
    """`ok`, or what is wrong."""

    status: str


class VerdictBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict in its DSSE envelope, as `bywire approvals` signs one."""

    envelope: dict[str, Any]


def control_plane(gateway: Gateway) -> FastAPI:
    """The application; its OpenAPI document describes the decision path, too."""
    app = FastAPI(
        title="bywire",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            RefusedError: on_refused,
            ConflictError: _on_conflict,
            BywireError: on_refused,
            HTTPException: _on_http,
        },
    )
    _add_own(app, gateway)
    _add_verdict(app, gateway)
    _add_open(app, gateway)
    described: Callable[[], Json] = app.openapi
    app.openapi = lambda: completed(described())  # type: ignore[method-assign]  # FastAPI's documented seam
    return app


def _add_own(app: FastAPI, gateway: Gateway) -> None:
    workspace = gateway.workspace

    def session_of(request: Request) -> Session:
        return gateway.session(token_of(request))

    Asking: TypeAlias = Annotated[Session, Depends(session_of)]

    @app.get("/v1/status", responses=_REFUSALS, response_model=Status)
    def status(_: Asking) -> Json:
        """What is served, under which policy, and what stands in the way."""
        return overview.status(gateway)

    @app.get("/v1/approvals", responses=_REFUSALS, response_model=Approvals)
    def approvals(session: Asking) -> Json:
        """The caller's own requests."""
        return {"approvals": overview.own_approvals(workspace, session)}

    @app.get("/v1/approvals/{approval_id}", responses=_MISSING)
    def approval(approval_id: str, session: Asking) -> Json:
        """One of the caller's requests, with the packet that persons sign."""
        return overview.own_approval(workspace, session, approval_id)

    @app.get("/v1/approvals/{approval_id}/state", responses=_MISSING, response_model=ApprovalState)
    def approval_state(approval_id: str, session: Asking) -> Json:
        """How one of the caller's requests stands; poll it."""
        return overview.approval_state(workspace, session, approval_id)

    @app.get("/v1/decisions/{decision_id}", responses={**_MISSING, 200: {"model": RecordedDecision}})
    def decision(decision_id: str, session: Asking) -> Json:
        """A recent decision on something that the caller asked, with its input."""
        return overview.own_decision(workspace, session, decision_id)

    @app.get("/v1/agents/self", responses=_MISSING)
    def agent(session: Asking) -> Json:
        """What the caller is registered for."""
        return overview.own_agent(workspace, session)


def _add_verdict(app: FastAPI, gateway: Gateway) -> None:
    bytes_max = gateway.settings.limits.body_bytes

    @app.post("/v1/approvals/{approval_id}/verdict", responses=_MISSING, response_model=Settled)
    async def verdict(approval_id: str, request: Request) -> Json:
        """A person's signed verdict. The signature authenticates it; a token is neither needed nor looked at."""
        body = await document_of(request, VerdictBody, bytes_max)
        envelope = msgspec.json.encode(body.envelope)
        try:
            return await gateway.run(lambda: overview.take_verdict(gateway.workspace, approval_id, envelope), PEOPLE)
        except BusyError as error:
            raise RefusedError(payload.busy()) from error


def _add_open(app: FastAPI, gateway: Gateway) -> None:
    workspace = gateway.workspace

    @app.get("/healthz", response_model=Health)
    async def healthz() -> Json:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=Health, responses={503: {"description": "it cannot decide now"}})
    def readyz() -> Response:
        """Whether there is a policy that decides and a ledger that answers."""
        try:
            workspace.bundle()
            workspace.ledger.entry_count()
        except BywireError as error:
            return as_json({"status": error.code}, 503)
        return as_json({"status": "ok"})

    @app.get("/.well-known/jwks.json")
    def keys() -> Json:
        """The keys that tokens of this gateway verify with (RFC 7517)."""
        return jwks(workspace.trust)


async def _on_http(_: Request, error: Exception) -> Response:
    """A path or method that is none of ours."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = payload.refusal(payload.INVALID_PARAMETERS, "nothing is here", next_step="see GET /openapi.json")
    return told(said, status)


async def _on_conflict(_: Request, error: Exception) -> Response:
    """`not_found` is told with its own status."""
    said = payload.of_error(error)
    return told(said, 404 if isinstance(error, ConflictError) and error.code == "not_found" else 0)
