"""Kill -9 between the steps of the intent transaction, of the delivery and of a change of keys: it continues, nothing
happens twice, nothing is lost, the log verifies.

Where to die is read from the code (`step_names`), so that a new step is covered by itself; a step that no tour reaches
fails the last test. The default run kills once at every step, all within two stories, so that a process also dies
while it recovers from the one before. The soak run kills at every step reached, one to a delivery.
"""

import pytest
import step_names
from journey import Journey, nobody_noticed, settled
from scene import FAILING, GREETED, SERVICE, Scene

CHOSEN = step_names.chosen()
# A step of nothing but a read comes back many times a second and changes nothing.
READS = "read_telemetry"
# After the last commit a rollout that was rolled back may be tried again, so running it once more is another delivery.
AFTER_THE_END = "tick.committed@conclude#1"
RETREAT = r"^(?!tick\.committed).*@(?:rollback_release|set_canary_weight|verdict|conclude)"
DOOR = ("door.decided", "door.intent_committed", "door.executed", "door.outcome_recorded")


def begun(directory):
    scene = Scene(directory).prepared()
    scene.configure(limits={"actions_per_hour": 100_000})
    return Journey(scene)


@pytest.fixture
def journey(tmp_path):
    made = begun(tmp_path)
    yield made
    made.scene.close()


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A first release, a canary, a rollback and every change of keys, each killed at every step it reached."""
    journey = begun(tmp_path_factory.mktemp("released"))
    scene = journey.scene
    first = journey.to_the_end("first", kill="each", only=CHOSEN)
    counted = [journey.check()]
    scene.traffic(200)
    since = scene.target.status()["interval_now"]
    scene.commit("a warmer greeting", GREETED, branch="greet")
    second = journey.to_the_end("greet", "greet", kill="each", only=CHOSEN)
    served = scene.target.status()["stable"]["digest"]
    counted.append(journey.check())
    back = journey.to_the_end("", tour="roll_back", kill="each", only=CHOSEN)
    status = scene.target.status()
    counted.append(journey.check())
    settled(scene)
    unnoticed = nobody_noticed(scene, since)
    keys = journey.drive("", tour="keys", kill="each", only=CHOSEN)
    verified = scene.bywire("audit", "verify", "--json")
    scene.close()
    return locals()


@pytest.fixture(scope="module")
def retreated(tmp_path_factory):
    """A rollout that harms, killed at every step of its retreat."""
    journey = begun(tmp_path_factory.mktemp("retreated"))
    scene = journey.scene
    good = journey.to_the_end("first")
    scene.traffic(200)
    scene.commit("a failing greeting", FAILING, branch="bad")
    bad = journey.to_the_end("bad", "bad", kill="each", only=RETREAT)
    stable = scene.target.status()["stable"]["digest"]
    counted = journey.check()
    scene.close()
    return locals()


def died_at_the_door(deaths, *tools):
    return {f"{step}@{tool}" for step in DOOR for tool in tools} <= set(deaths)


@pytest.mark.timeout(300)
def test_killed_at_every_step_of_a_first_release(released):
    tools = ("start_rollout", "deploy_release", "promote_release", "settle_release")
    assert released["first"]["phase"] == "successful"
    assert died_at_the_door(released["journey"].deaths(), *tools)
    assert released["counted"][0] == dict.fromkeys(tools, 1)


def test_killed_at_every_step_of_a_canary(released):
    deaths = released["journey"].deaths()
    assert released["second"]["phase"] == "successful"
    assert died_at_the_door(deaths, "set_canary_weight", "renew_canary_lease")
    assert {"work.plan.done@plan", "work.verify.done@verify", "work.verdict.done@verdict"} <= set(deaths)
    assert released["served"] == released["second"]["artifact"]
    assert released["counted"][1]["set_canary_weight"] == 2


def test_killed_at_every_step_of_a_rollback(released):
    assert released["back"]["phase"] == "nothing_to_return_to", "the last process died after the retreat was recorded"
    assert died_at_the_door(released["journey"].deaths(), "rollback")
    first, status = released["first"]["artifact"], released["status"]
    assert (status["stable"]["digest"], status["last_good"]) == (first, first)
    assert released["counted"][2]["rollback_release"] == 1
    assert released["unnoticed"]


def test_killed_at_every_step_of_a_change_of_keys(released):
    valid = released["keys"]["valid"]
    assert len(valid) == len(set(valid)), "every principal has one valid key again"
    assert {"agent:planner", "workload:log"} <= set(valid)
    assert (released["verified"].code, released["verified"].json["ok"]) == (0, True)


@pytest.mark.timeout(300)
def test_killed_at_every_step_of_a_retreat(retreated):
    assert retreated["bad"]["phase"] == "rolled_back"
    assert retreated["bad"]["reasons"][0]["rule"] == "rollout.harm_detected"
    assert died_at_the_door(retreated["journey"].deaths(), "rollback_release")
    assert retreated["stable"] == retreated["good"]["artifact"]
    assert retreated["counted"]["rollback_release"] == 1


def test_every_step_that_the_code_names_was_died_at(released, retreated):
    deaths = released["journey"].deaths() + retreated["journey"].deaths()
    assert step_names.unkilled(deaths) == {}, "let a tour of driver.py reach it"


def test_a_step_without_a_name_is_no_step():
    assert dict(step_names.named_in("steps.reached('a.b')\nself.x.reached(f'w.{k.n}.d')")) == {
        r"a\.b": 1,
        r"w\.\w+\.d": 2,
    }
    for unknown in ("steps.reached(name)", "steps.reached()", "steps.reached('a' + 'b')"):
        with pytest.raises(ValueError, match="line 1"):
            list(step_names.named_in(unknown))
    assert step_names.unkilled(["door.decided@x"]).keys() == step_names.declared().keys() - {r"door\.decided"}


@pytest.mark.soak
@pytest.mark.timeout(7_200)
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
@pytest.mark.timeout(7_200)
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
