"""Two processes on one workspace: one works, the other says so at once and disturbs nothing."""

import time

import pytest
from scene import FILES, Scene, refused, wait_until

SLOW = {
    "tests/run.py": FILES["tests/run.py"].replace(
        "    sys.settrace(trace)", "    import time\n    time.sleep(2)\n    sys.settrace(trace)"
    )
}


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path / "scene", {**FILES, **SLOW}).prepared()
    yield scene
    scene.close()


def test_a_second_delivery_is_refused_and_the_first_one_ends_well(scene):
    first = scene.spawn("deliver", "--goal", "g", "--json")
    wait_until((scene.operator / "deliver.lock").exists)
    wait_until(lambda: (scene.operator / "deliver.lock").read_text() == str(first.pid))
    began = time.monotonic()
    error = refused(scene.deliver("g"), "workspace_busy")
    assert str(first.pid) in error["message"]
    assert time.monotonic() - began < 2
    for reading in (("status",), ("approvals", "list"), ("audit", "verify")):
        assert scene.bywire(*reading).code == 0
    out, err = first.communicate(timeout=60)
    assert (first.returncode, err) == (3, ""), out


def test_a_refused_delivery_does_not_fence_the_one_that_works(scene):
    assert scene.approve(scene.deliver("g").approval).code == 0
    first = scene.spawn("deliver", "--goal", "g", "--json")
    wait_until(lambda: (scene.operator / "deliver.lock").read_text() == str(first.pid))
    while first.poll() is None:
        ran = scene.deliver("g")
        assert ran.code == 0 or ran.json["error"]["code"] == "workspace_busy"
        time.sleep(0.1)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, err) == (0, ""), out


def test_a_killed_process_leaves_no_lock_behind(scene):
    first = scene.spawn("deliver", "--goal", "g", "--json")
    wait_until((scene.operator / "deliver.lock").exists)
    wait_until(lambda: (scene.operator / "deliver.lock").read_text() == str(first.pid))
    first.kill()
    first.communicate()
    assert scene.deliver("g").code == 3
