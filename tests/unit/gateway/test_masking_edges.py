"""What the policy wants masked in a call: which parameter a place lies in, and what is decided afterwards."""

import pytest
from door_doubles import ALLOW, Engine, Facts, Stands
from gateway_doubles import (
    OPERATOR,
    SECRET,
    TRUST,
    MemoryApprovals,
    MemoryRecords,
    MemoryState,
    ask,
    decision,
    entrance,
)

from bywire.gateway.contract import Catalogue, Contract, parameters
from bywire.gateway.deciding import Decider
from bywire.gateway.pending import Pending
from bywire.model.decision import Effect, Reason

TEXT = {"type": "string"}
NAMES = parameters({"a": TEXT}, {"a.b": TEXT, "ab": TEXT, "list": {"type": "array"}})
SAY = Contract("say", "repo_write", "target", NAMES)
LOOK = Contract("look", "read", "target", NAMES, read=True)
DRAFT = Contract("draft", "read", "target", NAMES, read=True, reviewed=False)
BACK = Contract("back", "repo_write", "target", NAMES, exposure_reducing=True)
FAULT = {"code": "budgets_unreadable", "message": "the budgets cannot be read", "next_step": "correct gateway.yaml"}
MASKED = "use [github_token]"


class Shadowed(Stands):
    def shadows(self, now_ms):
        return [{"rule": "gate.coverage_low"}, {"rule": "gate.that_nobody_broke"}]


class World:
    def __init__(self, *answers, fault=None):
        self.engine, self.answers = Engine(), list(answers)
        self.engine.answer = lambda question: self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        state = MemoryState()
        self.entrance = entrance(state=state, catalogue=Catalogue((SAY, LOOK, DRAFT, BACK)))
        self.decider = Decider(
            engine=lambda: self.engine,
            operator=OPERATOR,
            trust=lambda: TRUST,
            state=state,
            standing=Shadowed(),
            facts=Facts(),
            pending=Pending(MemoryApprovals(), MemoryRecords(), lambda: TRUST, OPERATOR),
            entrance=self.entrance,
            budgets_fault=fault,
        )

    def judge(self, tool="say", **values):
        return self.decider.judge(self.entrance.ask("1", ask(tool, {"a": "plain", **values})))

    def read(self, tool="look", **values):
        return self.decider.judge_read(self.entrance.ask("1", ask(tool, {"a": "plain", **values}, "")))


def mask(place, effect=Effect.SANITIZE):
    return decision(effect, [{"kind": "mask", "parameter": place}])


@pytest.mark.parametrize(
    ("place", "masked"),
    [
        ("a", "a"),
        ("a.b", "a.b"),
        ("a.b.c", "a.b"),
        ("a[0]", "a"),
        ("a.c", "a"),
        ("ab", "ab"),
        ("ab[1].x", "ab"),
    ],
)
def test_rule_06_the_parameter_that_a_place_lies_in_is_masked_and_no_other(place, masked):
    raw = dict.fromkeys(("a", "a.b", "ab"), f"use {SECRET}")
    judged = World(mask(place), ALLOW).judge(**raw)
    assert judged.error is None
    assert judged.asked.request.parameters == {**raw, masked: MASKED}
    assert (judged.asked.sanitized.masked, judged.asked.sanitized.replaced) == ({"github_token": 1}, 0)


def test_rule_06_a_list_is_masked_whole():
    raw = ["x", f"use {SECRET}", {"deep": SECRET}]
    judged = World(mask("list[1]"), ALLOW).judge(list=raw)
    assert judged.asked.request.parameters["list"] == ["x", MASKED, {"deep": "[github_token]"}]


@pytest.mark.parametrize("obligation", [{"parameter": "b"}, {"parameter": "a2"}, {"parameter": ""}, {}])
def test_rule_06_a_place_in_no_parameter_is_an_error(obligation):
    wants = decision(Effect.SANITIZE, [{"kind": "mask", **obligation}])
    for judged in (World(wants, ALLOW).judge(), World(wants, ALLOW).read()):
        assert judged.error["code"] == "contract_violated"
        assert "masks a parameter that the call has not" in judged.error["message"]


def test_rule_06_a_person_is_asked_about_the_masked_action():
    plain = decision(Effect.APPROVAL_NEEDED, [{"kind": "approval"}])
    judged = World(mask("a", Effect.APPROVAL_NEEDED), plain).judge(a=f"use {SECRET}")
    assert (judged.decision, judged.error) == (plain, None)
    assert judged.asked.request.parameters == {"a": MASKED}


@pytest.mark.parametrize(("tool", "shadows"), [("look", 0), ("draft", 2)])
def test_a_rule_on_trial_is_asked_about_what_nobody_reviewed_and_not_about_a_reviewed_read(tool, shadows):
    assert len(World(ALLOW).read(tool).policy_input["shadow"]) == shadows


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.APPROVAL_NEEDED])
def test_rule_28_what_refuses_a_reviewed_read_may_be_on_trial_too(effect):
    for rule, asked in (("gate.coverage_low", [0, 2]), ("gate.coverage_missing", [0])):
        objects = decision(effect, reasons=(Reason(rule, {}),))
        world = World(objects, ALLOW)
        judged = world.read("look")
        assert judged.decision == (ALLOW if len(asked) == 2 else objects)
        assert [len(question["shadow"]) for question in world.engine.asked] == asked
        assert judged.policy_input == world.engine.asked[-1]


def test_rule_16_budgets_that_nobody_can_read_stop_every_write_but_a_retreat():
    assert World(ALLOW, fault=FAULT).judge().error == FAULT
    assert World(ALLOW, fault=FAULT).judge("back").error is None
    assert World(ALLOW, fault=FAULT).read().error is None
    unknown = decision(obligations=[{"kind": "watermark"}])
    assert World(unknown, fault=FAULT).judge().error["code"] == "obligation_unknown"
