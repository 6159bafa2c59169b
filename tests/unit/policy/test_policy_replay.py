"""A recorded decision decided again: the same, or which field differs; another engine version is a difference."""

import msgspec
import pytest
from test_examination import ENTRY, files

from bywire.audit.replay import Recorded, replay
from bywire.model.decision import Effect
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import ENGINE_VERSION, PolicyEngine

ENGINE = PolicyEngine(parse_bundle(files()))
QUESTION = {"go": True, "action": {"category": "read"}}
DECIDED = ENGINE.decide(ENTRY, QUESTION)


def report(**changed):
    recorded = Recorded(7, msgspec.structs.replace(DECIDED, **changed), QUESTION)
    return replay([recorded], lambda digest: ENGINE if digest == ENGINE.bundle_digest else None)


def test_the_same_decision_comes_out_the_same():
    found = report()
    assert (found.ok, found.decisions, found.reads) == (True, 1, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "bywire-policy/0 regorus/0.12.0"),
        ("effect", Effect.DENY),
        ("reasons", ()),
        ("obligations", ({"kind": "redact"},)),
        ("id", "0" * 32),
    ],
)
def test_what_differs_is_named(field, value):
    found = report(**{field: value})
    assert not found.ok
    (difference,) = found.differences
    assert (difference.entry, difference.field, difference.recorded) == (7, field, str(value))
    assert difference.replayed == str(getattr(DECIDED, field))


def test_rule_07_another_engine_version_is_reported_even_when_the_answer_is_the_same():
    (difference,) = report(engine="bywire-policy/0 regorus/0.12.0").differences
    assert (difference.recorded, difference.replayed) == ("bywire-policy/0 regorus/0.12.0", ENGINE_VERSION)


def test_an_input_that_was_changed_is_not_decided_again():
    found = report(input_digest="0" * 64)
    assert [difference.field for difference in found.differences] == ["input_digest"]


def test_a_bundle_that_is_not_there_is_named():
    found = report(bundle_digest="1" * 64)
    assert (found.ok, found.decisions, found.unavailable) == (False, 0, ("1" * 64,))
