"""A runbook at its bounds: the last that a person may be asked to read, and the first that they may not."""

import msgspec
import pytest

from bywire.approvals.runbook import NEVER_STEPS, Runbook, RunbookStep, bounds, parse_runbook
from bywire.model.errors import EvidenceError

STEP = {"tool": "set_canary_weight", "parameters": {"weight": {"min": 0, "max": 25}}}
RUNBOOK = {"service": "s", "environment": "e", "steps": [STEP], "uses": 1, "valid_seconds": 60}


def refusal(value):
    with pytest.raises(EvidenceError) as caught:
        parse_runbook(value)
    assert caught.value.code == "runbook_malformed"
    assert caught.value.next_step
    return caught.value.message


def of_step(**changes):
    return {**RUNBOOK, "steps": [{**STEP, **changes}]}


def of_bound(bound):
    return of_step(parameters={"weight": bound})


@pytest.mark.parametrize(
    ("last", "beyond"),
    [
        ({**RUNBOOK, "service": "s" * 128}, {**RUNBOOK, "service": "s" * 129}),
        ({**RUNBOOK, "environment": "e"}, {**RUNBOOK, "environment": ""}),
        ({**RUNBOOK, "steps": [STEP] * 32}, {**RUNBOOK, "steps": [STEP] * 33}),
        ({**RUNBOOK, "steps": [STEP]}, {**RUNBOOK, "steps": []}),
        ({**RUNBOOK, "uses": 100}, {**RUNBOOK, "uses": 101}),
        ({**RUNBOOK, "uses": 1}, {**RUNBOOK, "uses": 0}),
        ({**RUNBOOK, "valid_seconds": 60}, {**RUNBOOK, "valid_seconds": 59}),
        ({**RUNBOOK, "valid_seconds": 2_592_000}, {**RUNBOOK, "valid_seconds": 2_592_001}),
        (RUNBOOK, {**RUNBOOK, "more": 1}),
        (of_step(tool="a" * 64), of_step(tool="a" * 65)),
        (of_step(tool="a"), of_step(tool="")),
        (of_step(tool="a_9"), of_step(tool="9_a")),
        (of_step(tool="a"), of_step(tool="A")),
        (of_step(parameters={}), of_step(more=1)),
        (
            of_step(parameters={f"p{number}": {"equals": 1} for number in range(32)}),
            of_step(parameters={f"p{number}": {"equals": 1} for number in range(33)}),
        ),
        (of_step(parameters={"p": {"equals": 1}}), of_step(parameters={"": {"equals": 1}})),
        (of_step(parameters={"p" * 128: {"equals": 1}}), of_step(parameters={"p" * 129: {"equals": 1}})),
        (of_bound({"equals": "x" * 1_024}), of_bound({"equals": "x" * 1_025})),
        (of_bound({"equals": ""}), of_bound({"equals": None})),
        (of_bound({"equals": False}), of_bound({"equals": [False]})),
        (of_bound({"equals": 1.5}), of_bound({"equals": float("inf")})),
        (of_bound({"equals": 0}), of_bound({})),
        (of_bound({"min": 5, "max": 5}), of_bound({"min": 6, "max": 5})),
        (of_bound({"min": -1.5, "max": 0}), of_bound({"min": True, "max": 5})),
        (of_bound({"min": 0, "max": 1}), of_bound({"min": 0, "max": True})),
        (of_bound({"min": 0, "max": 1}), of_bound({"min": "a", "max": "b"})),
        (of_bound({"min": 0, "max": 1}), of_bound({"min": 0, "max": float("nan")})),
        (of_bound({"min": 0, "max": 1}), of_bound({"min": 0, "max": 1, "equals": 1})),
        (of_bound({"one_of": [1]}), of_bound({"one_of": []})),
        (of_bound({"one_of": list(range(64))}), of_bound({"one_of": list(range(65))})),
        (of_bound({"one_of": ["a", 1, True]}), of_bound({"one_of": ["a", None]})),
        (of_bound({"one_of": ["a"]}), of_bound({"one_of": ["a"], "any": 1})),
        (of_bound({"one_of": ["a"]}), of_bound({"one_of": "a"})),
        (of_bound({"one_of": ["x" * 1_024]}), of_bound({"one_of": ["x" * 1_025]})),
    ],
)
def test_the_last_runbook_and_the_first_that_is_none(last, beyond):
    assert msgspec.to_builtins(parse_runbook(last)) == {**last, "steps": tuple(last["steps"])}
    refusal(beyond)


def test_a_refusal_names_the_step_and_the_parameter():
    assert "step 'Set': this is no tool's name" in refusal(of_step(tool="Set"))
    wrong = of_step(parameters={"b": {}, "a": {}, "c": {"equals": 1}})
    assert "step 'set_canary_weight': a needs equals, min and max, or one_of" in refusal(wrong)
    good_first = {**RUNBOOK, "steps": [STEP, {"tool": "x", "parameters": {"p": {}}}]}
    assert "step 'x': p needs" in refusal(good_first)


@pytest.mark.parametrize("tool", ["start_runbook", "start_rollout"])
def test_rule_20_a_runbook_starts_no_other_standing_grant(tool):
    assert "another standing grant" in refusal(of_step(tool=tool, parameters={}))
    assert sorted(NEVER_STEPS) == ["start_rollout", "start_runbook"]


def test_a_runbook_does_not_change_in_memory():
    runbook = parse_runbook(RUNBOOK)
    for made, field in ((runbook, "service"), (runbook.steps[0], "tool")):
        with pytest.raises(AttributeError):
            setattr(made, field, "other")
    assert isinstance(runbook, Runbook)
    assert isinstance(runbook.steps[0], RunbookStep)


def test_every_bound_in_words():
    parameters = {
        "c": {"min": 0.5, "max": 2},
        "a": {"equals": "x y"},
        "b": {"one_of": [1, "two", True]},
    }
    assert bounds(parse_runbook(of_step(parameters=parameters))) == (
        'set_canary_weight(a = "x y", b in [1,"two",true], c from 0.5 to 2)',
    )
    assert bounds(parse_runbook(of_step(parameters={}))) == ("set_canary_weight()",)
    assert len(bounds(parse_runbook({**RUNBOOK, "steps": [STEP, STEP]}))) == 2
