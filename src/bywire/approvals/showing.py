"""What a packet tells the person beside what it binds (seed 001, 11.3): risks, evidence in words, other ways.

Everything comes from verified facts, obligations and the contract; nothing an agent wrote passes through here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bywire.approvals.runbook import RUNBOOK_TOOL
from bywire.seal import jcs

LINES_MAX = 32
SHOWN_DIGEST = 12


def risk_flags(obligations: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Why the policy judged the tier as it did: the `because` of its tier obligation, in words."""
    found: list[str] = []
    for item in obligations:
        if item.get("kind") == "tier":
            found += [_reason(reason) for reason in item.get("because") or ()]
    return tuple(dict.fromkeys(found))[:LINES_MAX]


def evidence_summary(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What the verified statements say, one line a kind."""
    tests, sbom, provenance = (facts.get(name) or {} for name in ("tests", "sbom", "provenance"))
    evaluation, vsa = (facts.get(name) or {} for name in ("evaluation", "vsa"))
    found = []
    if tests:
        found.append(f"tests: {tests.get('passed', 0)} passed, {tests.get('failed', 0)} failed")
    if isinstance(tests.get("coverage_changed_lines"), int | float):
        found.append(f"coverage of changed lines: {tests['coverage_changed_lines']:.0%}")
    if evaluation:
        found.append(f"evaluation: {evaluation.get('passed', 0)} of {evaluation.get('cases', 0)} cases pass")
    if sbom:
        found.append(f"SBOM: {sbom.get('completeness', 0):.0%} complete")
    if provenance:
        found.append(f"provenance: SLSA L{provenance.get('level', 0)}")
    if vsa:
        found.append("gate: PASSED" if vsa.get("passed") is True else "gate: FAILED")
    return tuple(found)


def alternatives(tool: str, undo: str) -> tuple[str, ...]:
    """What a person may choose instead of agreeing."""
    instead = {
        "start_rollout": "a narrower plan, with lower weights or more steps: `bywire deliver --plan FILE`",
        RUNBOOK_TOOL: "a runbook with fewer steps, tighter bounds, fewer uses or a shorter time",
        "promote_release": "leave the canary at its present weight and wait for more telemetry",
        "set_canary_weight": "a lower weight, or fewer segments",
        "rollback_release": "hold the present weight, or stop: `bywire stop`",
    }.get(tool)
    nothing = "do nothing: the target stays as it is now"
    return tuple(filter(None, (nothing, instead, f"agree, and undo it later: {undo}" if undo else "")))


def proposed_state(action: Mapping[str, Any]) -> str:
    """The state that the action asks for, in one line: what its parameters say, digests cut short."""
    values = action.get("parameters", {})
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(values.items()) if value not in ("", None))


def exact_call(action: Mapping[str, Any]) -> str:
    """The tool call as it would run, parameters in canonical JSON."""
    return f"{action.get('tool', '')}({jcs.canonical(action.get('parameters', {})).decode()})"


def _reason(reason: Any) -> str:
    """`{"by": what raised the tier, "value": what it saw}` as one line."""
    if not isinstance(reason, Mapping):
        return str(reason)
    raised, value = str(reason.get("by", "")).replace("_", " "), reason.get("value")
    return raised if value in (None, "") else f"{raised}: {_short(value)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else jcs.canonical(value).decode()
    is_digest = len(text) in {40, 64} and all(char in "0123456789abcdef" for char in text)
    return text[:SHOWN_DIGEST] if is_digest else text
