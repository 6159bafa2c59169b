"""What the door needs from outside. Adapters implement these; wiring joins them."""

from typing import Any, Protocol

import msgspec

from bywire.approvals.packet import Packet
from bywire.identity.session import Session
from bywire.model.decision import Decision, Outcome


class StateSnapshot(msgspec.Struct, frozen=True):
    """Named state at one moment (RULES 7). The intent transaction checks it again under the lock.

    `budget_used` counts the principal's effects in `budget_hour` (hours since the epoch), the last in which it had any.
    """

    stop_epoch: int
    stopped: bool
    freeze_all: bool
    bundle_digest: str
    session: Session
    incident_mode: bool = False
    budget_hour: int = 0
    budget_used: int = 0


class Intent(msgspec.Struct, frozen=True):
    """Everything the intent transaction checks and writes. Times are ms since the epoch."""

    key: str
    action_digest: str
    principal: str
    tool: str
    service: str
    environment: str
    change: str
    session_id: str
    integrity: str
    stop_epoch: int
    bundle_digest: str
    grant_id: str
    budget_limit: int
    exposure_reducing: bool
    now_ms: int
    deadline_ms: int
    precondition: dict[str, Any]
    request: dict[str, Any]
    decision: Decision
    decision_envelope: bytes
    grant_uses: int = 1


class IntentRow(msgspec.Struct, frozen=True):
    """A journalled intent. `state` is intended, committed, failed, or unknown; `epoch` is the one to act under."""

    key: str
    action_digest: str
    principal: str
    tool: str
    service: str
    environment: str
    change: str
    state: str
    epoch: int
    at_ms: int
    deadline_ms: int
    precondition: dict[str, Any]
    request: dict[str, Any]
    decision: Decision
    outcome: Outcome | None


# A miss that is none: the same call was journalled by somebody else in the meantime.
INTENT_EXISTS = "intent.exists"


class Miss(msgspec.Struct, frozen=True):
    """Why no intent was committed: a rule id and the facts."""

    rule: str
    facts: dict[str, Any]


class Journal(Protocol):
    """The durable record of what was decided, intended and done."""

    def find(self, key: str) -> IntentRow | None: ...
    def commit_intent(self, intent: Intent) -> IntentRow | Miss: ...
    def settle(self, key: str, outcome: Outcome, envelope: bytes, now_ms: int) -> int: ...
    def record(self, kind: str, envelope: bytes, change: str, now_ms: int) -> int: ...
    def note_read(self, document: dict[str, Any], now_ms: int) -> None: ...
    def open_intents(self) -> tuple[IntentRow, ...]: ...


class ApprovalStore(Protocol):
    """Pending packets and verified verdicts."""

    def pending(self, packet: Packet) -> int: ...
    def find(self, *, action_digest: str, plan_digest: str) -> tuple[tuple[Packet, bytes | None, int, bool], ...]:
        """(packet, verdict envelope or None, uses left, revoked) for each candidate, newest first."""
        ...

    def decided_before(self, packet: Packet) -> bytes | None:
        """The newest verdict on a request for the same tool, change, service and environment by the same requester."""
        ...


class NamedState(Protocol):
    """Stop, freeze, active bundle, session: read before deciding, checked again in the intent transaction."""

    def snapshot(self, session_id: str, service: str) -> StateSnapshot: ...
    def frozen(self) -> bool: ...


class ChangeFacts(Protocol):
    """What verified statements say about a delivery; empty documents when there is none."""

    def facts_for(self, change: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """(change, facts, retreat) of the policy input."""
        ...


class Executor(Protocol):
    """One technology that carries actions out."""

    def observe(self) -> dict[str, Any]:
        """The target's state now; `version` is the precondition, `telemetry` goes before/after into the outcome."""
        ...

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carry out under the row's key, epoch and precondition. TargetError when the target refused.

        `parameters` are the raw ones; they are never stored. An answer that never came is a TimeoutError.
        """
        ...

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer a read."""
        ...

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """What the target knows about the key: its recorded result, or None when it never happened."""
        ...


class Clock(Protocol):
    """`now` never runs backwards (RULES 27)."""

    def now_ms(self) -> int: ...


class Steps(Protocol):
    """Named points between which a crash must be harmless; tests stop the process there."""

    def reached(self, step: str) -> None: ...
