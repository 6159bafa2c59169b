"""A wrong copy of the policy stops nobody: the last good one decides, and every command says so."""

import json
import shutil

import pytest
from scene import Scene, approving

DELIVER = ("deliver", "--goal", "g", "--json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A workspace whose policy was in force once."""
    scene = Scene(tmp_path_factory.mktemp("told") / "scene").prepared()
    assert scene.bywire("policy", "list").code == 0
    return scene


@pytest.fixture
def scene(prepared, tmp_path):
    scene = prepared.clone(tmp_path / "scene")
    yield scene
    scene.close()


def writes(name, text):
    return lambda policy: (policy / name).write_text(text)


def appends(name, text):
    return lambda policy: (policy / name).write_text((policy / name).read_text() + text)


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        (writes("action.rego", "package bywire.action\n\ndeny {\n"), "bundle_not_newer", "revision"),
        (shutil.rmtree, "policy_missing", "there is no policy"),
        (lambda policy: (policy / "manifest.json").unlink(), "bundle_manifest", "there is none"),
        (writes("manifest.json", "{"), "bundle_manifest", "manifest.json"),
        (writes("table/tiers.json", "{"), "bundle_table", "tiers.json"),
        (writes("notes.json", "{}"), "bundle_path", "notes.json"),
    ],
)
def test_a_wrong_copy_is_told_and_the_last_good_one_decides(scene, spoil, code, told):
    spoil(scene.operator / "policy")
    ran = scene.bywire(*DELIVER)
    assert approving(ran)
    assert f"the operator's copy is not in force ({code})" in ran.err
    assert told in ran.err
    assert "the last good policy decides" in ran.err
    assert "next  " in ran.err


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        (writes("action.rego", "package bywire.action\n\ndeny {\n"), "policy_syntax", "action.rego:"),
        (appends("tier.rego", "\noops if { x == y }\n"), "policy_lint", "x is not defined"),
        (appends("tier.rego", "\noops if time.now_ns() > 1\n"), "policy_lint", "reads the clock"),
    ],
)
def test_a_newer_copy_that_is_not_fit_is_told(scene, spoil, code, told):
    manifest = scene.operator / "policy" / "manifest.json"
    shipped = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**shipped, "revision": shipped["revision"] + 1}))
    spoil(scene.operator / "policy")
    ran = scene.bywire("policy", "list", "--json")
    assert (ran.code, ran.json["refused"]["code"]) == (0, code)
    assert told in ran.json["refused"]["message"]
    assert [row["revision"] for row in ran.json["bundles"]] == [shipped["revision"]]
    assert told in ran.err
