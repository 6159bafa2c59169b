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
