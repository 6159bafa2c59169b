"""Runbooks: a standing grant for steps that a person agreed to once, within bounds they saw (RULES 20).

A runbook names tools and, for each parameter, what it may be: one value, a closed range of numbers, or one of a few.
Everything about it is bounded here, so that the digest a person signs can never stand for more than they read.
"""

import re
from math import isfinite
from typing import Annotated, Any, TypeAlias

import msgspec

from bywire.model.errors import EvidenceError
from bywire.seal import jcs

RUNBOOK_TOOL = "start_runbook"
STEPS_MAX = 32
PARAMETERS_MAX = 32
CHOICES_MAX = 64
USES_MAX = 100
VALID_SECONDS_MIN = 60
VALID_SECONDS_MAX = 30 * 24 * 3_600
TEXT_CHARS_MAX = 1_024
# A standing grant that starts standing grants would be bounded by nothing.
NEVER_STEPS = frozenset({RUNBOOK_TOOL, "start_rollout"})

# A built-in tool, or one of an upstream.
_TOOL = re.compile(r"[a-z][a-z0-9_]{0,63}|[a-z][a-z0-9-]{0,31}\.[A-Za-z0-9_./-]{1,95}")
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Bound: TypeAlias = dict[str, Any]


class RunbookStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool and what each of its parameters may be; a parameter that is not named may not be given.

    A bound is `{"equals": value}`, `{"min": a, "max": b}` (numbers, both ends included) or `{"one_of": [values]}`.
    """

    tool: str
    parameters: Annotated[dict[_Name, _Bound], msgspec.Meta(max_length=PARAMETERS_MAX)]


class Runbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `start_runbook`: steps that may be taken in one environment of one service.

    `uses` counts the steps that may be taken in all; `valid_seconds` counts from the request for approval.
    """

    service: _Name
    environment: _Name
    steps: Annotated[tuple[RunbookStep, ...], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]
    uses: Annotated[int, msgspec.Meta(ge=1, le=USES_MAX)]
    valid_seconds: Annotated[int, msgspec.Meta(ge=VALID_SECONDS_MIN, le=VALID_SECONDS_MAX)]


def parse_runbook(value: Any) -> Runbook:
    """Read a runbook. Raises EvidenceError `runbook_malformed` naming the fault."""
    try:
        runbook = msgspec.convert(value, Runbook)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise _refused(str(error)) from error
    for step in runbook.steps:
        fault = _fault(step)
        if fault:
            raise _refused(f"step {step.tool!r}: {fault}")
    return runbook


def bounds(runbook: Runbook) -> tuple[str, ...]:
    """The runbook's steps, one line each, for people."""
    return tuple(
        f"{step.tool}({', '.join(f'{name} {_shown(bound)}' for name, bound in sorted(step.parameters.items()))})"
        for step in runbook.steps
    )


def _fault(step: RunbookStep) -> str:
    if _TOOL.fullmatch(step.tool) is None:
        return "this is no tool's name"
    if step.tool in NEVER_STEPS:
        return "a runbook may not start another standing grant"
    wrong = sorted(name for name, bound in step.parameters.items() if not _is_bound(bound))
    return f"{wrong[0]} needs equals, min and max, or one_of" if wrong else ""


def _is_bound(bound: _Bound) -> bool:
    kinds = set(bound)
    if kinds == {"equals"}:
        return _is_value(bound["equals"])
    if kinds == {"min", "max"}:
        return _is_number(bound["min"]) and _is_number(bound["max"]) and bound["min"] <= bound["max"]
    choices = bound.get("one_of")
    return (
        kinds == {"one_of"}
        and isinstance(choices, list)
        and 1 <= len(choices) <= CHOICES_MAX
        and all(map(_is_value, choices))
    )


def _is_value(value: Any) -> bool:
    """A scalar; lists and objects would hide in one bound what a person reads as one value."""
    if isinstance(value, str):
        return len(value) <= TEXT_CHARS_MAX
    return isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _shown(bound: _Bound) -> str:
    if "equals" in bound:
        return f"= {_text(bound['equals'])}"
    if "one_of" in bound:
        return f"in {_text(bound['one_of'])}"
    return f"from {_text(bound['min'])} to {_text(bound['max'])}"


def _text(value: Any) -> str:
    return jcs.canonical(value).decode()


def _refused(why: str) -> EvidenceError:
    return EvidenceError(
        f"the runbook is malformed: {why}",
        code="runbook_malformed",
        next_step="bound every parameter of every step with equals, min and max, or one_of",
    )
