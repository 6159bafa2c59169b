"""What the envelope says. A deny is a value: rule ids and the facts that fired them."""

from enum import StrEnum
from typing import Any

import msgspec


class Effect(StrEnum):
    """The four answers; severity falls from left to right: deny > approval_needed > sanitize > allow (RULES 6)."""

    DENY = "deny"
    APPROVAL_NEEDED = "approval_needed"
    SANITIZE = "sanitize"
    ALLOW = "allow"


class Reason(msgspec.Struct, frozen=True):
    """One rule that fired. `rule` is a stable id such as `gate.network_policy_missing`; `facts` are its arguments."""

    rule: str
    facts: dict[str, Any]
    hard: bool = False


class Decision(msgspec.Struct, frozen=True):
    """Decision = f(engine, bundle, entrypoint, input) (RULES 7). Digests are sha256 hex.

    `id` is derived from those four, so that the same question always has the same name.
    """

    id: str
    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: tuple[dict[str, Any], ...]
    engine: str
    bundle_digest: str
    entrypoint: str
    input_digest: str


class Sanitized(msgspec.Struct, frozen=True):
    """That the policy wanted another action than was asked for, and what became of it (RULES 6); never a value of it.

    `before` is what the decision `decision_id` said of the action as it was asked, whose digest is `asked`. `masked`
    counts what was taken out of the parameters, by kind of finding; `replaced` the parameters that got another value.
    """

    before: Effect
    decision_id: str
    asked: str
    masked: dict[str, int] = {}
    replaced: int = 0


class OutcomeStatus(StrEnum):
    """How an action ended; `advised` is an answer without an action (RULES 10)."""

    COMMITTED = "committed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    PENDING = "pending"
    ADVISED = "advised"


class Outcome(msgspec.Struct, frozen=True):
    """What the door answers.

    `result` is the redacted output of the tool, None unless committed. `approval_id` is set when pending.
    `unverified` names the contract's postconditions that the target did not show; `label` says what a read's text is.
    `entry` is the ledger index of the record of this outcome (-1 when none was written, as for reads still buffered).
    `sanitized` is set when the action was changed before it was decided for good; `redacted` counts what was taken out
    of the tool's answer, by kind.
    """

    status: OutcomeStatus
    action_digest: str
    decision: Decision | None
    result: dict[str, Any] | None = None
    approval_id: str = ""
    entry: int = -1
    error: dict[str, str] | None = None
    replayed: bool = False
    unverified: tuple[str, ...] = ()
    label: dict[str, Any] | None = None
    sanitized: Sanitized | None = None
    redacted: dict[str, int] = {}

    @property
    def effect(self) -> str:
        """What was said in all: `sanitize` where only a changed action is allowed; empty when nothing was decided."""
        if self.decision is None:
            return ""
        changed = self.sanitized is not None and self.decision.effect is Effect.ALLOW
        return str(Effect.SANITIZE if changed else self.decision.effect)
