"""Operator configuration: criticality, tiers, limits and people. It lives outside every judged repository (RULES 1)."""

import msgspec

from bywire.model.connection import Connection

TIERS = ("trivial", "low", "medium", "high")


class Limits(msgspec.Struct, frozen=True):
    """Thresholds of the gate and the rollout; ratios are 0..1, weights percent."""

    coverage_changed_lines: float = 0.8
    sbom_completeness: float = 0.95
    provenance_level: int = 1
    evaluation_pass_ratio: float = 0.9
    jailbreak_refused_ratio: float = 1.0
    asset_provenance_max_age_days: int = 30
    evidence_max_age_seconds: int = 86_400
    rollout_ceiling: int = 100
    rollout_first_step: int = 5
    canary_lease_seconds: int = 30
    approval_ttl_seconds: int = 3_600
    actions_per_hour: int = 600


class JudgeLimits(msgspec.Struct, frozen=True):
    """What the judge tolerates.

    `error_budget` is the absolute increase of bad requests accepted at full exposure (0.02 = 2 percentage points).
    """

    interval_seconds: int = 60
    alpha: float = 0.05
    relative_margin: float = 1.5
    absolute_margin: float = 0.005
    error_budget: float = 0.02
    dispersion: float = 1.6
    intervals_min: int = 5
    requests_min_per_segment: int = 20
    intervals_hold_max: int = 60
    verify_intervals: int = 3


class Isolation(msgspec.Struct, frozen=True):
    """How untrusted commands are run: `path` is their PATH, limits in bytes and counts."""

    path: tuple[str, ...] = ("/usr/local/bin", "/usr/bin", "/bin")
    memory_bytes: int = 2_147_483_648
    file_bytes: int = 268_435_456
    processes: int = 256
    output_bytes: int = 262_144
    timeout_seconds_max: int = 900


class Person(msgspec.Struct, frozen=True):
    """A person the operator knows: id `person:name`, e-mail addresses used in git, roles held."""

    id: str
    emails: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


class Gate(msgspec.Struct, frozen=True):
    """Who must agree to a tier: `kind` is automatic, single, multi-signer or scheduled.

    `count` distinct persons, each in one of `roles` (empty: in the roles that the action itself asks for).
    """

    kind: str
    count: int = 1
    roles: tuple[str, ...] = ()


class ChangeWindow(msgspec.Struct, frozen=True):
    """When scheduled changes may happen: `days` (0 is Monday) and minutes of the day [start, end) at a fixed offset."""

    days: tuple[int, ...]
    start_minute: int
    end_minute: int
    utc_offset_minutes: int = 0


class Reminders(msgspec.Struct, frozen=True):
    """When people are reminded of a request that waits, in seconds since it was made; 0 never escalates."""

    after_seconds: tuple[int, ...] = ()
    escalate_after_seconds: int = 0
    escalate_to: tuple[str, ...] = ()


class Witness(msgspec.Struct, frozen=True):
    """Someone outside who remembers the log: name and raw Ed25519 key in hex, reached by `directory` or by `url`."""

    name: str
    key: str
    directory: str = ""
    url: str = ""


class Witnessing(msgspec.Struct, frozen=True):
    """The witnesses, how many must cosign, and how many entries that quorum may be behind (see docs/operations.md)."""

    witnesses: tuple[Witness, ...] = ()
    quorum: int = 0
    lag_entries: int = 1_000


class OperatorConfig(msgspec.Struct, frozen=True):
    """Parsed and validated operator.yaml. `agents_owner` is the person answerable for the built-in agents.

    `freeze_windows` are [start_ms, end_ms) pairs since the epoch; `gates` are by tier, `tool_rates` actions an hour.
    """

    service: str
    environment: str = "production"
    base_branch: str = "main"
    criticality: str = "customer-facing"
    tier_floor: str = "low"
    agents_owner: str = ""
    people: tuple[Person, ...] = ()
    limits: Limits = Limits()
    judge: JudgeLimits = JudgeLimits()
    isolation: Isolation = Isolation()
    freeze_windows: tuple[tuple[int, int], ...] = ()
    gates: dict[str, Gate] = {}
    tool_rates: dict[str, int] = {}
    change_windows: tuple[ChangeWindow, ...] = ()
    reminders: Reminders = Reminders()
    connections: tuple[Connection, ...] = ()
    witnessing: Witnessing = Witnessing()
