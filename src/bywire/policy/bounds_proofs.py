"""The tests that go with an agent's compiled bounds: for each rule a question where it fires and the nearest where not.

Both are made from the bounds, not from the Rego: a call that keeps every bound, and the same call breaking one.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

from bywire.policy.agent_bounds import (
    ActionBounds,
    AgentBounds,
    ParameterBound,
    outside_scope,
)
from bywire.policy.budget_rego import scope
from bywire.policy.compile_bounds import MARK
from bywire.policy.condition_rego import literal
from bywire.policy.conditions import ENVIRONMENT, Always, Condition, Path, names_of, witness
from bywire.policy.rego_columns import narrowed

ELSEWHERE = "no-upstream.no-such-tool"
DENIED, ASKED = "denied", "asked"
OTHER_IMAGE = "registry.invalid/other:latest"
_FITS_NOTHING = {"fits": "nothing"}


def proofs_of(bounds: AgentBounds) -> str:
    """The module `agents/NAME_test.rego`."""
    name = bounds.agent
    package = f"bywire.agents[{literal(name)}]"
    parts = [
        f"{MARK}; do not edit.\npackage bywire.agents_test[{literal(name)}]",
        f"denied(question) := {{denial.rule | some denial in data.{package}.deny with input as question}}",
    ]
    if any(action.asks for action in bounds.actions):
        parts.append(
            f"asked(question) := {{reason.rule | some reason in data.{package}.approval with input as question}}"
        )
    for (word, of), (fires, quiet) in _proofs(bounds).items():
        # A rule that refuses some calls and asks about others has a second pair.
        second = "_asks" if of == ASKED and word != "approval_needed" else ""
        rule, test = f"agents.{name}.{word}", f"agents_{name.replace('-', '_')}_{word}{second}"
        parts.append(f"test_fires_{test} if {literal(rule)} in {of}({literal(fires)})")
        parts.append(f"test_quiet_{test} if not {literal(rule)} in {of}({literal(quiet)})")
    return narrowed("\n\n".join(parts) + "\n")


def kept(bounds: AgentBounds, action: ActionBounds) -> dict[str, Any]:
    """A question that keeps every bound of an action that can be kept."""
    environment = action.environments[0] if action.environments else "staging"
    told: dict[str, Any] = {"tool": action.tools[0], "environment": environment, "parameters": {}, "meaning": {}}
    question = {"principal": {"id": f"agent:{bounds.agent}"}, "action": told, "state": {"usage": []}}
    meaning = told["meaning"]
    meaning |= {"images": [_image(action)]} if action.images is not None else {}
    meaning |= {"replicas": action.replicas} if action.replicas is not None else {}
    meaning |= {"amount": action.amount} if action.amount is not None else {}
    meaning |= {"currency": action.currency} if action.currency else {}
    meaning |= {"command": [*action.commands[0], "--help"]} if action.commands else {}
    if action.egress:
        place = action.egress[0]
        told["destination"] = {"host": place.host.replace("*.", "a."), "port": place.port}
    for bound in action.parameters:
        _put(question, ("action", "parameters", *bound.path), _sample(bound))
    return question


def _proofs(bounds: AgentBounds) -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]:
    """(Rule word, DENIED or ASKED) -> (a question where it fires, one where it does not)."""
    first = kept(bounds, bounds.actions[0])
    elsewhere = _changed(first, ("action", "tool"), ELSEWHERE)
    found = {("tool_not_listed", DENIED): (elsewhere, first)}
    spent = next(_spent(bounds), None)
    if spent is not None:
        found["budget", DENIED] = spent
    for action in bounds.actions:
        question = kept(bounds, action)
        quiet = question if _can_be_kept(action) else elsewhere
        for word, fires in _breaches(action, question):
            found.setdefault((word, DENIED), (fires, quiet))
        for word, fires in _beyond(action, question):
            found.setdefault((word, ASKED), (fires, quiet))
        for word, pair in _asking(action, question, elsewhere):
            found.setdefault((word, ASKED), pair)
    return found


def _spent(bounds: AgentBounds) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(a question where a budget has no room, one where it has), for each budget."""
    candidates = [(bounds.actions[0], "", budget) for budget in bounds.budgets]
    candidates += [(action, action.tools[0], budget) for action in bounds.actions for budget in action.budgets]
    for action, tool, budget in candidates:
        usage: dict[str, Any] = {"unit": budget.unit, "period": budget.period, "observed": budget.limit, "asked": 1}
        usage["scope"] = scope(bounds.agent, tool, budget.environment)
        question = kept(bounds, action)
        if budget.environment:
            question = _changed(question, ENVIRONMENT, budget.environment)
        yield _changed(question, ("state", "usage"), [usage]), question


