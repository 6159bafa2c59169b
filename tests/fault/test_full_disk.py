"""A full disk: nothing new begins, nothing is half done, and a rollout under way still retreats (RULES 16)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STORY = Path(__file__).with_name("full_disk.py")


def in_own_mounts(tmp_path):
    """The prefix that gives a command mounts of its own; skips where the host has none."""
    for prefix in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        probe = (*prefix, "mount", "-t", "tmpfs", "none", str(tmp_path))
        if shutil.which("unshare") and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return prefix
    return pytest.skip("this host lets us mount no small disk")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each command did, by name."""
    disk = tmp_path_factory.mktemp("disk")
    prefix = in_own_mounts(disk)
    done = subprocess.run([*prefix, sys.executable, str(STORY), str(disk)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
