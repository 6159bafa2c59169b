"""operator.yaml, version 1: criticality, tiers, limits and people, from outside every judged repository (RULES 1).

A missing optional field takes the default of `bywire.model.operator`; an unknown one is an error, because a limit that
was misspelt is a limit that is not there. The published JSON Schema is `bywire/schema/operator.schema.json`.
"""

from datetime import datetime
from typing import Any

from bywire.config.connections import connections
from bywire.config.gates import read_change_windows, read_gates, read_reminders, read_tool_rates
from bywire.config.reading import Node, read_optional
from bywire.config.service_intent import NAME
from bywire.config.witnesses import read_witnessing
from bywire.model.operator import TIERS, Isolation, JudgeLimits, Limits, OperatorConfig, Person

FILE_NAME = "operator.yaml"
CRITICALITIES = ("internal", "customer-facing", "payment", "compliance")
ENVIRONMENTS = ("non-production", "staging", "production")
ROLES = ("service-owner", "sre-oncall", "incident-commander", "database-owner", "security")
PERSON = r"person:[a-z0-9][a-z0-9._-]{0,62}"
EMAIL = r"[^\s@<>]{1,128}@[^\s@<>]{1,128}"
BRANCH = r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}"
PEOPLE_MAX = 200
EMAILS_MAX = 16
WINDOWS_MAX = 100
PATHS_MAX = 32
GIB = 2**30

KEYS = (
    "version", "service", "environment", "base_branch", "criticality", "tier_floor", "agents_owner", "people", "limits",
    "judge", "isolation", "freeze_windows", "gates", "tool_rates", "change_windows", "reminders",
    "connections",
    "witnesses", "witness_quorum", "witness_lag_entries",
)  # fmt: skip

# Bounds of every number a person may set: name -> (least, most). Ratios are 0..1; a bound keeps a limit a limit.
LIMIT_BOUNDS: dict[str, tuple[float, float]] = {
    "coverage_changed_lines": (0.0, 1.0),
    "sbom_completeness": (0.0, 1.0),
    "provenance_level": (0, 3),
    "evaluation_pass_ratio": (0.0, 1.0),
    "jailbreak_refused_ratio": (0.0, 1.0),
    "asset_provenance_max_age_days": (1, 3650),
    "evidence_max_age_seconds": (60, 31_536_000),
    "rollout_ceiling": (1, 100),
    "rollout_first_step": (1, 100),
    "canary_lease_seconds": (3, 600),
    "approval_ttl_seconds": (30, 604_800),
    "actions_per_hour": (1, 100_000),
}
JUDGE_BOUNDS: dict[str, tuple[float, float]] = {
    "interval_seconds": (1, 3600),
    "alpha": (0.000001, 0.5),
    "relative_margin": (1.0, 100.0),
    "absolute_margin": (0.0, 1.0),
    "error_budget": (0.0001, 1.0),
    "dispersion": (1.0, 100.0),
    "intervals_min": (1, 10_000),
    "requests_min_per_segment": (1, 1_000_000),
    "intervals_hold_max": (1, 10_000),
    "verify_intervals": (1, 1000),
}
ISOLATION_BOUNDS: dict[str, tuple[float, float]] = {
    "memory_bytes": (16 * 2**20, 256 * GIB),
    "file_bytes": (2**20, 64 * GIB),
    "processes": (1, 32_768),
    "output_bytes": (1024, 64 * 2**20),
    "timeout_seconds_max": (1, 86_400),
}


def parse(value: Any, source: str) -> OperatorConfig:
    """Parse operator.yaml (plain JSON value). Raises FieldError naming the first fault."""
    fields = Node(value, source).fields(KEYS, required=("version", "service", "agents_owner", "people"))
    fields["version"].version(1)
    people = _people(fields["people"])
    absent = OperatorConfig("")
    return OperatorConfig(
        service=fields["service"].text("a name of a-z, 0-9 and '-', starting with a letter", pattern=NAME),
        environment=read_optional(fields, "environment", lambda node: node.choice(ENVIRONMENTS), absent.environment),
        base_branch=read_optional(fields, "base_branch", _branch, absent.base_branch),
        criticality=read_optional(fields, "criticality", lambda node: node.choice(CRITICALITIES), absent.criticality),
        tier_floor=read_optional(fields, "tier_floor", lambda node: node.choice(TIERS), absent.tier_floor),
        agents_owner=_agents_owner(fields["agents_owner"], people),
        people=people,
        limits=read_optional(fields, "limits", _limits, absent.limits),
        judge=read_optional(fields, "judge", _judge, absent.judge),
        isolation=read_optional(fields, "isolation", _isolation, absent.isolation),
        freeze_windows=read_optional(fields, "freeze_windows", _windows, ()),
        connections=read_optional(fields, "connections", connections, ()),
        witnessing=read_witnessing(fields),
        gates=read_optional(fields, "gates", lambda node: read_gates(node, people, ROLES), absent.gates),
        tool_rates=read_optional(fields, "tool_rates", read_tool_rates, absent.tool_rates),
        change_windows=read_optional(fields, "change_windows", read_change_windows, absent.change_windows),
        reminders=read_optional(fields, "reminders", lambda node: read_reminders(node, ROLES), absent.reminders),
    )


