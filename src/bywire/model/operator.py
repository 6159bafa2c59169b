"""Operator configuration: criticality, tiers, limits and people. It lives outside every judged repository (RULES 1)."""

import msgspec

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


class OperatorConfig(msgspec.Struct, frozen=True):
    """Parsed and validated operator.yaml. `agents_owner` is the person answerable for the built-in agents.

    `freeze_windows` are [start_ms, end_ms) pairs since the epoch.
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
