"""Writes the first bywire.yaml and operator.yaml for a person to read and edit: commented, valid, and plain about gaps.

What was found stands with its source. What was not found is a commented-out line that starts with `not found:` and says
how to fill it in, so the draft parses as it is.
"""

import json
import re
from collections.abc import Iterable

from bywire.config.findings import Findings, FoundCommand, FoundNames
from bywire.config.operator_config import BRANCH, EMAIL
from bywire.config.reading import printable
from bywire.config.service_intent import ARGUMENTS_MAX, NAME, OWNER, URL_PATH
from bywire.model.operator import Isolation, JudgeLimits, Limits, Person

_BARE = re.compile(r"[A-Za-z_./@-][A-Za-z0-9_./@=+-]*")
_WORDS_WITH_MEANING = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|~)")
TIMEOUT_SECONDS = 300


def render(findings: Findings) -> str:
    """The text of a commented bywire.yaml that `service_intent.parse` accepts, whatever was found."""
    lines = [
        "# bywire.yaml: what this service is and how it is built, tested, started and judged.",
        "# bywire reads it from the protected base branch; a change may only tighten it.",
        "# Criticality, thresholds and people are not set here but in the operator's operator.yaml.",
        f"# Languages found: {', '.join(findings.languages) or 'none'}.",
        *(f"# Note: {printable(note, 300)}" for note in findings.notes),
        "version: 1",
        f"service: {_service(findings)}",
        *_names("owners", findings.owners, OWNER, "[team-name]"),
        *_names("dependencies", findings.dependencies, NAME, "[name-of-a-service-it-calls]"),
        "",
        *_commands(findings),
        "",
        "# What the immutable artifact holds.",
        'artifact: {include: ["**"]}',
        *_path("manifests", findings.manifests, "deploy/", "a directory of Kubernetes YAML"),
        *_assets(findings.assets),
        "",
        "# Service level indicators. Availability counts 5xx answers; set the objective you promise.",
        "slis:",
        "  - {name: availability, kind: errors, objective: 0.999}",
        "#  - {name: latency, kind: slow, threshold_ms: 300, objective: 0.99}  # fill in your latency limit",
        "",
        "# not found: how your clients are told apart; with segments the judge can say who is hurt:",
        "# segments: {header: x-client-segment, values: [desktop, mobile]}",
        "",
        "# Percent of traffic at each step; the operator's ceiling and first step may be lower.",
        "rollout: {steps: [5, 25, 50, 100]}",
    ]
    return "\n".join(lines) + "\n"


def _names(key: str, found: FoundNames | None, pattern: str, example: str) -> list[str]:
    usable = tuple(dict.fromkeys(value for value in found.values if re.fullmatch(pattern, value)))[:20] if found else ()
    if found is None or not usable:
        return [f"# {key}: {example}  # not found: write {key} here and remove the '#'"]
    return [f"{key}: {_flow(usable)}  # from {printable(found.source)}"]


def _service(findings: Findings) -> str:
    return _scalar(findings.service if re.fullmatch(NAME, findings.service) else "service")


def _commands(findings: Findings) -> list[str]:
    lines = ["# Argument lists, never shell strings. They run in a clean worktree, without network or credentials."]
    body: list[str] = []
    for key, found in (("build", findings.build), ("lint", findings.lint)):
        body += _command(key, found, "[make, " + key + "]")
    body += _test(findings.test)
    body += ["#  evaluate: {run: [python, -m, evaluate], timeout_seconds: 60}  # only for a service with a model"]
    body += _start(findings)
    body += [
        "#  warm: {path: /internal/warm, timeout_seconds: 20}  # optional: POSTed before an instance meets traffic"
    ]
    has_any = any(not line.startswith("#") for line in body)
    return [*lines, "commands:" if has_any else "# commands:", *body]


def _command(key: str, found: FoundCommand | None, example: str) -> list[str]:
    if found is None or not _usable(found.run):
        return [
            f"#  {key}: {{run: {example}, timeout_seconds: {TIMEOUT_SECONDS}}}  # not found: write the {key} command"
        ]
    return [
        f"  {key}: {{run: {_flow(found.run)}, timeout_seconds: {TIMEOUT_SECONDS}}}  # from {printable(found.source)}"
    ]


def _test(found: FoundCommand | None) -> list[str]:
    if found is None or not _usable(found.run):
        return _command("test", None, "[make, test]")
    lines = [
        "  test:",
        f"    run: {_flow(found.run)}  # from {printable(found.source)}",
        f"    timeout_seconds: {TIMEOUT_SECONDS}",
    ]
    for key, value, hint in (
        ("junit", found.junit, "reports/junit.xml  # not found: where the tests leave JUnit XML"),
        ("coverage", found.coverage, "reports/coverage.json  # not found: coverage.py JSON, .lcov or Cobertura .xml"),
    ):
        lines.append(f"    {key}: {_scalar(value)}" if value else f"#    {key}: {hint}")
    return lines


