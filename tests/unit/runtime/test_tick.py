"""The runtime: pending requests go out first, state and requests move together, and a double tick is harmless."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.errors import ConflictError
from bywire.runtime.ports import Stored
from bywire.runtime.tick import Runtime

GOAL = 5


class Counter:
    """A machine that asks for number after number until it has them all."""

    def transition(self, state, observations, now_ms):
        for seen in observations:
            if seen == state:
                state += 1
        return state, (state,) if state < GOAL else ()

    def encode(self, state, requests):
        return msgspec.json.encode(state), msgspec.json.encode(requests)

    def decode(self, state, requests):
        return msgspec.json.decode(state), tuple(msgspec.json.decode(requests))


class Crash(BaseException):
    pass


class World:
    """Store, sender, clock and steps in memory; `crash_at` stops the n-th step, as a kill would."""

    def __init__(self):
        self.stored = {}
        self.commits = 0
        self.effects = []
        self.sent = []
        self.crash_at = None
        self.steps_seen = 0
        self.meanwhile = None

    def load(self, object_id):
        return self.stored.get(object_id)

    def commit(self, object_id, expected_version, state, outbox):
        known = self.stored.get(object_id)
        if (known.version if known else 0) != expected_version:
            raise ConflictError("moved", code="lost_race" if expected_version else "exists", next_step="again")
        self.stored[object_id] = Stored(object_id, expected_version + 1, state, outbox)
        self.commits += 1
        return expected_version + 1

    def send(self, object_id, request):
        self.reached("send.before")
        self.sent.append(request)
        if request not in self.effects:
            self.effects.append(request)
        self.reached("send.after")
        return request

    def now_ms(self):
        return 1

    def reached(self, step):
        if step == "tick.sent" and self.meanwhile is not None:
            hook, self.meanwhile = self.meanwhile, None
            hook()
        self.steps_seen += 1
        if self.steps_seen == self.crash_at:
            raise Crash


def runtime(world):
    return Runtime(Counter(), world, world, world, world)


def test_rule_14_a_machine_runs_to_its_end_and_makes_each_effect_once():
    world = World()
    runtime(world).create("m", 0, (0,))
    for _ in range(GOAL):
        runtime(world).tick("m")
    assert runtime(world).load("m") == GOAL
    assert world.effects == list(range(GOAL))
    assert runtime(world).tick("m") == (GOAL, ())


def test_rule_14_pending_requests_go_out_before_the_transition():
    world = World()
    runtime(world).create("m", 0, (0,))
    assert world.sent == []
    assert runtime(world).tick("m") == (1, (1,))
    assert world.sent == [0]
    assert world.stored["m"].outbox == b"[1]"


def test_a_tick_that_changes_nothing_writes_nothing():
    world = World()
    runtime(world).create("m", GOAL, ())
    for _ in range(3):
        runtime(world).tick("m")
    assert world.commits == 1


def test_an_unknown_machine_is_an_error_with_a_next_step():
    with pytest.raises(ConflictError) as caught:
        runtime(World()).tick("m")
    assert (caught.value.code, bool(caught.value.next_step)) == ("not_found", True)
    assert runtime(World()).load("m") is None


def test_an_id_is_taken_once():
    world = World()
    runtime(world).create("m", 0, (0,))
    with pytest.raises(ConflictError) as caught:
        runtime(world).create("m", 3, ())
    assert caught.value.code == "exists"
    assert runtime(world).load("m") == 0


def test_rule_14_of_two_ticks_at_once_one_wins_and_the_other_changes_nothing():
    world = World()
    runtime(world).create("m", 0, (0,))
    world.meanwhile = lambda: runtime(world).tick("m")
    with pytest.raises(ConflictError) as caught:
        runtime(world).tick("m")
    assert caught.value.code == "lost_race"
    assert (runtime(world).load("m"), world.effects) == (1, [0])
    assert runtime(world).tick("m") == (2, (2,))


@given(st.lists(st.integers(1, 6), max_size=6))
def test_rule_14_a_crash_at_any_step_loses_nothing_and_repeats_nothing(crashes):
    world = World()
    runtime(world).create("m", 0, (0,))
    for steps in crashes:
        world.steps_seen, world.crash_at = 0, steps
        try:
            for _ in range(3):
                runtime(world).tick("m")
        except Crash:
            pass
    world.crash_at = None
    for _ in range(GOAL + 1):
        runtime(world).tick("m")
    assert runtime(world).load("m") == GOAL
    assert world.effects == list(range(GOAL))


def test_a_sender_that_breaks_leaves_the_request_pending():
    world = World()
    runtime(world).create("m", 0, (0,))
    world.crash_at = 1
    with pytest.raises(Crash):
        runtime(world).tick("m")
    assert world.stored["m"].version == 1
    world.crash_at = None
    assert runtime(world).tick("m") == (1, (1,))
