"""Broken glass at the real door: it stands in for an approval, use by use, and ends with its uses."""

import json

import pytest
from scene import Scene, approving, wait_until

from bywire.seal.dsse import unverified_statement

TOOLS = ("start_rollout", "deploy_release", "set_canary_weight", "renew_canary_lease", "promote_release")
REASON = "the shop is down and nobody can approve before noon"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("broken") / "scene").prepared()
    approving(scene.deliver("g"))
    return scene


@pytest.fixture
def scene(waiting, tmp_path):
    scene = waiting.clone(tmp_path / "scene")
    yield scene
    scene.close()


def breaks(scene, uses, tools=TOOLS):
    named = [part for tool in tools for part in ("--tool", tool)]
    ran = scene.bywire(
        "break-glass",
        "open",
        "--as",
        "oncall",
        "--reason",
        REASON,
        *named,
        "--minutes",
        "30",
        "--uses",
        str(uses),
        "--json",
    )
    assert ran.code == 0, ran
    return ran.json["id"]


def uses_left(scene):
    return scene.bywire("break-glass", "list", "--json").json[0]["uses_left"]


def serves(scene):
    return bool(scene.bywire("status", "--json").json.get("target", {}).get("stable"))


def test_a_release_goes_out_behind_broken_glass_and_every_use_is_counted(scene):
    glass = breaks(scene, 30)
    done = scene.deliver("g")
    assert (done.code, done.json["phase"]) == (0, "successful"), done
    assert serves(scene)
    assert 0 < uses_left(scene) < 30
    opened = scene.workspace()
    try:
        leaves = [json.loads(leaf) for _, leaf, _ in opened.ledger.rows(0)]
        decided = [opened.deliveries.envelope(leaf["statement"]) for leaf in leaves if leaf["kind"] == "decision"]
        decisions = [unverified_statement(envelope).predicate["decision"] for envelope in decided]
    finally:
        opened.close()
    lifted = [item for one in decisions for item in one["obligations"] if item["kind"] == "break_glass"]
    assert len(lifted) == 30 - uses_left(scene)
    assert {item["person"] for item in lifted} == {"person:oncall"}
    assert "approval.required" in lifted[0]["lifted"]
    assert scene.bywire("audit", "verify").code == 0
    assert scene.bywire("break-glass", "close", glass).code == 0


def test_when_the_uses_are_gone_a_person_is_asked_again(scene):
    breaks(scene, 1)
    process = scene.spawn("deliver", "--goal", "g")
    try:
        wait_until(lambda: "deploy_release" in requested(scene))
    finally:
        process.kill()
        process.communicate()
    assert uses_left(scene) == 0
    assert not serves(scene)


def requested(scene):
    listed = scene.bywire("approvals", "list", "--json").json
    return {row["action"] for row in listed if row["state"] == "pending"}


def test_glass_for_another_tool_changes_nothing(scene):
    breaks(scene, 5, tools=("rollback_release",))
    approving(scene.deliver("g"))
    assert uses_left(scene) == 5
    assert not serves(scene)


def test_closed_glass_changes_nothing(scene):
    glass = breaks(scene, 5)
    assert scene.bywire("break-glass", "close", glass).code == 0
    approving(scene.deliver("g"))
    assert not serves(scene)
