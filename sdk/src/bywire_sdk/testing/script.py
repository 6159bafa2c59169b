"""What a scripted gateway answers: rules, and the payload of everything that is not a yes."""

import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bywire_sdk.errors import made
from bywire_sdk.values import canonical

STATUS: Mapping[str, int] = {
    "policy_denied": 403,
    "unknown_tool": 404,
    "approval_needed": 202,
    "invalid_parameters": 400,
    "unauthenticated": 401,
    "conflict": 409,
    "upstream_failed": 502,
    "outcome_unknown": 504,
    "busy": 503,
    "engine_error": 500,
}
RETRYABLE = frozenset({"approval_needed", "busy", "engine_error"})
DENY, APPROVAL_NEEDED, SANITIZE, ALLOW = "deny", "approval_needed", "sanitize", "allow"
_SEVERITY = (DENY, APPROVAL_NEEDED, SANITIZE, ALLOW)
When = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Rule:
    """One scripted rule for one tool."""

    effect: str
    rule: str = ""
    reason: str = ""
    when: When | None = None
    mask: Mapping[str, Any] = field(default_factory=dict)

    def fires(self, parameters: dict[str, Any]) -> bool:
        """Whether it applies to these parameters."""
        return self.when is None or self.when(parameters)


@dataclass
class Scripted:
    """One tool of the script: its rules, and what the gateway returns when it carries the tool out itself."""

    rules: list[Rule] = field(default_factory=list)
    result: Any = None
    read: bool = False
    breaks: str = ""

    def judged(self, parameters: dict[str, Any]) -> Rule | None:
        """The most severe rule that fires (deny > approval_needed > sanitize > allow); None without any."""
        fired = [rule for rule in self.rules if rule.fires(parameters)]
        return min(fired, key=lambda rule: _SEVERITY.index(rule.effect), default=None)

    @property
    def always_denied(self) -> bool:
        """Whether no parameters could ever be allowed."""
        return any(rule.effect == DENY and rule.when is None for rule in self.rules)


@dataclass
class Intent:
    """What happens under one key. `status` is open until it is reported or carried out."""

    intent: str
    principal: str
    digest: str
    status: str = "open"
    result: dict[str, Any] | None = None
    entry: int = -1


@dataclass
class Approval:
    """One request for a person, bound to one action."""

    id: str
    digest: str
    principal: str
    parameters: dict[str, Any]
    state: str = "pending"
    used: bool = False


@dataclass(frozen=True)
class Heard:
    """One request as the gateway heard it, with how it was answered: a status, or the payload's code."""

    path: str
    tool: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    principal: str = ""
    answered: str = ""
    traceparent: str = ""


class Refused(Exception):  # noqa: N818  a refusal is an answer
    """Ends a request with a payload."""

    def __init__(self, payload: dict[str, Any], status: int = 0) -> None:
        super().__init__(payload["code"])
        self.payload, self.status = payload, status or STATUS[payload["code"]]


def refused(code: str, reason: str, *, rule: Rule | None = None, next_step: str = "", **more: Any) -> Refused:
    """A refusal with every field of the payload."""
    payload = made(code, reason, next_step or "see the script of this test")
    payload["retryable"] = code in RETRYABLE
    if rule is not None:
        payload["effect"] = rule.effect
        payload["status"] = "pending" if rule.effect == APPROVAL_NEEDED else "denied"
        payload["rules"] = [{"rule": rule.rule, "message": reason, "facts": {}}]
        payload["policy_version"] = "0" * 64
    return Refused({**payload, **more})


def digest_of(*parts: Any) -> str:
    """A stable name for plain values."""
    return hashlib.sha256(canonical(list(parts)).encode()).hexdigest()


def numbers() -> "itertools.count[int]":
    """Ledger entries, gapless from 0."""
    return itertools.count()
