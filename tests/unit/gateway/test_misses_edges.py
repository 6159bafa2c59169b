"""Every rule that the intent transaction refuses by tells a person what happened and what to do."""

import pytest

from bywire.gateway.misses import told

RULES = {
    "state.freeze_all": "frozen",
    "state.stopped": "stopped",
    "state.deadline_passed": "deadline",
    "state.bundle_changed": "another policy",
    "state.session_changed": "session",
    "state.witness_overdue": "witnesses",
    "break_glass.used_or_expired": "broken glass",
    "state.fenced": "another bywire process",
    "state.budget_spent": "used up",
    "approval.used_or_expired": "approval",
}
OTHER = {"message": "the intent could not be committed", "next_step": "bywire status"}


@pytest.mark.parametrize("rule", RULES)
def test_a_refusal_says_what_happened_and_what_to_do(rule):
    said = told(rule)
    assert set(said) == {"message", "next_step"}
    assert RULES[rule] in said["message"]
    assert said["next_step"]
    assert said != OTHER


@pytest.mark.parametrize("rule", ["", "state.other", "XX"])
def test_a_rule_that_nobody_explained_still_says_something(rule):
    assert told(rule) == OTHER
