"""Two accounts of one target, the target's and the journal's: what only one of them knows is found, exactly once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.audit.coverage import Mediated, compare
from bywire.model.target_change import Serving, TargetChange

OLD, NEW, ROGUE = "a" * 64, "b" * 64, "c" * 64
EVERYTHING = frozenset({OLD, NEW, ROGUE, ""})


def change(version, verb="set_weight", key="", **shown):
    plain = {"epoch": 1, "at_ms": version, "stable": OLD, "canary": NEW, "weight": 5.0, **shown}
    return TargetChange(version=version, verb=verb, key=key or f"k{version}", **plain)


def intent(version, tool="set_canary_weight", state="committed", key="", before=None, **parameters):
    before = version - 1 if before is None else before
    return Mediated(key or f"intent {version}", key or f"k{version}", tool, state, before, version, parameters)


def serving(last, **other):
    return Serving(**{"version": last.version, "epoch": 1, "stable": last.stable, "canary": last.canary,
                      "weight": last.weight, **other})  # fmt: skip


def found(history, intents, now=None, *, gated=EVERYTHING, epoch=1):
    now = serving(history[-1]) if now is None else now
    return compare(now, history, intents, known=frozenset(), gated=gated, epoch=epoch)


def kinds(history, intents, now=None, **options):
    return [finding.kind for finding in found(history, intents, now, **options).findings]


def test_what_the_journal_intended_is_mediated():
    compared = found([change(1), change(2)], [intent(1), intent(2, weight=5.0, artifact=NEW)])
    assert compared.findings == ()
    assert compared.coverage.share == 1.0


@pytest.mark.parametrize(
    ("history", "intents", "wanted"),
    [
        ([change(1)], [], ["out_of_band_change"]),
        ([change(1, key="mine")], [intent(1)], ["out_of_band_change"]),  # the version alone explains nothing
        ([change(1)], [intent(1, state="failed")], ["outcome_differs"]),
        ([change(1)], [intent(1, state="intended")], []),
        ([change(1)], [intent(1, state="unknown")], []),
        ([change(1)], [intent(1, weight=50)], ["effect_differs"]),
        ([change(1)], [intent(1, artifact=ROGUE)], ["effect_differs"]),
        ([change(1, "retreat")], [intent(1, "rollback_release", to=NEW)], ["effect_differs"]),
        ([change(1, "promote")], [intent(1, "promote_release", artifact=OLD)], []),
    ],
)
def test_a_change_is_judged_by_its_key_and_by_what_it_left(history, intents, wanted):
    assert kinds(history, intents) == wanted


@pytest.mark.parametrize(
    ("intents", "wanted"),
    [
        ([intent(1, "start_rollout")], []),
        ([intent(1, "start_rollout", before=1)], ["out_of_band_change"]),  # saw the target after the change
        ([intent(2, "start_rollout", before=0)], ["out_of_band_change", "target_behind"]),
        ([intent(1, "settle_release")], ["out_of_band_change"]),
        ([intent(1, "start_rollout", state="failed")], ["out_of_band_change"]),
    ],
)
def test_a_change_without_a_key(intents, wanted):
    row = TargetChange(1, "configure", "", 1, 1, OLD, "", 0.0)
    assert kinds([row], intents) == wanted


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ({}, []),
        ({"weight": 0.0}, []),  # the lease ran out
        ({"weight": 50.0}, ["state_differs"]),
        ({"stable": ROGUE}, ["state_differs"]),
        ({"canary": ROGUE}, ["state_differs"]),
        ({"epoch": 2}, ["epoch_ahead"]),
        ({"others": (ROGUE,)}, []),
    ],
)
def test_the_state_must_be_where_the_last_change_left_it(now, wanted):
    history = [change(1)]
    assert kinds(history, [intent(1)], serving(history[-1], **now)) == wanted


def test_releases_that_no_gate_passed_and_instances_that_nobody_started():
    history = [change(1)]
    now = serving(history[-1], others=(ROGUE,))
    assert kinds(history, [intent(1)], now, gated=frozenset({OLD})) == ["ungated_release", "unknown_instance"]
    known = compare(now, history, [intent(1)], known=frozenset({ROGUE}), gated=frozenset({OLD, NEW}), epoch=1)
    assert known.findings == ()


def test_a_target_that_was_set_back_is_behind():
    compared = found([], [intent(1), intent(2)], Serving(version=1, epoch=1))
    assert [finding.kind for finding in compared.findings] == ["target_behind"]
    # and stays the same finding while the target goes on
    later = found([change(2, key="k2")], [intent(7)], Serving(2, 1, OLD, NEW, 5.0))
    again = found([change(3, key="k3")], [intent(7)], Serving(3, 1, OLD, NEW, 5.0))
    behind = [{item.id for item in one.findings if item.kind == "target_behind"} for one in (later, again)]
    assert behind[0] == behind[1] != set()


def test_what_the_target_forgot_is_out_of_sight_unless_an_outcome_names_it():
    history = [change(6)]
    compared = found(history, [intent(2), intent(6)])
    assert [finding.facts for finding in compared.findings] == [{"first": 1, "last": 1}, {"first": 3, "last": 5}]
    assert (compared.coverage.mediated, compared.coverage.out_of_sight) == (2, 4)


VERSIONS = st.lists(st.sampled_from(["mediated", "by hand", "failed"]), max_size=24)


@given(VERSIONS, st.integers(0, 24))
def test_rule_10_the_mediated_share_counts_every_change_once_however_much_the_target_forgot(story, forgotten):
    history = [change(number) for number, _ in enumerate(story, 1)]
    intents = [
        intent(number, state="committed" if kind == "mediated" else "failed")
        for number, kind in enumerate(story, 1)
        if kind != "by hand"
    ]
    now = serving(history[-1]) if history else Serving(epoch=1)
    compared = found(history[forgotten:], intents, now)
    seen = compared.coverage
    assert seen.changes == len(story) == seen.mediated + seen.unexplained + seen.out_of_sight
    assert seen.mediated == story.count("mediated")
    assert len({finding.id for finding in compared.findings}) == len(compared.findings)
    assert found(history[forgotten:], list(reversed(intents)), now) == compared
