"""Limits by the second and minute at the door: told before, kept in the intent transaction, by every process."""

import msgspec
import pytest
from connected_victim import LATELY, raced
from connected_world import ConnectedWorld, scale
from door_world import CONTROLLER, NOW, RESPONDER

from bywire.gateway.ports import Counted
from bywire.model.decision import Effect, OutcomeStatus
from bywire.model.gateway_budgets import Budgets, WindowBudget

OWN = f"principal:{CONTROLLER}"
COMMITTED, DENIED = OutcomeStatus.COMMITTED, OutcomeStatus.DENIED


class LimitedWorld(ConnectedWorld):
    """With budgets by the second or minute in gateway.yaml."""

    def __init__(self, directory, *windows, teams=None):
        self.windows = tuple(WindowBudget(*window) for window in windows)
        super().__init__(directory, teams=teams)
        self.engine.obligations = ()

    def make_door(self, **changes):
        budgets = Budgets(self.budgets.budgets, self.budgets.teams, self.windows)
        return super().make_door(**{"budgets": budgets, **changes})

    def do(self, key, at=0, principal=CONTROLLER, **values):
        self.clock.now = NOW + at
        return self.door.call(self.token(principal), scale(key, **values))

    def counted(self):
        return self.rows("SELECT scope, at_ms - ?, unit, amount FROM recent ORDER BY 1, 2", NOW)


@pytest.fixture
def world(tmp_path):
    made = LimitedWorld(tmp_path)
    made.engine.obligations = ({**LATELY, "period": "second", "limit": 2_000},)
    yield made
    made.close()


def test_rule_11_a_second_slides_and_a_refusal_says_when_there_is_room(world):
    assert [world.do("a", 900).status, world.do("b", 990).status] == [COMMITTED] * 2
    late = world.do("c", 1_000)  # the next second of the clock, and none of the limit
    assert (late.status, late.error["code"]) == (DENIED, "state.second_budget_spent")
    facts = late.decision.reasons[0].facts
    assert facts["of"] == f"{OWN}: thousandths of actions a second"
    assert (facts["used"], facts["asked"], facts["limit"], facts["retry_after_ms"]) == (2_000, 1_000, 2_000, 900)
    assert world.do("c", 1_899).status is DENIED
    assert world.do("c", 1_900).status is COMMITTED
    assert len(world.upstream.effects) == 3


def test_what_is_denied_pending_tried_or_repeated_burns_nothing(world):
    for effect in (Effect.DENY, Effect.APPROVAL_NEEDED):
        world.engine.effect = effect
        world.do(f"k-{effect}")
    world.engine.effect = Effect.ALLOW
    world.door.call(world.token(), msgspec.structs.replace(scale("dry"), dry_run=True))
    world.door.advise(world.token(), scale("advice"))
    assert world.counted() == []
    for _ in range(3):
        assert world.do("a").status is COMMITTED
    assert world.do("b").status is COMMITTED
    assert world.do("c").status is DENIED
    assert world.counted() == [(OWN, 0, "actions", 2_000)]
    assert world.spent(OWN) == 2_000


def test_rule_07_what_was_counted_is_part_of_the_next_question(world):
    told = lambda: [item for item in world.engine.asked[-1]["state"]["usage"] if "scope" in item]
    world.do("a")
    assert told() == []
    world.do("b", 400)
    common = {"scope": OWN, "unit": "actions", "observed": 1_000, "asked": 1_000}
    assert told() == [
        {**common, "period": "second", "frees_at_ms": NOW + 1_000},
        {**common, "period": "minute", "frees_at_ms": NOW + 60_000},
    ]
    world.do("c", 1_200)
    assert [(item["period"], item["observed"]) for item in told()] == [("second", 1_000), ("minute", 2_000)]


def test_an_agent_without_such_a_limit_is_asked_and_counted_as_before(world):
    world.engine.obligations = ()
    for key in "abc":
        assert world.do(key).status is COMMITTED
    assert world.counted() == []
    assert not any("scope" in item for item in world.engine.asked[-1]["state"]["usage"])


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ({"tool": "cluster.scale"}, True),
        ({"environment": "staging"}, True),
        ({"tool": "cluster.scale", "environment": "staging"}, True),
        ({"tool": "cluster.delete"}, False),
        ({"environment": "production"}, False),
        ({"tool": "cluster.scale", "environment": "production"}, False),
    ],
)
def test_a_debit_counts_where_it_says(world, where, counts):
    world.engine.obligations = ({**LATELY, "limit": 1_000, **where},)
    assert world.do("a").status is COMMITTED
    assert world.do("b").status is (DENIED if counts else COMMITTED)
    scope = "|".join((OWN, *(f"{name}:{value}" for name, value in where.items())))
    assert world.counted() == ([(scope, 0, "actions", 1_000)] if counts else [])


@pytest.mark.parametrize("wrong", [{"period": "week"}, {"environment": 7}, {"limit": True}, {"limit": -1}])
def test_a_debit_that_is_none_allows_nothing(world, wrong):
    world.engine.obligations = ({**LATELY, "limit": 1_000, **wrong},)
    outcome = world.do("a")
    assert (outcome.status, outcome.error["code"]) == (DENIED, "obligation_unknown")
    assert world.upstream.effects == []


def test_what_one_second_and_one_minute_bound_is_counted_once(world):
    debits = ({**LATELY, "limit": 3_000}, {**LATELY, "period": "second", "limit": 2_000})
    world.engine.obligations = debits
    assert [world.do(key).status for key in "abc"] == [COMMITTED, COMMITTED, DENIED]
    assert world.do("d", 1_000).status is COMMITTED
    late = world.do("e", 2_000)
    assert (late.error["code"], late.decision.reasons[0].facts["retry_after_ms"]) == (
        "state.minute_budget_spent",
        58_000,
    )


