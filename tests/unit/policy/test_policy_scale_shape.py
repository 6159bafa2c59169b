"""The scale bench at a small size: its bars have the form of bars, and it would see a torn decision."""

import sys
from pathlib import Path

import msgspec
import pytest

from bywire.model.decision import Effect, Reason

sys.path.insert(0, str(Path(__file__).parents[3]))
policy_scale = pytest.importorskip("bench.policy_scale")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"AGENTS": 12, "ROUNDS": 1, "AFTER": 5, "DENIED_EVERY": 3}.items():
        monkeypatch.setattr(policy_scale, name, value)


def test_the_bars():
    found = {bar["bar"]: bar for bar in policy_scale.bars()}
    assert list(found) == [
        "policy_scale_decision_p50",
        "policy_scale_write_p50",
        "policy_scale_reload_latest",
        "policy_scale_reload_torn",
    ]
    assert found["policy_scale_reload_torn"]["value"] == 0
    assert all(bar["value"] > 0 for name, bar in found.items() if not name.endswith("_torn"))
    assert {bar["unit"] for bar in found.values()} == {"ms", "decisions"}


def test_a_torn_decision_is_seen():
    inputs = list(policy_scale.asked())
    assert [question.write for question in inputs].count(True) == 12
    (denied, *_), (allowed, *_) = ([q for q in inputs if q.write and q.denied is denied] for denied in (True, False))
    engine = policy_scale.PolicyEngine(policy_scale.parse_bundle(policy_scale.bundle_files(5)), linted=True)
    revisions = {engine.bundle_digest: 5}
    _, said = policy_scale.timed(engine, denied)
    assert said.effect is Effect.DENY
    assert not policy_scale.is_torn(said, denied, revisions)
    assert policy_scale.is_torn(said, denied, {engine.bundle_digest: 6})
    _, said = policy_scale.timed(engine, allowed)
    assert said.effect is Effect.ALLOW
    assert not policy_scale.is_torn(said, allowed, revisions)
    broken = msgspec.structs.replace(said, reasons=(Reason("engine.error", {}, hard=True),))
    assert policy_scale.is_torn(broken, allowed, revisions)
