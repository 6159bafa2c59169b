"""A rollout whose process died while the world moved on: it is finished as it was approved, or taken back."""

import pytest
from scene import GREETED, SERVICE, Scene, refused, wait_until

OTHER = {"tiny/service.py": SERVICE.replace("hello", "hey")}


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path / "scene").prepared().released()
    scene.traffic(200)
    yield scene
    scene.close()


def interrupt(scene, branch):
    """Leave a canary with traffic behind, whose lease nobody renews."""
    assert scene.approve(scene.deliver(branch, "--change", branch).approval).code == 0
    process = scene.spawn("deliver", "--goal", branch, "--change", branch)
    wait_until(lambda: (scene.target.status()["canary"] or {}).get("weight"))
    process.kill()
    process.communicate()


def test_is_finished_although_its_branches_moved_and_another_taken_back_by_hand(scene):
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
