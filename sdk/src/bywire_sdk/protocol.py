"""The gateway's /v1 shapes: what is sent, and how an answer is read. Pure; a field is checked before it is believed.

An answer that is neither what was asked for nor an error of the gateway is a BadAnswer, never a yes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from bywire_sdk.connection import Reply
from bywire_sdk.errors import BY_CODE, BadAnswer, GatewayError, UpstreamFailed, made
from bywire_sdk.limits import Limits
from bywire_sdk.values import as_json, decoded

KEY = re.compile(r"[\x20-\x7e]{1,256}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
APPROVAL_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
COMMITTED, FAILED, UNKNOWN = "committed", "failed", "unknown"
_JSON = "application/json"


class Options(TypedDict, total=False):
    """What may be said of a call beside its tool and parameters. `key` makes it happen once; by default it is fresh."""

    key: NotRequired[str]
    change: NotRequired[str]
    plan: NotRequired[str]
    dry_run: NotRequired[bool]
    tokens: NotRequired[int]
    traceparent: NotRequired[str]


@dataclass(frozen=True)
class Ask:
    """One call, ready to be sent. `parameters` is a private copy that nobody else holds."""

    tool: str
    parameters: dict[str, Any]
    key: str
    change: str = ""
    plan: str = ""
    dry_run: bool = False
    tokens: int = 0
    traceparent: str = ""

    def body(self) -> bytes:
        """The request's JSON; what was not said is not sent."""
        said = {
            "key": self.key,
            "change": self.change,
            "plan": self.plan,
            "dry_run": self.dry_run,
            "tokens": self.tokens,
        }
        document = {"tool": self.tool, "parameters": as_json(self.parameters)}
        return encoded(document | {name: value for name, value in said.items() if value})


@dataclass(frozen=True)
class Answer:
    """A call that was carried out. `replayed`: it had been before, under the same key, and this is what was recorded.

    `label` says whose words `result` holds; None when the gateway vouches for its form.
    """

    status: str
    result: dict[str, Any] | None
    label: dict[str, Any] | None = None
    decision_id: str = ""
    call_id: str = ""
    entry: int = -1
    replayed: bool = False


@dataclass(frozen=True)
class Permitted:
    """Leave to do one thing once: exactly `parameters`, and then to report `intent`.

    A read has an empty `intent`: it repeats freely, and there is nothing to report.
    """

    intent: str
    parameters: dict[str, Any]
    deadline_ms: int
    decision_id: str = ""


@dataclass(frozen=True)
class Advice:
    """What the answer would be. It authorises nothing. `payload` is empty when the call would be allowed."""

    effect: str
    revision: str
    payload: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reported:
    """How an intent was settled, and the ledger's entry of it."""

    status: str
    entry: int


@dataclass(frozen=True)
class Tool:
    """One tool that this agent could be allowed to call."""

    name: str
    description: str
    schema: dict[str, Any]
    category: str
    risk: str
    read: bool


def encoded(document: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read(reply: Reply, limits: Limits) -> dict[str, Any]:
    """The document of a 200. Raises the error that the answer stands for."""
    if reply.content_type != _JSON:
        raise _bad(f"HTTP {reply.status} with {reply.content_type or 'no content type'} is no answer of a gateway")
    document = decoded(reply.body, limits.depth_max)
    if reply.status == 200 and "error" not in document:
        return document
    # The token exchange has `error` for the words of RFC 6749, and the payload beside it.
    payload = document.get("payload" if isinstance(document.get("error"), str) else "error")
    if not isinstance(payload, dict) or not isinstance(payload.get("code"), str):
        raise _bad(f"HTTP {reply.status} without an error of the gateway")
    if 300 <= reply.status < 400 or reply.status in {200, 204}:
        raise _bad(f"HTTP {reply.status} with an error in it")
    raise BY_CODE.get(payload["code"], GatewayError)(payload)


def read_answer(document: Mapping[str, Any]) -> Answer:
    """A call that was carried out, or had been. Raises UpstreamFailed for a recorded failure."""
    status = _text(document, "status")
    if status == FAILED:
        raise UpstreamFailed(made("upstream_failed", "it was tried before under this key, and failed", "use a new key"))
    if status != COMMITTED:
        raise _bad(f"status {status!r} where a call was to be carried out")
    return Answer(
        status=status,
        result=_optional(document, "result"),
        label=_optional(document, "label"),
        decision_id=_text(document, "decision_id"),
        call_id=_text(document, "call_id"),
        entry=_number(document, "entry"),
        replayed=document.get("replayed") is True,
    )


def read_permit(document: Mapping[str, Any], *, dry_run: bool = False) -> Permitted | Answer:
    """Leave to act, or the record of having acted. Raises BadAnswer unless it is unmistakably one of the two.

    A dry run gives no leave; it is answered with what would be recorded of it.
    """
    if document.get("status") != "permitted":
        answer = read_answer(document)
        if not answer.replayed and not dry_run:
            raise _bad("the gateway carried out what it was only asked to permit")
        return answer
    if dry_run:
        raise _bad("a permit where only a dry run was asked for")
    intent, parameters = _text(document, "intent"), document.get("parameters")
    if "intent" not in document or not isinstance(parameters, dict):
        raise _bad("a permit without its intent or its parameters")
    return Permitted(
        intent=intent,
        parameters=parameters,
        deadline_ms=_number(document, "deadline_ms"),
        decision_id=_text(document, "decision_id"),
    )


def read_advice(document: Mapping[str, Any]) -> Advice:
    """What would be answered."""
    if document.get("authorises") is not False:
        raise _bad("advice that does not say that it authorises nothing")
    return Advice(_text(document, "effect"), _text(document, "revision"), _optional(document, "payload") or {})


def read_report(document: Mapping[str, Any]) -> Reported:
    """How it was settled."""
    status = _text(document, "status")
    if status not in {COMMITTED, FAILED, UNKNOWN}:
        raise _bad(f"status {status!r} where an intent was to be settled")
    return Reported(status, _number(document, "entry"))


def read_tools(document: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools of a listing."""
    listed = document.get("tools")
    if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
        raise _bad("a listing without tools")
    return tuple(
        Tool(
            name=_text(tool, "name"),
            description=_text(tool, "description"),
            schema=_optional(tool, "schema") or {},
            category=_text(tool, "category"),
            risk=_text(tool, "risk"),
            read=tool.get("read") is True,
        )
        for tool in listed
    )


def _bad(reason: str) -> BadAnswer:
    error = BadAnswer.local(reason, "see that this is the gateway's URL and that its version fits")
    error.sent = True
    return error


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise _bad(f"{name} is not text")
    return value


def _number(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name, -1)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(f"{name} is not a number")
    return value


def _optional(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise _bad(f"{name} is not an object")
    return value
