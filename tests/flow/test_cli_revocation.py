"""An approval taken back while what it permits is running: the next step is refused, and the retreat is not."""

import pytest
from scene import GREETED, Scene, wait_until


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("revoked") / "scene").prepared(intervals_min=4).released()
    scene.traffic(150)
    yield scene
    scene.close()


def test_rule_16_a_revoked_plan_stops_at_its_next_step_and_is_taken_back(scene):
    before = scene.target.status()["stable"]["digest"]
    scene.commit("greet", GREETED, branch="greet")
    approval = scene.deliver("greet").approval
    assert scene.approve(approval).code == 0
    process = scene.spawn("deliver", "--goal", "greet")
    wait_until(lambda: (scene.target.status()["canary"] or {}).get("weight") == 40)
    revoked = scene.bywire("approvals", "revoke", approval, "--as", "oncall", "--reason", "wrong artifact", "--json")
    assert revoked.code == 0, revoked
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, ""), out
    assert "rolled back to" in out, out
    after = scene.target.status()
    assert (after["stable"]["digest"], after["canary"]) == (before, None)
    assert scene.bywire("approvals", "show", approval, "--json").json["state"] == "revoked"
    assert scene.bywire("audit", "verify").code == 0
