"""The demo, as README shows it: each act must have happened, on real processes, within its bars."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BYWIRE = Path(sys.executable).with_name("bywire")
SECONDS_MAX = 400


def play(tmp_path, *options):
    """Run the demo command; its JSON result and what it said to people."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [BYWIRE, "demo", "--json", "--directory", tmp_path / "scene", *options],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout), tmp_path / "scene"


def bywire(scene, *arguments):
    """One command in the scene that the demo left."""
    done = subprocess.run(
        [BYWIRE, "--repo", scene / "repo", "--operator", scene / "operator", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(SECONDS_MAX)
def test_a_change_is_denied_repaired_rolled_back_tried_again_promoted_and_proved(tmp_path):
    result, scene = play(tmp_path)
    _, status = bywire(scene, "status")
    phases = [delivery["phase"] for delivery in status["deliveries"]]
    assert phases == ["successful", "denied", "rolled_back", "approving", "successful"]
    denied = _story(scene, status, 1)
    assert {reason["rule"] for reason in denied["reasons"]} == {
        "gate.network_policy_missing",
        "gate.asset_provenance_stale",
    }
    rolled_back = _story(scene, status, 2)
    assert rolled_back["reasons"][0]["facts"]["segments"] == ["mobile-web"]
    assert rolled_back["reasons"][0]["facts"]["verified"] is True
    promoted = _story(scene, status, 4)
    assert promoted["artifact"] == rolled_back["artifact"], "the same artifact, exposed by another plan"
    assert promoted["plan"]["warm"] is True
    assert promoted["plan"]["origin"].startswith("written by hand")
    for page in ("rollback.html", "promoted.html"):
        assert "<svg" in (scene / page).read_text()
    assert result["ok"] is True


@pytest.mark.timeout(SECONDS_MAX)
def test_a_healthy_change_is_promoted_at_the_first_try(tmp_path):
    _, scene = play(tmp_path, "--healthy")
    _, status = bywire(scene, "status")
    assert [delivery["phase"] for delivery in status["deliveries"]] == ["successful", "successful"]
    code, replayed = bywire(scene, "audit", "replay")
    assert (code, replayed["ok"]) == (0, True)


@pytest.mark.timeout(SECONDS_MAX)
def test_every_attempt_of_a_hostile_branch_fails(tmp_path):
    result, scene = play(tmp_path, "--attack")
    assert len(result["attempts"]) >= 10
    assert [attempt for attempt in result["attempts"] if attempt["reached"]] == []
    _, status = bywire(scene, "status")
    hostile = _story(scene, status, 1)
    assert hostile["phase"] == "denied"
    assert "gate.intent_loosened" in {reason["rule"] for reason in hostile["reasons"]}


def _story(scene, status, position):
    return bywire(scene, "status", status["deliveries"][position]["id"])[1]
