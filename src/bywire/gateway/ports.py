"""What the door needs from outside. Adapters implement these; wiring joins them."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from bywire.approvals.candidate import Candidate
from bywire.approvals.packet import Packet
from bywire.identity.registration import Registration
from bywire.identity.session import Session
from bywire.model.connected import Cost
from bywire.model.decision import Decision, Outcome, Sanitized
from bywire.model.windows import HOUR


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


class Debit(msgspec.Struct, frozen=True):
    """What an effect uses up: `amount` of at most `limit` in the `period`, for whoever or whatever `scope` names.

    Without a `unit` effects are counted; with one, what they cost in it, in thousandths.
    """

    scope: str
    limit: int
    amount: int = 1
    period: str = HOUR
    unit: str = ""

    @property
    def name(self) -> str:
        """What it is called where people read it."""
        return f"{self.scope}: thousandths of {self.unit} a {self.period}" if self.unit else self.scope


class Counted(msgspec.Struct, frozen=True):
    """What a scope used in the second or minute (`period`) that ends now, in thousandths of `unit`.

    At `frees_at_ms` the oldest of it no longer counts.
    """

    scope: str
    unit: str
    period: str
    observed: int
    frees_at_ms: int


class Intent(msgspec.Struct, frozen=True):
    """Everything the intent transaction checks and writes. Times are ms since the epoch.

    `costs` are charged to the principal and its `team`, whether or not a budget limits them.
    """

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
    debits: tuple[Debit, ...]
    exposure_reducing: bool
    now_ms: int
    deadline_ms: int
    precondition: dict[str, Any]
    request: dict[str, Any]
    decision: Decision
    decision_envelope: bytes
    grant_uses: int = 1
    break_glass_id: str = ""
    sealed: bytes = b""
    costs: tuple[Cost, ...] = ()
    team: str = ""


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
    sealed: bytes = b""

    @property
    def mediated(self) -> bool:
        """Whether this door carries it out; otherwise its caller does, and reports."""
        return self.request.get("mediated") is not False

    @property
    def sanitized(self) -> Sanitized | None:
        """What the policy had changed to make it this action; a row that says it wrongly says nothing."""
        try:
            return msgspec.convert(self.request.get("sanitized"), Sanitized | None)
        except msgspec.ValidationError:
            return None


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
    def record(self, kind: str, envelope: bytes, change: str, now_ms: int, about: str = "") -> int:
        """Append a statement; `about` is the request for approval that a decision leads to."""
        ...

    def record_document(self, kind: str, document: dict[str, Any], change: str, now_ms: int) -> int: ...
    def note_read(self, document: dict[str, Any], now_ms: int) -> None: ...
    def recoverable_intents(self) -> tuple[IntentRow, ...]:
        """Open intents that this door carries out itself, oldest first."""
        ...

    def decision_on(self, approval_id: str, action_digest: str) -> Decision | None:
        """What was recorded last on what this request for approval asks, if that was decided on this very action."""
        ...

    def decision_of(self, key: str) -> tuple[int, bytes] | None:
        """(ledger index, envelope) of the decision that an intent was committed with."""
        ...

    def withdrawn(self, row: IntentRow) -> bool:
        """Whether its session or its approval was revoked since."""
        ...


class ApprovalStore(Protocol):
    """Pending packets and verified verdicts."""

    def pending(self, packet: Packet) -> int: ...
    def find(self, *, action_digest: str, plan_digest: str) -> tuple[Candidate, ...]:
        """What was asked about this action, or about the plan it runs under; settled first, then newest first."""
        ...

    def decided_before(self, packet: Packet) -> tuple[Candidate, ...]:
        """The newest decided request for the same tool, change, service and environment by the same requester."""
        ...


class NamedState(Protocol):
    """Stop, freeze, active bundle, session: read before deciding, checked again in the intent transaction."""

    def snapshot(self, session_id: str, service: str) -> StateSnapshot: ...
    def frozen(self) -> bool: ...
    def used(self, scope: str, hour: int) -> int:
        """How much of a scope's hourly count is used."""
        ...

    def spent(self, scope: str, unit: str, period: str, at: int) -> int:
        """What a scope cost in `unit` in an hour or on a day, number `at` since the epoch, in thousandths."""
        ...

    def recent(self, scopes: Sequence[str], now_ms: int) -> tuple[Counted, ...]:
        """What these scopes used in the last second and the last minute, where any of it is counted."""
        ...

    def taint(self, session_id: str) -> None:
        """Lower the integrity of a session and of all that inherit from it, durably (RULES 22)."""
        ...


class Sessions(Protocol):
    """Reads tokens."""

    def session_of(self, token: str, now_ms: int) -> str:
        """The session id of an authentic token that has not expired. Raises EvidenceError."""
        ...


class Standing(Protocol):
    """What stands beside the state, each verified with its signature before it is told."""

    def registration(self, principal: str) -> Registration | None:
        """What the agent is registered for; None for people, workloads and whoever is not registered."""
        ...

    def shadows(self, now_ms: int) -> list[dict[str, Any]]:
        """Rules in shadow mode (RULES 28)."""
        ...

    def unwitnessed(self) -> dict[str, Any] | None:
        """Why nothing new may be exposed, when too few witnesses have seen the log (RULES 24)."""
        ...

    def break_glass(self, principal: str, tool: str, now_ms: int) -> dict[str, Any] | None:
        """The broken glass that lets this principal use this tool, if any."""
        ...


class ChangeFacts(Protocol):
    """What verified statements say about a delivery; empty documents when there is none."""

    def facts_for(self, change: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """(change, facts, retreat) of the policy input."""
        ...

    def recorded(self, evidence: tuple[str, ...]) -> bool:
        """Whether one of these digests is of a statement in the ledger that is evidence, signed by who may sign it."""
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


@runtime_checkable
class DefinedExecutor(Protocol):
    """An executor whose upstream says itself what its tools are."""

    def definition(self, tool: str) -> str:
        """Digest of what the upstream says of the tool now. Raises TargetError when it says nothing."""
        ...


class Credential(msgspec.Struct, frozen=True):
    """A credential for one action. `origin` is the only place it may go to; `minted` means made for this action."""

    name: str
    value: str
    origin: str
    expires_at_ms: int
    minted: bool

    def __repr__(self) -> str:
        return f"Credential({self.name!r}, origin={self.origin!r})"


class CredentialedExecutor(Executor, Protocol):
    """An executor that needs a credential for what it carries out. It never keeps one."""

    def execute_with(self, row: IntentRow, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """As `execute`, with the credential that was issued for this very action."""
        ...

    def read_with(self, tool: str, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """As `read`, with the credential that was issued for this one."""
        ...


class Credentials(Protocol):
    """Issues credentials after the decision, chosen by contract and environment (RULES 23)."""

    def issue(self, name: str, row: IntentRow, now_ms: int) -> Credential:
        """Raises TargetError `credential_unavailable`."""
        ...

    def for_read(self, name: str, now_ms: int, *, tool: str = "", environment: str = "") -> Credential:
        """For one read, with that tool there. Raises TargetError `credential_unavailable`."""
        ...


class Clock(Protocol):
    """`now` never runs backwards (RULES 27)."""

    def now_ms(self) -> int: ...


class Steps(Protocol):
    """Named points between which a crash must be harmless; tests stop the process there."""

    def reached(self, step: str) -> None: ...
