"""A rollout whose process died while the world moved on: it is finished as it was approved, or taken back."""

import os
import signal

import pytest
from scene import GREETED, SERVICE, Scene, refused, wait_until

OTHER = {"tiny/service.py": SERVICE.replace("hello", "hey")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("rollout") / "scene").prepared().released()
    scene.traffic(200)
    yield scene
    scene.close()


def test_is_taken_back_when_the_target_itself_was_killed(scene):
    before = scene.target.status()
    scene.commit("lost", {"tiny/service.py": SERVICE.replace("hello", "hi")}, branch="lost")
    assert scene.approve(scene.deliver("lost").approval).code == 0
    process = scene.spawn("deliver", "--goal", "lost")
    wait_until(lambda: (scene.target.status()["canary"] or {}).get("weight"))
    os.kill(int((scene.operator / "target" / "target.pid").read_text()), signal.SIGKILL)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (1, ""), out
    assert "rolled back to" in out
    after = scene.target.status()
    assert (after["stable"]["digest"], after["canary"]) == (before["stable"]["digest"], None)
    wait_until(lambda: scene.target.status()["superseded"] == [])
    wait_until(lambda: scene.target.status()["stable"]["alive"])
    assert after["router_port"] == before["router_port"]


def interrupt(scene, branch):
    """Leave a canary with traffic behind, whose lease nobody renews."""
    assert scene.approve(scene.deliver(branch, "--change", branch).approval).code == 0
    process = scene.spawn("deliver", "--goal", branch, "--change", branch)
    wait_until(lambda: (scene.target.status()["canary"] or {}).get("weight"))
    process.kill()
    process.communicate()


def test_is_finished_although_its_branches_moved_and_another_taken_back_by_hand(scene):
    scene.git("switch", "--quiet", "main")
    scene.commit("greet", GREETED, branch="greet")
    interrupt(scene, "greet")
    scene.git("switch", "--quiet", "main")
    scene.commit("meanwhile", {"README": "news\n"})
    scene.git("branch", "--quiet", "-D", "greet")
    refused(scene.deliver("news"), "rollout_unfinished")
    ran = scene.deliver("greet", "--change", "greet")
    assert (ran.code, ran.json["phase"]) == (0, "successful"), ran
    status = scene.target.status()
    stable = status["stable"]["digest"]
    assert (stable, status["canary"]) == (ran.json["artifact"], None)

    scene.configure(limits={"canary_lease_seconds": 4})
    scene.commit("other", OTHER, branch="other")
    interrupt(scene, "other")
    back = scene.bywire("rollback", "--json")
    assert (back.code, back.json["status"]) == (0, "committed"), "authorised with the rollout: nobody is asked"
    status = scene.target.status()
    assert (status["stable"]["digest"], status["canary"]) == (stable, None)
    refused(scene.deliver("something else"), "rollout_unfinished")
    ended = scene.deliver("other", "--change", "other")
    assert (ended.code, ended.json["phase"]) == (1, "rolled_back"), ended
    assert scene.target.status()["stable"]["digest"] == stable
    refused(scene.bywire("rollback", "--json", "--to", stable), "nothing_to_return_to")
    assert scene.bywire("audit", "verify").code == 0
