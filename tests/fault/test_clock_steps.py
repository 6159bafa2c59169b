"""A wall clock that somebody sets by hours, either way: time in the envelope still only goes forward (RULES 27)."""

import time
from functools import partial

import msgspec
import pytest
from door_world import ALICE, HOLDERS, NOW, OPERATOR, ApprovalEngine, World, ask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from release_fleet import LAST_GOOD
from release_world import World as RolloutWorld
from scene import Scene

from bywire.adapters.clock import HighWaterClock
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import sign_verdict
from bywire.model.decision import OutcomeStatus
from bywire.release.rollout_state import FINAL, Phase, Tick
from bywire.wiring import workspace as workspaces

COMMITTED, DENIED, PENDING = OutcomeStatus.COMMITTED, OutcomeStatus.DENIED, OutcomeStatus.PENDING
HOUR_MS = 3_600_000
HOURS = st.integers(-30, 30)


class Wall:
    """The clock on the wall, seconds since the epoch; anyone may set it."""

    def __init__(self, now_ms=NOW):
        self.ms = now_ms

    def __call__(self):
        return self.ms / 1000

    def step(self, hours):
        self.ms += round(hours * HOUR_MS)


class SteppedWorld(World):
    """A world that reads `wall` through the real clock, and starts where the database says that time was."""

    def __init__(self, directory, wall, **parts):
        super().__init__(directory, **parts)
        self.clock = HighWaterClock(self.state.high_water_ms(), wall)
        self.journal = SqliteJournal(self.writer, self.reader, self.log_key, self.state.take_epoch(), self.clock.now_ms)
        self.door = self.make_door()

    def seen(self):
        return self.engine.asked[-1]["now_ms"]

    def approve(self, approval_id):
        packet = self.approvals.row(approval_id).packet
        now_ms = self.clock.now_ms()
        envelope = sign_verdict(packet, "approved", ALICE, "sre-oncall", "looked at it", now_ms, HOLDERS[ALICE][1])
        return self.approvals.settle(verify_approval(envelope, self.trust), envelope, now_ms)


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def limited(tmp_path, wall):
    """A door that lets three actions pass in an hour."""
    limits = msgspec.structs.replace(OPERATOR.limits, actions_per_hour=3)
    opened = SteppedWorld(tmp_path, wall, operator=msgspec.structs.replace(OPERATOR, limits=limits))
    yield opened
    opened.close()


@given(st.lists(HOURS, max_size=40), st.integers(0, NOW * 2))
def test_now_never_runs_backwards(steps, persisted):
    wall = Wall()
    clock = HighWaterClock(persisted, wall)
    seen = [clock.now_ms()]
    for hours in steps:
        wall.step(hours)
        seen.append(clock.now_ms())
        assert seen[-1] == max(seen[-2], wall.ms)
    assert seen[0] >= persisted


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(HOURS, st.booleans()), min_size=1, max_size=5))
def test_decisions_and_entries_only_go_forward_also_across_restarts(tmp_path_factory, steps):
    directory, wall = tmp_path_factory.mktemp("stepped"), Wall()
    world = SteppedWorld(directory, wall)
    seen = []
    for number, (hours, restart) in enumerate(steps):
        wall.step(hours)
        if restart:
            world.close()
            world = SteppedWorld(directory, wall)
        assert world.door.call(world.token(run=f"run-{number}"), ask(key=f"k{number}")).status is COMMITTED
        seen.append(world.seen())
    times = [leaf["at_ms"] for leaf in world.entries()]
    world.close()
    assert seen == sorted(seen)
    assert times == sorted(times)


