"""A full disk: nothing new begins, nothing is half done, and a rollout under way still retreats (RULES 16)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STORY = Path(__file__).with_name("full_disk.py")
DOOR_STORY = Path(__file__).with_name("full_disk_door.py")


def in_own_mounts(tmp_path):
    """The prefix that gives a command mounts of its own; skips where the host has none."""
    for prefix in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        probe = (*prefix, "mount", "-t", "tmpfs", "none", str(tmp_path))
        if shutil.which("unshare") and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return prefix
    return pytest.skip("this host lets us mount no small disk")


def told_by(story, disk):
    done = subprocess.run(
        [*in_own_mounts(disk), sys.executable, str(story), str(disk)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each command did, by name."""
    return told_by(STORY, tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def at_the_door(tmp_path_factory):
    """What each call did while one of its writes found no space, by name."""
    return told_by(DOOR_STORY, tmp_path_factory.mktemp("door"))


def test_nothing_new_begins(told):
    code, out, err = told["new delivery"]
    assert (code, err, json.loads(out)["error"]["code"]) == (2, "", "disk_full")
    code, out, err = told["refused"]
    assert (code, out) == (2, "")
    assert "disk_full: " in err
    assert "next  free " in err


def test_what_is_there_can_still_be_read_and_verified(told):
    code, out, _ = told["status"]
    assert code == 0
    assert [delivery["phase"] for delivery in json.loads(out)["deliveries"]] == ["successful"]
    for when in ("verify", "verify with space", "after"):
        assert told[when][0] == 0, told[when]


def test_with_space_again_it_goes_on(told):
    code, out, _ = told["with space"]
    assert (code, json.loads(out)["phase"]) == (3, "approving")


def test_a_rollout_under_way_is_not_joined_by_another(told):
    code, out, _ = told["stranger"]
    assert (code, json.loads(out)["error"]["code"]) == (2, "rollout_unfinished")


def test_a_rollout_under_way_retreats_in_a_fresh_process(told):
    code, out, err = told["rollout"]
    document = json.loads(out)
    assert (code, err, document["phase"]) == (1, "", "rolled_back"), document
    assert told["target"] == {"stable": True, "canary": None}
    assert document["reasons"][0]["facts"]["verified"] is True


@pytest.mark.parametrize(
    ("write", "effects", "intents", "approvals", "checkpoints"),
    [
        ("pending", 0, [], [], 0),
        ("verdict", 0, [], [["pending", 0]], 0),
        ("intent", 0, [], [["approved", 0]], 0),
        ("checkpoint", 2, ["committed"] * 2, [["approved", 1], ["approved", 0]], 0),
    ],
)
def test_a_write_without_space_leaves_nothing_behind(at_the_door, write, effects, intents, approvals, checkpoints):
    found = at_the_door[write]
    assert found["ended"] == "disk_full"
    assert (found["effects"], found["intents"], found["checkpoints"]) == (effects, intents, checkpoints)
    assert sorted(found["approvals"]) == sorted(approvals)


def test_what_reduces_exposure_and_what_already_happened_is_recorded_from_the_reserve(at_the_door):
    assert at_the_door["outcome"]["ended"] == at_the_door["retreat"]["ended"] == "committed"
    assert at_the_door["retreat"]["intents"] == ["committed", "committed"]
    assert at_the_door["revocation"]["ended"] == "True"


def test_an_outcome_that_nothing_could_record_is_open_and_settled_later(at_the_door):
    lost = at_the_door["outcome without reserve"]
    assert (lost["ended"], lost["intents"]) == ("disk_full", ["committed", "committed", "intended"])
    found = at_the_door["recovered"]
    assert (found["ended"], found["intents"]) == ("['committed']", ["committed"] * 3)


def test_with_space_each_of_them_goes_on(at_the_door):
    assert at_the_door["pending with space"]["ended"] == "pending"
    assert at_the_door["verdict with space"]["ended"] == at_the_door["checkpoint with space"]["ended"] == "True"
    assert at_the_door["checkpoint with space"]["checkpoints"] == 1
    assert at_the_door["verified"] is True
