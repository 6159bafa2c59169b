"""What the gateway answers when it does not simply carry a call out: one hierarchy, one payload.

`payload` is the gateway's object, unchanged. Where no gateway answered, the client makes one of the same shape and says
so in `code` (`unreachable`, `bad_answer`). Whatever is raised here, nothing was allowed; only OutcomeUnknown,
UpstreamFailed and EngineError can mean that something happened.
"""

from collections.abc import Mapping
from typing import Any, Self

MESSAGE_CHARS_MAX = 2_000


class GatewayError(Exception):
    """Any answer but yes. `str()` is one sentence with what to do next."""

    code = "engine_error"

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload: dict[str, Any] = dict(payload)
        said = f"{self.reason} ({self.payload.get('code') or self.code})"
        super().__init__((f"{said}; {self.next_step}" if self.next_step else said)[:MESSAGE_CHARS_MAX])

    @classmethod
    def local(cls, reason: str, next_step: str = "", *, code: str = "", key: str = "") -> Self:
        """An error that the client itself found, in the gateway's shape."""
        return cls(made(code or cls.code, reason, next_step, key=key))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.payload,)

    @property
    def reason(self) -> str:
        """One sentence."""
        return _text(self.payload, "reason")

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _text(self.payload, "next_step")

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the rules that fired."""
        rules = self.payload.get("rules")
        listed = rules if isinstance(rules, list) else []
        return tuple(str(rule.get("rule", "")) for rule in listed if isinstance(rule, Mapping))

    @property
    def key(self) -> str:
        """The idempotency key to come back with; empty when there is none."""
        return _text(_object(self.payload, "retry"), "key")

    @property
    def after_seconds(self) -> float:
        """How long to wait before coming back, 0 when nothing was said."""
        after = _object(self.payload, "retry").get("after_seconds")
        return float(after) if isinstance(after, int | float) and not isinstance(after, bool) else 0.0

    @property
    def retryable(self) -> bool:
        """Whether the same call with the same key may be answered differently later."""
        return self.payload.get("retryable") is True


class Denied(GatewayError):
    """The envelope says no, for this agent, tool and these parameters."""

    code = "policy_denied"


class ApprovalNeeded(GatewayError):
    """A person has to agree; then the same call with the same key resumes."""

    code = "approval_needed"

    @property
    def approval_id(self) -> str:
        """Which approval is waited for."""
        return _text(_object(self.payload, "approval"), "id")

    @property
    def approval_url(self) -> str:
        """Where a person sees what will execute."""
        return _text(_object(self.payload, "approval"), "url")


class Invalid(GatewayError):
    """The call does not fit the tool's contract; nothing was decided."""

    code = "invalid_parameters"


class Conflict(GatewayError):
    """The key stands for another call, or the report for one that is settled."""

    code = "conflict"


class Unauthenticated(GatewayError):
    """The gateway does not know who asks."""

    code = "unauthenticated"


class UpstreamFailed(GatewayError):
    """It was allowed, tried, and failed."""

    code = "upstream_failed"


class OutcomeUnknown(GatewayError):
    """Nobody knows whether it happened: asking again with a new key could repeat it."""

    code = "outcome_unknown"


class Unreported(OutcomeUnknown):
    """The function ran and the gateway could not be told. `value` is what it returned."""

    value: Any = None


class Busy(GatewayError):
    """The gateway takes no more calls just now; nothing was decided."""

    code = "busy"


class EngineError(GatewayError):
    """Something broke while deciding. That is not a deny, and it allows nothing."""

    code = "engine_error"


class ResultNotKept(GatewayError):
    """It was carried out before, under the same key, and what it returned was not kept. It is not run again."""

    code = "result_not_kept"


class Unreachable(GatewayError):
    """No gateway answered. `sent` says whether it may have heard the request."""

    code = "unreachable"
    sent = False


class BadAnswer(Unreachable):
    """Something answered, and it does not speak the gateway's language."""

    code = "bad_answer"


BY_CODE: Mapping[str, type[GatewayError]] = {
    "policy_denied": Denied,
    "unknown_tool": Denied,
    "approval_needed": ApprovalNeeded,
    "invalid_parameters": Invalid,
    "conflict": Conflict,
    "unauthenticated": Unauthenticated,
    "upstream_failed": UpstreamFailed,
    "outcome_unknown": OutcomeUnknown,
    "busy": Busy,
    "engine_error": EngineError,
}


def made(code: str, reason: str, next_step: str, *, key: str = "") -> dict[str, Any]:
    """A payload in the gateway's shape."""
    return {
        "code": code,
        "effect": "",
        "status": "failed",
        "reason": reason,
        "rules": [],
        "next_step": next_step,
        "approval": None,
        "retry": {"key": key, "after_seconds": 0} if key else None,
        "policy_version": "",
        "decision_id": "",
        "call_id": "",
        "retryable": False,
    }


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}
