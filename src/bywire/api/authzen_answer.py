"""AuthZEN's shapes: what is asked, what is answered, and what ties a request for a person to exactly one question.

`binding_hash` is SHA-256 over JCS of the question (subject, action, resource, context without its own binding);
`binding_token` is ours alone and says that this question waits for that approval, so that nobody comes back with
another one under it.
"""

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec

from bywire.api.errors import malformed
from bywire.model.ask import Answered, Ask
from bywire.seal import jcs

REPLACE = "replace_parameters"
EVALUATIONS_MAX = 64
_PURPOSE = b"bywire authzen binding 1|"
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Key = Annotated[str, msgspec.Meta(max_length=256)]


class Subject(msgspec.Struct, frozen=True):
    """Who would act. `id` is a principal (`agent:fixer`), or a name of the kind that `type` says."""

    type: _Word
    id: _Word
    properties: dict[str, Any] = {}


class Action(msgspec.Struct, frozen=True):
    """`name` is a tool."""

    name: _Word
    properties: dict[str, Any] = {}


class Resource(msgspec.Struct, frozen=True):
    """`properties` are the tool's parameters. Type and id name the tool, its upstream, or the service it acts on."""

    type: _Word
    id: _Word
    properties: dict[str, Any] = {}


class Context(msgspec.Struct, frozen=True):
    """What we read of a context; other members are the caller's own.

    `parameters` are added to the resource's properties. `obligations` lists those that the caller can meet. `key` is
    the idempotency key of a write; without one, X-Request-ID is.
    """

    parameters: dict[str, Any] = {}
    obligations: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ()
    key: _Key = ""
    change: _Key = ""
    plan: _Key = ""
    evidence: Annotated[tuple[_Word, ...], msgspec.Meta(max_length=256)] = ()
    tokens: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    binding_token: _Key = ""


class Evaluation(msgspec.Struct, frozen=True):
    """One question."""

    subject: Subject
    action: Action
    resource: Resource
    context: Context = Context()


class Options(msgspec.Struct, frozen=True):
    """How many questions are answered."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


def parameters_of(asked: Evaluation) -> dict[str, Any]:
    """The tool's parameters. Raises RefusedError when two places name one differently."""
    found = dict(asked.resource.properties)
    for more in (asked.action.properties, asked.context.parameters):
        for name, value in more.items():
            if found.setdefault(name, value) != value:
                raise malformed("two places give one parameter different values", "send each parameter once")
    return found


def question_hash(document: dict[str, Any]) -> str:
    """SHA-256 in hex over JCS of a question as it was sent, its own binding token left out."""
    context = {name: value for name, value in document.get("context", {}).items() if name != "binding_token"}
    return jcs.digest({**document, "context": context})


def binding_token(approval_id: str, asked_hash: str, workspace_key: bytes) -> str:
    """Ours alone: this question waits for that approval."""
    mac = hmac.new(workspace_key, _PURPOSE + f"{approval_id}|{asked_hash}".encode(), sha256)
    return f"{approval_id}.{mac.hexdigest()}"


def check_binding(token: str, asked_hash: str, workspace_key: bytes) -> None:
    """Raises RefusedError `conflict` when another question waits for the approval that the token names."""
    approval_id = token.rpartition(".")[0]
    if not hmac.compare_digest(token.encode(), binding_token(approval_id, asked_hash, workspace_key).encode()):
        raise malformed("this is not the question that was sent to a person", "ask without binding_token", 409)


def access_request(
    answered: Answered, asked_hash: str, url: str, expires_ms: int, workspace_key: bytes
) -> dict[str, Any]:
    """Where the approval stands, and what ties it to this question."""
    approval_id = answered.outcome.approval_id
    return {
        "endpoint": f"{url}/v1/approvals/{approval_id}/state",
        "expires_at": datetime.fromtimestamp(expires_ms / 1000, UTC).isoformat(timespec="seconds"),
        "binding_token": binding_token(approval_id, asked_hash, workspace_key),
        "binding_hash": asked_hash,
    }


def allowed(answered: Answered, ask: Ask) -> dict[str, Any]:
    """`decision` true: the intent to report against, and what of the parameters has to be replaced."""
    result = answered.outcome.result or {}
    decision = answered.outcome.decision
    context: dict[str, Any] = {"decision_id": decision.id if decision is not None else ""}
    if result.get("intent"):
        context |= {"intent": result["intent"], "deadline_ms": result["deadline_ms"]}
    if result["parameters"] != ask.parameters:
        context["obligations"] = [{"id": REPLACE, "parameters": result["parameters"]}]
    return {"decision": True, "context": context}