def _start(findings: Findings) -> list[str]:
    found = findings.start
    if found is None or not _usable(found.run):
        return [
            "#  start: {run: [python, -m, service], ready: /healthz}  # not found: write how the service is started"
        ]
    health = findings.health if findings.health and re.fullmatch(URL_PATH, findings.health.value) else None
    if health and health.value.startswith("//"):
        health = None
    port = f"; it listens on {findings.port.value} by default" if findings.port else ""
    return [
        "  start:",
        f"    run: {_flow(found.run)}  # from {printable(found.source)}",
        f"    ready: {health.value}  # from {printable(health.source)}"
        if health
        else "#    ready: /healthz  # not found: the path that answers 200 once the service can serve",
        "    ready_timeout_seconds: 20",
        f"    port_env: PORT  # bywire tells each instance its port in this variable{printable(port)}",
    ]


def _path(key: str, value: str, example: str, what: str) -> list[str]:
    return [f"{key}: {_scalar(value)}"] if value else [f"# {key}: {example}  # not found: {what}"]


def _assets(paths: tuple[str, ...]) -> list[str]:
    if paths:
        return [f"assets: {_flow(paths)}"]
    return ["# assets: [assets/assistant.json]  # not found: manifests of prompts, datasets and adapters"]


def _usable(run: tuple[str, ...]) -> bool:
    """Whether the draft can carry these arguments without changing them."""
    fits = 0 < len(run) <= ARGUMENTS_MAX and all(len(word) <= 1024 for word in run) and bool(run[0])
    return fits and all(word.isprintable() for word in run)


def _flow(values: Iterable[str]) -> str:
    return f"[{', '.join(_scalar(value) for value in values)}]"


def _scalar(value: str) -> str:
    """`value` as a YAML scalar: bare when that cannot be misread, else double-quoted."""
    if _BARE.fullmatch(value) and not _WORDS_WITH_MEANING.fullmatch(value) and not value.startswith(("-.", ".", "@")):
        return value if value not in ("-", "--", "---") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


def render_operator(
    findings: Findings,
    person: Person,
    approver: Person,
    *,
    environment: str = "production",
    search_path: tuple[str, ...] = (),
) -> str:
    """The text of a commented operator.yaml that `operator_config.parse` accepts.

    `person` answers for the built-in agents; `approver` is somebody else, who may approve what the agents propose.
    `search_path` is the PATH of builds and tests when the default one lacks their tools.
    """
    limits, judge = Limits(), JudgeLimits()
    base = findings.base_branch if re.fullmatch(BRANCH, findings.base_branch) else "main"
    lines = [
        f"# operator.yaml: what the operator demands of {_service(findings)}.",
        "# It lives outside the repository, where no change can reach it; bywire.yaml cannot lower anything set here.",
        "version: 1",
        f"service: {_service(findings)}",
        f"environment: {environment}  # non-production, staging or production",
        f"base_branch: {_scalar(base)}  # the protected branch; its bywire.yaml is in force",
        "criticality: customer-facing  # internal, customer-facing, payment or compliance",
        "tier_floor: low  # trivial, low, medium or high: no change counts as less than this",
        "",
        f"agents_owner: {_scalar(person.id)}  # answers for the built-in agents, and so never approves what they do",
        "people:",
        *(line for item in _distinct(person, approver) for line in _person(item)),
        "#  roles: service-owner, sre-oncall, incident-commander, database-owner, security",
        "",
        "# Thresholds of the gate and the rollout. Ratios are 0..1, weights are percent.",
        "limits:",
        *(f"  {name}: {getattr(limits, name)}" for name in limits.__struct_fields__),
        "",
        "# What the judge of a canary tolerates; error_budget is the accepted absolute increase of bad requests.",
        "judge:",
        *(f"  {name}: {getattr(judge, name)}" for name in judge.__struct_fields__),
        "",
        "# How builds and tests are run; limits not written here keep their defaults.",
        f"isolation: {{path: {_flow(search_path or Isolation().path)}}}",
        "",
        "gates:  # who must agree, by risk tier; `multi-signer` with `count: 2` once three people can approve",
        "  high: {kind: single}",
        "# freeze_windows:  # no production change in between",
        "#  - {start: 2026-12-20T00:00:00Z, end: 2027-01-02T00:00:00Z}",
    ]
    return "\n".join(lines) + "\n"


def _distinct(person: Person, approver: Person) -> tuple[Person, ...]:
    return (person,) if person.id == approver.id else (person, approver)


def _person(person: Person) -> list[str]:
    emails = _flow(email for email in person.emails if re.fullmatch(EMAIL, email))
    return [
        f"  - id: {_scalar(person.id)}",
        f"    emails: {emails}  # as they appear in git commits",
        f"    roles: {_flow(person.roles)}",
    ]
