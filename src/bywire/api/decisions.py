"""`/v1/call`, `/v1/permit`, `/v1/report`, `/v1/advise`, `/v1/tools`: the door for programs.

`permit` is for callers that carry an action out themselves: the intent is durable before they are told that they may,
and they report how it ended. `advise` authorises nothing.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.api.errors import as_json, told
from bywire.api.reading import document_of, surface_of, token_of, trace_of
from bywire.gateway.contract import Contract
from bywire.model.ask import Answered, Ask
from bywire.wiring import payload
from bywire.wiring.call_pool import OWN, BusyError
from bywire.wiring.gateway import Gateway, tool_of

EVIDENCE_MAX = 256
TOKENS_MAX = 10**9
INTENT_CHARS_MAX = 640
_Name = Annotated[str, msgspec.Meta(max_length=256)]


class AskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `/v1/call`, `/v1/permit` and `/v1/advise` take."""

    tool: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    parameters: dict[str, Any] = {}
    key: _Name = ""
    change: _Name = ""
    plan: _Name = ""
    evidence: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=EVIDENCE_MAX)] = ()
    dry_run: bool = False
    tokens: Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] = 0


class ReportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `/v1/report` takes: how a permitted action ended."""

    intent: Annotated[str, msgspec.Meta(min_length=1, max_length=INTENT_CHARS_MAX)]
    status: Literal["committed", "failed", "unknown"]
    result: dict[str, Any] = {}
    error: Annotated[str, msgspec.Meta(max_length=1_024)] = ""


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    bytes_max = gateway.settings.limits.body_bytes

    async def call(request: Request) -> Response:
        return await _asked(request, gateway, gateway.call, called)

    async def permit(request: Request) -> Response:
        return await _asked(request, gateway, gateway.permit, permitted)

    async def advise(request: Request) -> Response:
        return await _asked(request, gateway, gateway.advise, advised)

    async def report(request: Request) -> Response:
        token = token_of(request)
        body = await document_of(request, ReportBody, bytes_max)
        result = {**body.result, "error": body.error} if body.error else body.result
        try:
            answered = await gateway.run(
                lambda: gateway.report(token, body.intent, body.status, result), gateway.lane_of(tool_of(body.intent))
            )
        except BusyError:
            return told(payload.busy())
        if answered.payload and answered.code not in {payload.UPSTREAM_FAILED, payload.OUTCOME_UNKNOWN}:
            return told(answered.payload)
        return as_json({"status": str(answered.outcome.status), "entry": answered.outcome.entry})

    async def tools(request: Request) -> Response:
        token = token_of(request)
        upstream = request.query_params.get("upstream", "")
        try:
            seen = await gateway.run(lambda: gateway.visible(token, upstream), OWN)
        except BusyError:
            return told(payload.busy())
        return as_json({"tools": [listed(one) for one in seen]})

    return [
        Route("/v1/call", call, methods=["POST"]),
        Route("/v1/permit", permit, methods=["POST"]),
        Route("/v1/report", report, methods=["POST"]),
        Route("/v1/advise", advise, methods=["POST"]),
        Route("/v1/tools", tools, methods=["GET"]),
    ]


async def _asked(
    request: Request,
    gateway: Gateway,
    through: Callable[[str, Ask], Answered],
    shown: Callable[[Answered], dict[str, Any]],
) -> Response:
    token = token_of(request)
    body = await document_of(request, AskBody, gateway.settings.limits.body_bytes)
    ask = Ask(
        tool=body.tool,
        parameters=body.parameters,
        key=body.key,
        change=body.change,
        plan=body.plan,
        evidence=body.evidence,
        dry_run=body.dry_run,
        surface=surface_of(request),
        trace=trace_of(request),
        tokens=body.tokens,
    )
    try:
        answered = await gateway.run(lambda: through(token, ask), gateway.lane_of(ask.tool))
    except BusyError:
        return told(payload.busy(ask.key))
    # To advice, a no is an answer; what kept the gateway from one is none.
    if answered.payload and not (shown is advised and answered.code in payload.ANSWERS):
        return told(answered.payload)
    return as_json(shown(answered))


def called(answered: Answered) -> dict[str, Any]:
    """The body of a call that was carried out."""
    outcome = answered.outcome
    return {
        "status": str(outcome.status),
        "result": outcome.result,
        "label": outcome.label,
        "unverified": outcome.unverified,
        "decision_id": outcome.decision.id if outcome.decision is not None else "",
        "call_id": payload.call_id(outcome),
        "entry": outcome.entry,
        "replayed": outcome.replayed,
    }


def permitted(answered: Answered) -> dict[str, Any]:
    """The body of a permit: what to carry out, until when, and what to report it under."""
    outcome = answered.outcome
    result = outcome.result or {}
    if outcome.replayed or result.get("permitted") is not True:
        return called(answered)  # what was reported before, or would be permitted
    return {
        "status": "permitted",
        "intent": result["intent"],
        "deadline_ms": result["deadline_ms"],
        "parameters": result["parameters"],
        "decision_id": outcome.decision.id if outcome.decision is not None else "",
    }


def advised(answered: Answered) -> dict[str, Any]:
    """The body of advice."""
    result = answered.outcome.result or {}
    return {
        "effect": result.get("effect", ""),
        "revision": result.get("revision", ""),
        "authorises": False,
        "payload": answered.payload or None,
    }


def listed(contract: Contract) -> dict[str, Any]:
    """One tool, as it is listed."""
    return {
        "name": contract.name,
        "description": contract.description,
        "schema": contract.schema,
        "category": contract.category,
        "risk": contract.risk,
        "read": contract.read,
    }