@pytest.mark.parametrize("restart", [False, True])
def test_an_approval_that_ended_does_not_come_alive_again(tmp_path, wall, restart):
    world = SteppedWorld(tmp_path, wall, engine=ApprovalEngine())
    token = world.token()
    pending = world.call(token=token)
    assert pending.status is PENDING
    wall.step(0.01)
    world.approve(pending.approval_id)
    wall.step(5)
    again = world.call(token=token)
    assert again.status is PENDING
    assert again.approval_id != pending.approval_id, "the old one has ended"
    wall.step(-5)
    if restart:
        world.close()
        world = SteppedWorld(tmp_path, wall, engine=ApprovalEngine())
    after = world.call(token=token)
    assert (after.status, after.approval_id) == (PENDING, again.approval_id)
    assert world.target.effects == []
    world.close()


def test_an_approval_asked_before_a_step_back_ends_no_later_for_it(tmp_path, wall):
    world = SteppedWorld(tmp_path, wall, engine=ApprovalEngine())
    token = world.token()
    pending = world.call(token=token)
    world.approve(pending.approval_id)
    wall.step(-5)
    assert world.call(token=token).status is COMMITTED, "time stands still, so it is still good"
    second = world.call(token=token, key="k2", weight=6)
    world.approve(second.approval_id)
    wall.step(5.2)
    assert world.call(token=token, key="k2", weight=6).status is PENDING
    world.close()


def spend(world, count, run):
    token = world.token(run=run)
    return [world.call(token=token, key=f"{run}-{number}").status for number in range(count)]


def test_an_hour_is_spent_once_however_often_the_clock_is_set(limited, wall):
    assert spend(limited, 4, "first") == [COMMITTED] * 3 + [DENIED]
    wall.step(-1)
    assert spend(limited, 1, "back") == [DENIED], "an hour that was before is not begun again"
    wall.step(2)
    assert spend(limited, 4, "next") == [COMMITTED] * 3 + [DENIED]
    for hours in (-1, 1, -24, 24):
        wall.step(hours)
        assert spend(limited, 1, f"again{hours}") == [DENIED]
    hours = [hour for (hour,) in limited.rows("SELECT DISTINCT hour FROM usage ORDER BY hour")]
    assert hours == [NOW // HOUR_MS, NOW // HOUR_MS + 1]


@pytest.mark.parametrize("hours", [1, 48])
def test_hours_that_nobody_observed_do_not_bake(hours):
    """The clock jumps while a canary is exposed; no telemetry came of those hours."""
    quick = RolloutWorld().run(8)
    jumped = RolloutWorld().run(8)
    assert quick.state.phase is jumped.state.phase
    assert quick.state.phase not in FINAL
    exposed, promotions = jumped.weight, sum(item.tool == "promote_release" for item in jumped.asked)
    jumped.now_ms += hours * HOUR_MS
    jumped.step(Tick())
    assert jumped.weight <= exposed, "a step up needs minutes that were observed"
    assert sum(item.tool == "promote_release" for item in jumped.asked) == promotions
    assert jumped.state.phase is not Phase.PROMOTING
    assert jumped.serving == LAST_GOOD


def test_the_command_line_goes_by_the_time_that_the_database_saw(tmp_path, monkeypatch):
    """Real processes' worth of wiring: each command opens the workspace anew, under a wall clock that was set."""
    set_by = Wall(0)
    monkeypatch.setattr(workspaces, "HighWaterClock", partial(HighWaterClock, wall=lambda: time.time() + set_by()))
    scene = Scene(tmp_path / "scene").prepared()
    try:
        first = scene.deliver("g")
        assert first.code == 3
        set_by.step(30)
        second = scene.deliver("g")
        assert second.code == 3
        assert second.approval != first.approval, "what was asked a day ago is asked again"
        set_by.step(-30)
        late = scene.approve(first.approval)
        assert late.code != 0, "it ended, and stays ended"
        set_by.step(30)
        assert scene.approve(second.approval).code == 0
        assert scene.deliver("g").code == 0
        assert scene.bywire("audit", "verify").code == 0
        assert scene.bywire("audit", "replay").code == 0
    finally:
        scene.close()