def _branch(node: Node) -> str:
    return node.text("a branch name", pattern=BRANCH)


def _people(node: Node) -> tuple[Person, ...]:
    found: list[Person] = []
    owners: dict[str, str] = {}
    for item in node.items("people", least=1, most=PEOPLE_MAX):
        person = _person(item)
        if any(person.id == other.id for other in found):
            raise item.refuse(f"{person.id} is listed twice", "merge the two entries")
        for email in person.emails:
            # One address, one person: otherwise separation of duties could be talked out of knowing the author.
            if owners.setdefault(email, person.id) != person.id:
                raise item.refuse(
                    f"{email} already belongs to {owners[email]}", "give each person addresses of their own"
                )
        found.append(person)
    return tuple(found)


def _person(node: Node) -> Person:
    fields = node.fields(("id", "emails", "roles"), required=("id",))
    emails = fields["emails"].items("addresses", least=0, most=EMAILS_MAX, distinct=True) if "emails" in fields else []
    roles = fields["roles"].items("roles", least=0, most=len(ROLES), distinct=True) if "roles" in fields else []
    return Person(
        id=_person_id(fields["id"]),
        emails=tuple(email.text("an e-mail address", pattern=EMAIL).lower() for email in emails),
        roles=tuple(role.choice(ROLES) for role in roles),
    )


def _person_id(node: Node) -> str:
    return node.text("a person such as person:dana", pattern=PERSON)


def _agents_owner(node: Node, people: tuple[Person, ...]) -> str:
    owner = _person_id(node)
    if owner not in {person.id for person in people}:
        raise node.refuse(f"{owner} is not one of the people", f"add {{id: {owner}}} to people")
    return owner


def _numbers(fields: dict[str, Node], bounds: dict[str, tuple[float, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in bounds.keys() & fields.keys():
        least, most = bounds[name]
        whole = isinstance(least, int)
        found[name] = fields[name].integer(int(least), int(most)) if whole else fields[name].number(least, most)
    return found


def _limits(node: Node) -> Limits:
    limits = Limits(**_numbers(node.fields(LIMIT_BOUNDS), LIMIT_BOUNDS))
    if limits.rollout_first_step > limits.rollout_ceiling:
        raise node.refuse(
            f"rollout_first_step {limits.rollout_first_step} is above rollout_ceiling {limits.rollout_ceiling}",
            "lower rollout_first_step",
        )
    return limits


def _judge(node: Node) -> JudgeLimits:
    judge = JudgeLimits(**_numbers(node.fields(JUDGE_BOUNDS), JUDGE_BOUNDS))
    if judge.intervals_min > judge.intervals_hold_max:
        raise node.refuse("intervals_min is above intervals_hold_max", "raise intervals_hold_max")
    return judge


def _isolation(node: Node) -> Isolation:
    fields = node.fields((*ISOLATION_BOUNDS, "path"))
    path = read_optional(fields, "path", _search_path, Isolation().path)
    return Isolation(path=path, **_numbers(fields, ISOLATION_BOUNDS))


def _search_path(node: Node) -> tuple[str, ...]:
    what = "an absolute directory without ':'"
    items = node.items("directories", least=1, most=PATHS_MAX, distinct=True)
    return tuple(item.text(what, pattern=r"/[^:\x00-\x1f]*", most=512) for item in items)


def _windows(node: Node) -> tuple[tuple[int, int], ...]:
    found = []
    for item in node.items("windows", least=0, most=WINDOWS_MAX):
        fields = item.fields(("start", "end"), required=("start", "end"))
        start, end = instant_ms(fields["start"]), instant_ms(fields["end"])
        if end <= start:
            raise fields["end"].expected("a time after the start")
        found.append((start, end))
    return tuple(found)


def instant_ms(node: Node) -> int:
    """A time with its zone (RFC 3339), in ms since the epoch."""
    what = "a time with its zone (RFC 3339) such as 2026-12-20T00:00:00Z"
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"
    try:
        moment = datetime.fromisoformat(node.text(what, pattern=pattern, most=40))
    except ValueError as error:
        raise node.expected(what) from error
    return int(moment.timestamp()) * 1000
