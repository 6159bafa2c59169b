"""Kill -9 between the steps of the intent transaction and of the delivery: it continues, nothing happens twice, nothing
is lost, the log verifies.

The default run kills once at every step of the door and once in every phase, all within one story, so that a process
also dies while it recovers from the one before. The soak run kills at every step reached, one to a delivery.
"""

import pytest
from journey import Journey, nobody_noticed, settled
from scene import FAILING, GREETED, SERVICE, Scene

# Every step of the door; for each phase the moment between the work and its record, and one around the tick's commit.
CHOSEN = (
    r"^door\.|^work\.\w+\.done|^tick\.sent@(?:start_rollout|promote_release)|^tick\.committed@(?:audit|settle_release)"
)
# A step of nothing but a read comes back many times a second and changes nothing.
READS = "read_telemetry"
# After the last commit a rollout that was rolled back may be tried again, so running it once more is another delivery.
AFTER_THE_END = "tick.committed@conclude#1"
RETREAT = r"^(?!tick\.committed).*@(?:rollback_release|set_canary_weight|verdict|conclude)"
DOOR = ("door.decided", "door.intent_committed", "door.executed", "door.outcome_recorded")


@pytest.fixture
def journey(tmp_path):
    scene = Scene(tmp_path).prepared()
    scene.configure(limits={"actions_per_hour": 100_000})
    yield Journey(scene)
    scene.close()


def died_at_the_door(deaths, *tools):
    return {f"{step}@{tool}" for step in DOOR for tool in tools} <= set(deaths)


def test_killed_at_every_step_of_a_first_release_a_canary_and_a_rollback(journey):
    scene = journey.scene

    first = journey.to_the_end("first", kill="each", only=CHOSEN)
    assert first["phase"] == "successful"
    assert died_at_the_door(journey.deaths(), "start_rollout", "deploy_release", "promote_release", "settle_release")
    assert journey.check() == dict.fromkeys(("start_rollout", "deploy_release", "promote_release", "settle_release"), 1)

    scene.traffic(200)
    since = scene.target.status()["interval_now"]
    scene.commit("a warmer greeting", GREETED, branch="greet")
    second = journey.to_the_end("greet", "greet", kill="each", only=CHOSEN)
    assert second["phase"] == "successful"
    assert died_at_the_door(journey.deaths(), "set_canary_weight", "renew_canary_lease")
    assert {"work.plan.done@plan", "work.verify.done@verify", "work.verdict.done@verdict"} <= set(journey.deaths())
    assert scene.target.status()["stable"]["digest"] == second["artifact"]
    assert journey.check()["set_canary_weight"] == 2

    back = journey.to_the_end("", kill="each", only=CHOSEN)
    assert back["phase"] == "nothing_to_return_to", "the last process died after the retreat was recorded"
    assert died_at_the_door(journey.deaths(), "rollback")
    status = scene.target.status()
    assert (status["stable"]["digest"], status["last_good"]) == (first["artifact"], first["artifact"])
    assert journey.check()["rollback_release"] == 1
    settled(scene)
    assert nobody_noticed(scene, since)


def test_killed_at_every_step_of_a_retreat(journey):
    scene = journey.scene
    good = journey.to_the_end("first")
    scene.traffic(200)
    scene.commit("a failing greeting", FAILING, branch="bad")
    bad = journey.to_the_end("bad", "bad", kill="each", only=RETREAT)
    assert bad["phase"] == "rolled_back"
    assert bad["reasons"][0]["rule"] == "rollout.harm_detected"
    assert died_at_the_door(journey.deaths(), "rollback_release")
    assert scene.target.status()["stable"]["digest"] == good["artifact"]
    assert journey.check()["rollback_release"] == 1


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_killed_once_anywhere_in_a_first_release(tmp_path):
    points, done = None, set()
    while points is None or points - done:
        scene = Scene(tmp_path / str(len(done))).prepared()
        try:
            journey = Journey(scene)
            point = min(points - done) if points else ""
            last = journey.to_the_end("first", kill=point)
            assert last["phase"] == "successful", point
            assert journey.deaths() == [point] * bool(point)
            assert journey.check().total() == 4, point
        finally:
            scene.close()
        points = points or worth_killing(last["steps"])
        done.add(point)
    assert len(points) > 40


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("status", "phase"), [("200", "successful"), ("503", "rolled_back")])
def test_killed_once_anywhere_in_a_rollout(journey, status, phase):
    scene = journey.scene
    journey.to_the_end("first")
    scene.traffic(200)
    points, done = None, set()
    while points is None or points - done:
        point = min(points - done) if points else ""
        changed = SERVICE.replace("STATUS = 200", f"STATUS = {status}").replace("hello", f"hello {len(done)}")
        scene.git("switch", "--quiet", "main")
        scene.commit("change", {"tiny/service.py": changed}, branch=f"change-{len(done)}")
        last = journey.to_the_end("change", f"change-{len(done)}", kill=point)
        assert last["phase"] == phase, (point, last)
        journey.check()
        points = points or worth_killing(last["steps"]) - ({AFTER_THE_END} if phase == "rolled_back" else set())
        done.add(point)
    assert len(points) > 40
    assert len(journey.deaths()) > len(points) * 0.9, "a step that only some deliveries reach may be missed"


def worth_killing(steps):
    """The first two times of every step; the rest are the same again."""
    return {step for step in steps if step.endswith(("#1", "#2")) and READS not in step}
