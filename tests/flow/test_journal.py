"""A kill at any instruction: nothing happens twice, nothing acknowledged is lost, and the log still verifies."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from door_victim import KeyedFile, opened
from door_world import CONTROLLER, NOW, ApprovalEngine, HookedSteps, World

from bywire.model.decision import OutcomeStatus
from bywire.model.errors import ConflictError, TargetError

COMMITTED, FAILED, UNKNOWN = OutcomeStatus.COMMITTED, OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN
DENIED, PENDING = OutcomeStatus.DENIED, OutcomeStatus.PENDING
VICTIM = Path(__file__).with_name("door_victim.py")
SECRET = "ghp_" + "a1B2" * 9


@pytest.fixture
def world(tmp_path):
    opened_world = World(tmp_path)
    yield opened_world
    opened_world.close()


def start(directory, step="none", count=1):
    return subprocess.Popen([sys.executable, str(VICTIM), str(directory), step, str(count)])


def key_of(number=0, tool="set_canary_weight"):
    return f"{CONTROLLER}|{tool}|k{number}"


def open_intent(world, tool="send_note", key="k0", silence=None, **changes):
    """Leave an intent open, as a crash right after the effect would; the effect is then forgotten."""
    world.target.raises = silence or ValueError("crash")
    with pytest.raises(ValueError):
        world.call(tool, key, **changes)
    world.target.raises = None
    world.target.effects.clear()


# --- kill -9 between every two steps ---


@pytest.mark.parametrize(
    ("step", "intended"),
    [
        ("door.decided", False),
        ("door.intent_committed", True),
        ("target.asked", True),
        ("target.changed", True),
        ("door.executed", True),
        ("door.outcome_recorded", True),
    ],
)
def test_rule_11_a_kill_between_any_two_steps_loses_nothing_and_repeats_nothing(tmp_path, step, intended):
    killed = start(tmp_path, step)
    assert killed.wait(60) == -signal.SIGKILL
    assert (tmp_path / "told").read_text() == ""
    world = opened(tmp_path, HookedSteps())
    assert (key_of() in world.intents()) == intended
    recovered = world.recover()
    assert len(recovered) == (1 if intended and step != "door.outcome_recorded" else 0)
    assert all(outcome.status is COMMITTED for _, outcome in recovered)
    outcome = world.call(key="k0")
    assert (outcome.status, outcome.result) == (COMMITTED, {"position": 0, "weight": 5})
    assert outcome.replayed == intended
    assert (tmp_path / "effects").read_text().splitlines() == [key_of()]
    assert world.intents() == {key_of(): "committed"}
    assert world.rows("SELECT used FROM usage") == [(1,)]
    assert world.recover() == ()
    report = world.verify()
    assert report.ok, report.fault
    world.close()


def test_a_kill_while_an_approval_is_asked_for_asks_once(tmp_path):
    (tmp_path / "ask").touch()
    assert start(tmp_path, "door.pending").wait(60) == -signal.SIGKILL
    world = opened(tmp_path, HookedSteps())
    outcome = world.call(key="k0")
    assert outcome.status is PENDING
    assert [row.packet.id for row in world.approvals.rows()] == [outcome.approval_id]
    world.approve(outcome.approval_id)
    world.close()
    assert start(tmp_path, "door.intent_committed").wait(60) == -signal.SIGKILL
    world = opened(tmp_path, HookedSteps())
    assert world.rows("SELECT uses_left FROM approvals") == [(0,)]
    assert [outcome.status for _, outcome in world.recover()] == [COMMITTED]
    assert world.call(key="k1").status is PENDING
    assert (tmp_path / "effects").read_text().splitlines() == [key_of()]
    assert world.verify().ok
    world.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_a_random_moment_loses_nothing_acknowledged(tmp_path, seed):
    killed = start(tmp_path, count=100_000)
    told = tmp_path / "told"
    deadline = time.monotonic() + 60
    while not (told.exists() and told.stat().st_size > 60):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.1))
    killed.kill()
    killed.wait(60)
    promised = [line.split()[0] for line in told.read_text().splitlines() if line.endswith("committed")]
    world = opened(tmp_path, HookedSteps())
    world.recover()
    effects = (tmp_path / "effects").read_text().splitlines()
    assert len(effects) == len(set(effects))
    assert {f"{CONTROLLER}|set_canary_weight|{key}" for key in promised} <= set(effects)
    assert set(effects) == set(world.intents())
    assert set(world.intents().values()) == {"committed"}
    assert world.call(key=promised[0]).replayed
    report = world.verify()
    assert report.ok, report.fault
    world.close()


# --- recovery by what the contract says of an interrupted call ---


def test_rule_12_a_native_call_is_sent_again_under_the_same_key_and_the_present_epoch(tmp_path):
    first = World(tmp_path)
    open_intent(first, text="hello")
    first.close()
    second = World(tmp_path)
    ((row, outcome),) = second.recover()
    ((sent, values),) = second.target.effects
    assert (outcome.status, values) == (COMMITTED, {"text": "hello"})
    assert sent.key == row.key
    # The successor holds the lease; a target that has seen its epoch would fence the old one off.
    assert sent.epoch == 2
    assert second.recover() == ()
    second.close()


def test_rule_12_a_queryable_call_that_happened_is_settled_and_not_sent_again(world):
    open_intent(world, "push_branch", text="x")
    world.clock.now += 61_000
    world.target.known[key_of(tool="push_branch")] = {"commit": "abc", "note": SECRET}
    ((_, outcome),) = world.recover()
    assert outcome.status is COMMITTED
    assert outcome.result["commit"] == "abc"
    assert SECRET not in str(outcome.result)
    assert world.target.effects == []


def test_rule_12_a_queryable_call_that_never_happened_is_sent(world):
    open_intent(world, "push_branch", text="x")
    world.clock.now += 61_000
    ((_, outcome),) = world.recover()
    assert outcome.status is COMMITTED
    assert len(world.target.effects) == 1


@pytest.mark.parametrize("silence", [TimeoutError("no answer"), ConnectionRefusedError(), TargetError("down")])
def test_a_target_that_cannot_be_asked_keeps_no_other_intent_waiting(world, silence):
    open_intent(world, "push_branch", text="x")
    open_intent(world, "send_note", "k1", text="y")
    world.clock.now += 61_000

    def query(row):
        raise silence

    world.target.query = query
    outcomes = {row.tool: outcome.status for row, outcome in world.recover()}
    assert outcomes == {"push_branch": UNKNOWN, "send_note": COMMITTED}


def test_rule_12_what_can_be_neither_sent_nor_asked_waits_for_a_person(world):
    open_intent(world, "page_person", text="x")
    world.clock.now += 10**9
    ((_, outcome),) = world.recover()
    assert outcome.status is UNKNOWN
    assert (world.target.effects, world.target.queried) == ([], [])
    assert world.intents() == {key_of(tool="page_person"): "intended"}
    assert world.call("page_person", "k0", text="x").status is UNKNOWN


def test_rule_13_an_unfenced_target_is_left_alone_until_the_deadline(world):
    open_intent(world, "move_unfenced", text="x")
    for now_ms, status in ((NOW, UNKNOWN), (NOW + 29_999, UNKNOWN), (NOW + 30_000, COMMITTED)):
        world.clock.now = now_ms
        ((_, outcome),) = world.recover()
        assert outcome.status is status
    assert len(world.target.effects) == 1


@pytest.mark.parametrize(("scope", "target"), [("all", ""), ("agent", CONTROLLER), ("service", "storefront")])
def test_rule_16_after_a_stop_only_a_retreat_goes_out_again(world, scope, target):
    open_intent(world, "set_canary_weight")
    open_intent(world, "rollback_release", "k1")
    world.stop(scope, target)
    outcomes = {row.tool: outcome.status for row, outcome in world.recover()}
    assert outcomes == {"set_canary_weight": UNKNOWN, "rollback_release": COMMITTED}
    assert [row.tool for row, _ in world.target.effects] == ["rollback_release"]


def test_rule_16_after_freeze_all_nothing_goes_out_again(world):
    open_intent(world, "set_canary_weight")
    open_intent(world, "rollback_release", "k1")
    world.stop("freeze_all")
    assert {outcome.status for _, outcome in world.recover()} == {UNKNOWN}
    assert world.target.effects == []
    world.writer.run(lambda tx: world.state.resume(tx, NOW))
    assert {outcome.status for _, outcome in world.recover()} == {COMMITTED}


def test_rule_16_a_stop_does_not_keep_what_happened_from_being_known(world):
    open_intent(world, "push_branch", text="x")
    world.clock.now += 61_000
    world.stop()
    world.target.known[key_of(tool="push_branch")] = {"commit": "abc"}
    ((_, outcome),) = world.recover()
    assert outcome.status is COMMITTED
    assert world.target.effects == []


@pytest.mark.parametrize("text", [SECRET, f"use {SECRET} here", "password=hunter2hunter2"])
def test_rule_04_a_call_whose_secrets_are_gone_is_not_sent_again(world, text):
    open_intent(world, text=text)
    world.clock.now += 10**9
    ((_, outcome),) = world.recover()
    assert outcome.status is UNKNOWN
    assert world.target.effects == []


def test_a_call_without_a_contract_any_more_waits_for_a_person(world):
    open_intent(world, text="x")
    world.change("UPDATE intents SET tool = 'gone'")
    ((_, outcome),) = world.recover()
    assert outcome.status is UNKNOWN


def test_a_call_that_the_target_refuses_in_recovery_has_failed(world):
    open_intent(world, text="x")
    world.target.raises = TargetError("no", code="fenced")
    ((_, outcome),) = world.recover()
    assert (outcome.status, outcome.error["code"]) == (FAILED, "fenced")
    assert world.recover() == ()


def test_a_call_that_gets_no_answer_in_recovery_stays_open(world):
    open_intent(world, text="x")
    world.target.raises = TimeoutError("no answer")
    for _ in range(2):
        ((_, outcome),) = world.recover()
        assert outcome.status is UNKNOWN
    world.target.raises = None
    ((_, outcome),) = world.recover()
    assert outcome.status is COMMITTED
    assert world.verify().ok


def test_rule_13_the_intents_of_a_successor_are_not_ours(tmp_path):
    older = World(tmp_path)
    younger = World(tmp_path)
    open_intent(younger, text="x")
    assert older.recover() == ()
    assert older.target.effects == []
    older.close()
    younger.close()


# --- what the journal keeps ---


def test_the_database_survives_its_process(tmp_path):
    first = World(tmp_path)
    done = first.call()
    first.close()
    second = World(tmp_path)
    again = second.call()
    assert again == msgspec.structs.replace(done, replayed=True)
    assert second.target.effects == []
    assert second.state.high_water_ms() == NOW
    assert second.verify().ok
    second.close()


def test_rule_27_the_high_water_mark_of_now_never_falls(world):
    world.call()
    world.clock.now -= 10_000
    world.call(key="k2")
    assert world.state.high_water_ms() == NOW


def test_every_entry_of_the_log_holds_digests_only(world):
    world.call("send_note", text="a text that is nobody's business")
    world.call("get_deployment_status", key="")
    for leaf in world.entries():
        assert "business" not in str(leaf)
        assert set(leaf) <= {"at_ms", "kind", "object", "record", "signer", "statement", "subjects", "v"}


def test_a_policy_revision_never_goes_back(world):
    world.activate("e" * 64, 5)
    world.activate("e" * 64, 5)
    for revision in (5, 4, 1):
        with pytest.raises(Exception, match="not newer"):
            world.activate("f" * 64, revision)
    with pytest.raises(Exception, match="not newer"):
        world.activate("d" * 64, 3)
    assert world.state.active_bundle() == "e" * 64


def test_rule_14_a_machine_is_stored_by_compare_and_swap(world):
    from bywire.adapters.sqlite_envelope_state import SqliteMachines

    machines = SqliteMachines(world.writer, world.reader)
    assert machines.load("m") is None
    assert machines.commit("m", 0, b"one", b"out") == 1
    for version, code in ((0, "exists"), (2, "lost_race"), (-1, "lost_race")):
        with pytest.raises(ConflictError) as caught:
            machines.commit("m", version, b"late", b"late")
        assert caught.value.code == code
    assert machines.commit("m", 1, b"two", b"") == 2
    stored = machines.load("m")
    assert (stored.version, stored.state, stored.outbox) == (2, b"two", b"")
    with pytest.raises(ConflictError):
        machines.commit("other", 1, b"", b"")
    assert machines.ids() == ["m"]


def test_work_is_delivered_once_under_its_key(world):
    from bywire.adapters.sqlite_deliveries import SqliteDeliveries
    from bywire.model.statement import PLAN, Statement, subject
    from bywire.seal.digest import sha256_hex
    from bywire.seal.dsse import sign_statement

    deliveries = SqliteDeliveries(world.writer, world.reader)
    about = Statement(subject=(subject("x", "a" * 64),), predicateType=PLAN, predicate={"n": 1})
    envelope = sign_statement(about, world.log_key)
    statements = (("plan", envelope, world.log_key.key_id),)
    assert deliveries.result("w") is None
    first = deliveries.deliver("w", "dl-1", statements, {"tier": "low"}, NOW, (b"blob",))
    assert first == {"tier": "low", "entries": [0]}
    assert deliveries.deliver("w", "dl-1", statements, {"tier": "high"}, NOW) == first
    assert deliveries.result("w") == first
    (row,) = deliveries.statements("dl-1")
    assert (row.kind, row.digest) == ("plan", sha256_hex(envelope))
    assert deliveries.envelope(row.digest) == envelope
    assert deliveries.envelope(sha256_hex(b"blob")) == b"blob"
    assert deliveries.envelope("0" * 64) is None
    assert deliveries.statements("dl-2") == []
    assert world.verify().ok


def test_the_doubles_do_what_they_promise(tmp_path):
    target = KeyedFile(tmp_path / "effects")
    assert target.observe() == {"version": 0, "canary": "", "weight": 0}
    assert ApprovalEngine().answer({"grant": None, "action": {"category": "read"}, "state": {}}).value == "allow"
