"""The state of one delivery, what it asks for, and what it is told. Plain data; JSON on disk."""

from enum import StrEnum
from typing import Any

import msgspec

from bywire.model.rollout_plan import RolloutPlan
from bywire.release.rollout_state import RolloutLimits, RolloutState

EVENTS_MAX = 2_000


class Phase(StrEnum):
    """Where a delivery is. The last five are terminal."""

    PLANNING = "planning"
    CODING = "coding"
    VERIFYING = "verifying"
    BUILDING = "building"
    AUDITING = "auditing"
    RECOURSE = "recourse"
    FIXING = "fixing"
    APPROVING = "approving"
    ROLLING = "rolling"
    CONCLUDING = "concluding"
    SUCCESSFUL = "successful"
    DENIED = "denied"
    STOPPED = "stopped"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


TERMINAL = frozenset({Phase.SUCCESSFUL, Phase.DENIED, Phase.STOPPED, Phase.ROLLED_BACK, Phase.FAILED})


class Work(msgspec.Struct, frozen=True, tag="work"):
    """A role's work, asked for by key: the same key never yields two deliverables."""

    kind: str
    key: str
    arguments: dict[str, Any]


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """An action asked of the door."""

    tool: str
    key: str
    parameters: dict[str, Any]
    evidence: tuple[str, ...] = ()
    plan: str = ""
    dry_run: bool = False


Request = Work | Ask


class WorkDone(msgspec.Struct, frozen=True):
    """What a role delivered: its result, the ledger entries of its statements, or why it could not."""

    key: str
    kind: str
    result: dict[str, Any]
    entries: tuple[int, ...] = ()
    error: dict[str, str] | None = None


class Asked(msgspec.Struct, frozen=True):
    """What the door answered."""

    key: str
    tool: str
    status: str
    result: dict[str, Any] | None
    approval_id: str
    entry: int
    reasons: tuple[dict[str, Any], ...]
    decision_id: str
    error: dict[str, str] | None = None
    replayed: bool = False


class Event(msgspec.Struct, frozen=True):
    """One line of a delivery's story. `entry` is the ledger index that proves it, -1 for none."""

    at_ms: int
    phase: Phase
    text: str
    entry: int = -1
    level: str = "info"


class Ending(msgspec.Struct, frozen=True):
    """The terminal phase a delivery is about to enter, and why."""

    phase: Phase
    text: str


class DeliveryState(msgspec.Struct, frozen=True):
    """Everything a delivery knows. `generation` counts deliberate retries; `plan_origin` says who wrote the plan."""

    id: str
    goal: str
    service: str
    environment: str
    branch: str
    base_branch: str
    base_commit: str
    head_commit: str
    generation: int
    dry_run: bool
    steps: tuple[dict[str, Any], ...]
    warm: bool
    plan_origin: str
    ceiling: int
    last_good: str
    phase: Phase = Phase.PLANNING
    tier: str = ""
    artifact: str = ""
    evidence: tuple[str, ...] = ()
    reasons: tuple[dict[str, Any], ...] = ()
    decision_id: str = ""
    approval_id: str = ""
    recourse: dict[str, Any] | None = None
    plan: RolloutPlan | None = None
    plan_digest: str = ""
    rollout: RolloutState | None = None
    limits: RolloutLimits | None = None
    recorded_interval: int = -1
    recorded_verdict: str = ""
    exposed_at_ms: int = 0
    ending: Ending | None = None
    events: tuple[Event, ...] = ()

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen without a new attempt."""
        return self.phase in TERMINAL
