"""The decision path in the OpenAPI document: its routes are plain Starlette, so FastAPI does not know their shapes."""

from typing import Any

import msgspec

from bywire.api.authzen_answer import Evaluation
from bywire.api.decisions import AskBody, ReportBody

_REF = "#/components/schemas/{name}"
_TOKEN: list[dict[str, list[str]]] = [{"bearer": []}]
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "description": "the one payload: why the call was not carried out, and what to do next",
            "required": ["code", "status", "reason", "rules", "next_step", "retryable"],
            "properties": {
                "code": {"type": "string"},
                "effect": {"type": "string"},
                "status": {"type": "string"},
                "reason": {"type": "string"},
                "rules": {"type": "array", "items": {"type": "object"}},
                "next_step": {"type": "string"},
                "approval": {"anyOf": [{"type": "object"}, {"type": "null"}]},
                "retry": {"anyOf": [{"type": "object"}, {"type": "null"}]},
                "policy_version": {"type": "string"},
                "decision_id": {"type": "string"},
                "call_id": {"type": "string"},
                "retryable": {"type": "boolean"},
            },
        }
    },
}
# path -> (summary, request shape, what 200 says)
_POSTS: dict[str, tuple[str, type, str]] = {
    "/v1/call": ("Ask for one action: decided, journalled, carried out, recorded", AskBody, "carried out"),
    "/v1/permit": ("Ask for an action that the caller carries out itself and reports", AskBody, "permitted"),
    "/v1/report": ("Say how a permitted action ended", ReportBody, "recorded"),
    "/v1/advise": ("What the answer would be; authorises nothing", AskBody, "advice"),
    "/access/v1/evaluation": ("AuthZEN 1.0 access evaluation", Evaluation, "the decision"),
}
_FAILURES = {
    "202": "waits for a person",
    "400": "malformed",
    "401": "nobody vouches for the caller",
    "403": "denied",
    "409": "the key was used for something else",
    "429": "this caller asks too often",
    "500": "no decision could be made",
    "502": "the upstream failed",
    "503": "busy",
    "504": "nobody knows whether it happened",
}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with the decision path and how callers authenticate."""
    shapes = tuple(dict.fromkeys(shape for _, shape, _ in _POSTS.values()))
    _, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    document["paths"] |= {path: {"post": _post(*told)} for path, told in _POSTS.items()}
    document["paths"]["/v1/tools"] = {"get": _tools()}
    document["paths"]["/v1/token"] = {"post": _exchange()}
    known = document.setdefault("components", {})
    known.setdefault("schemas", {}).update({**components, "Refusal": _ERROR})
    known["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    return document


def _post(summary: str, shape: type, said: str) -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}}
    return {
        "summary": summary,
        "security": _TOKEN,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": _answer(said), **{code: _refusal(text) for code, text in _FAILURES.items()}},
    }


def _tools() -> dict[str, Any]:
    upstream = {"name": "upstream", "in": "query", "required": False, "schema": {"type": "string"}}
    return {
        "summary": "The tools that the caller could ever be allowed",
        "security": _TOKEN,
        "parameters": [upstream],
        "responses": {"200": _answer("the tools"), "401": _refusal(_FAILURES["401"])},
    }


def _exchange() -> dict[str, Any]:
    """RFC 8693; errors in the words of RFC 6749, with the payload beside them."""
    names = ("grant_type", "subject_token", "subject_token_type", "audience", "scope", "requested_token_type")
    form = {"type": "object", "required": list(names[:3]), "properties": {name: {"type": "string"} for name in names}}
    refused = {
        "type": "object",
        "required": ["error", "error_description", "payload"],
        "properties": {
            "error": {"type": "string"},
            "error_description": {"type": "string"},
            "payload": _ERROR["properties"]["error"],
        },
    }
    return {
        "summary": "Exchange an issuer's token or an API key for a short token (RFC 8693)",
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {
            "200": _answer("a token of at most 15 minutes"),
            **{
                code: {"description": text, "content": {"application/json": {"schema": refused}}}
                for code, text in {"400": "refused", "429": "too often", "503": "try again"}.items()
            },
        },
    }


def _answer(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}


def _refusal(text: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name="Refusal")}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