def _breaches(action: ActionBounds, question: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same question, breaking one bound."""
    meaning = ("action", "meaning")
    if action.environments is not None and (told := outside_scope(action)) is not None:
        yield "environment", _told(question, action.approval, {**told})
    if action.images is not None:
        yield "image_not_allowed", _changed(question, (*meaning, "images"), [OTHER_IMAGE])
    if action.replicas is not None:
        fires = None if action.asks_beyond else action.replicas + 1
        yield "max_replicas", _changed(question, (*meaning, "replicas"), fires)
    if action.amount is not None:
        yield "max_amount", _changed(question, (*meaning, "amount"), None if action.asks_beyond else action.amount + 1)
    if action.currency:
        yield "currency", _changed(question, (*meaning, "currency"), f"not {action.currency}")
    for bound in action.parameters:
        yield "parameter", _changed(question, ("action", "parameters", *bound.path), _FITS_NOTHING)
    if action.commands is not None:
        yield "command", _changed(question, (*meaning, "command"), ["no-such-command"])
    if action.egress is not None:
        yield "egress", _changed(question, ("action", "destination", "host"), "elsewhere.invalid")


def _beyond(action: ActionBounds, question: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same question, beyond one bound in a way that a person may allow."""
    if not action.asks_beyond:
        return
    meaning = ("action", "meaning")
    if action.images is not None:
        yield "image_not_allowed", _changed(question, (*meaning, "images"), [_other_image(action)])
    if action.replicas is not None:
        yield "max_replicas", _changed(question, (*meaning, "replicas"), action.replicas + 1)
    if action.amount is not None:
        yield "max_amount", _changed(question, (*meaning, "amount"), action.amount + 1)


def _asking(
    action: ActionBounds, question: dict[str, Any], elsewhere: dict[str, Any]
) -> Iterator[tuple[str, tuple[dict[str, Any], dict[str, Any]]]]:
    if action.approval == Always(value=False):
        return
    asked = witness(action.approval, frozenset({True, None}), {})
    alone = witness(action.approval, frozenset({False}), {})
    if asked is not None:
        quiet = elsewhere if alone is None else _told(question, action.approval, alone)
        yield "approval_needed", (_told(question, action.approval, asked), quiet)


def _told(question: dict[str, Any], condition: Condition, told: dict[Path, Any]) -> dict[str, Any]:
    """The question with exactly what is `told` of the values that a condition reads."""
    for path in sorted(names_of(condition) | told.keys()):
        if path in told or path != ENVIRONMENT:
            question = _changed(question, path, told.get(path))
    return question


def _changed(question: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    question = copy.deepcopy(question)
    _put(question, path, value)
    return question


def _put(question: dict[str, Any], path: Path, value: Any) -> None:
    """Set a value deep inside; None takes it away."""
    place: dict[str, Any] = question
    for name in path[:-1]:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    if value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value


def _image(action: ActionBounds) -> str:
    images = action.images or ()
    image = next((image for image in images if not image.is_placeholder), images[0])
    return f"{image.repository or 'registry.invalid/app'}@{image.digest or 'sha256:' + 64 * '0'}"


def _other_image(action: ActionBounds) -> str:
    """One that is named by its digest and allowed by none: whatever allows this digest wants another repository."""
    listed = {image.digest for image in action.images or () if not image.repository}
    digest = next(found for number in itertools.count() if (found := f"sha256:{number:064x}") not in listed)
    return f"registry.invalid/no-such@{digest}"


def _sample(bound: ParameterBound) -> Any:
    if bound.forbidden:
        return None
    if bound.one_of is not None:
        return bound.one_of[0]
    if bound.pattern:
        return bound.example
    return bound.least if bound.least is not None else bound.most


def _can_be_kept(action: ActionBounds) -> bool:
    """Whether some call keeps every bound: the placeholder of an image is nobody's digest."""
    return action.images is None or not all(image.is_placeholder for image in action.images)