def test_amounts_have_room_when_enough_of_them_is_gone(world):
    world.engine.obligations = ({**LATELY, "unit": "replica_hours", "limit": 100_000},)
    assert world.do("a", 0, replicas=1).status is COMMITTED
    assert world.do("b", 10_000, replicas=3).status is COMMITTED
    late = world.do("c", 20_000, replicas=2)
    assert late.decision.reasons[0].facts["retry_after_ms"] == 50_000
    never = world.do("d", 20_000, replicas=9)
    assert "retry_after_ms" not in never.decision.reasons[0].facts
    assert world.do("c", 69_999, replicas=2).status is DENIED
    assert world.do("c", 70_000, replicas=2).status is COMMITTED


@pytest.mark.parametrize(
    ("scope", "of"),
    [
        (CONTROLLER, OWN),
        ("team:platform", "team:platform"),
        ("tool:cluster.scale", "tool:cluster.scale"),
        ("environment:staging", "environment:staging"),
    ],
)
def test_rule_11_gateway_yaml_bounds_every_scope_and_a_new_process_goes_on_counting(tmp_path, scope, of):
    how = {"teams": {"platform": (CONTROLLER, RESPONDER)}}
    world = LimitedWorld(tmp_path, (scope, "actions", "minute", 2_000), **how)
    world.do("a", 0)
    assert world.do("b", 1_000, CONTROLLER if scope == CONTROLLER else RESPONDER).status is COMMITTED
    world.close()
    world = LimitedWorld(tmp_path, (scope, "actions", "minute", 2_000), **how)
    late = world.do("c", 59_999)
    assert (late.status, late.error["code"]) == (DENIED, "state.minute_budget_spent")
    name = f"{of}: thousandths of actions a minute"
    told = next(item for item in world.engine.asked[-1]["state"]["limits"] if item["name"] == name)
    assert told == {"name": name, "observed": 2_000, "asked": 1_000, "limit": 2_000, "frees_at_ms": NOW + 60_000}
    assert world.do("c", 60_000).status is COMMITTED
    world.close()


def test_more_than_a_whole_limit_is_told_no_time(tmp_path):
    world = LimitedWorld(tmp_path, (CONTROLLER, "replica_hours", "minute", 100_000))
    world.do("a", replicas=1)
    for replicas, waits in ((4, True), (5, False)):
        world.do(f"b{replicas}", 1_000, replicas=replicas)
        told = world.engine.asked[-1]["state"]["limits"][-1]
        assert (told["observed"], told["asked"], "frees_at_ms" in told) == (24_000, replicas * 24_000, waits)
    world.close()


def test_rule_28_a_limit_on_trial_is_counted_and_holds_nobody_up(world):
    world.engine.obligations = ({**LATELY, "period": "second", "limit": 1_000, "shadowed": True},)
    assert [world.do(key, 900).status for key in "abc"] == [COMMITTED] * 3
    assert world.state.recent((OWN,), NOW + 900)[0].observed == 3_000
    world.engine.obligations = ({**LATELY, "period": "second", "limit": 1_000},)
    assert world.do("d", 900).error["code"] == "state.second_budget_spent"


def test_an_hour_and_a_day_say_when_they_end(world):
    world.engine.obligations = ({**LATELY, "period": "hour", "limit": 1_000},)
    world.do("a")
    assert world.do("b").decision.reasons[0].facts["retry_after_ms"] == 3_600_000 - NOW % 3_600_000


def test_a_process_whose_clock_is_behind_counts_what_one_ahead_did(tmp_path):
    ahead, behind = LimitedWorld(tmp_path), LimitedWorld(tmp_path)
    behind.journal.act_under(ahead.state.current_epoch())
    for world in (ahead, behind):
        world.engine.obligations = ({**LATELY, "limit": 2_000},)
        world.journal.act_under(behind.state.current_epoch())
    assert ahead.do("a", 30_000).status is COMMITTED
    assert behind.do("b", 0).status is COMMITTED
    assert behind.do("c", 100).status is DENIED
    assert ahead.do("c", 30_100).status is DENIED
    assert ahead.state.recent((OWN,), NOW + 30_100) == (
        Counted(OWN, "actions", "second", 1_000, NOW + 31_000),
        Counted(OWN, "actions", "minute", 2_000, NOW + 60_000),
    )
    ahead.close()
    behind.close()


def test_rule_11_two_processes_do_together_what_one_may(tmp_path):
    LimitedWorld(tmp_path).close()
    said = raced("lately", tmp_path)
    assert sum(int(done) for done, *_ in said) == 5
    assert all(done == sent for done, sent, *_ in said)
    assert {code for _, _, *codes in said for code in codes} == {"state.minute_budget_spent"}


def test_rule_16_no_limit_holds_up_the_authorised_retreat(world):
    world.engine.obligations = ({**LATELY, "limit": 1_000},)
    world.do("a")
    assert world.do("b").status is DENIED
    for key in ("k1", "k2"):
        assert world.call("rollback_release", key=key).status is COMMITTED
        # The agent's own policy is not even shown what it could object to.
        assert not any("scope" in item for item in world.engine.asked[-1]["state"]["usage"])
    assert world.counted() == [(OWN, 0, "actions", 1_000)]


def test_what_is_kept_is_one_minute(world):
    world.engine.obligations = ({**LATELY, "limit": 10**6},)
    for number in range(5):
        world.do(f"k{number}", number * 30_000)
    assert [at for _, at, _, _ in world.counted()] == [90_000, 120_000]
