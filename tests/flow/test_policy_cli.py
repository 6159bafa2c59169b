"""`bywire policy`: what a person is told, in words and as JSON, and by the exit code."""

import json
import shutil
import sys

import pytest
from policy_bundles import ENTRY, RULES, TESTS, keep, small, with_agent
from scene import Scene, refused

from bywire.adapters import policy_opa
from bywire.wiring.policies import active_shadows
from bywire.wiring.policy_review import recorded_since

HAS_BINDINGS = policy_opa.find_opa().startswith("bindings:")


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    """A workspace in staging with a small policy of the operator's own, in force."""
    scene = Scene(tmp_path_factory.mktemp("policy-cli") / "scene").prepared()
    shutil.rmtree(scene.operator / "policy")
    keep(small(), scene.operator / "policy")
    scene.configure(environment="staging")
    assert scene.bywire("policy", "list").code == 0
    return scene


@pytest.fixture
def scene(initialised, tmp_path):
    return initialised.clone(tmp_path / "scene")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A workspace with the shipped policy, and some decisions in its log."""
    scene = Scene(tmp_path_factory.mktemp("policy-cli") / "delivered").prepared()
    scene.bywire("deliver", "--goal", "g", "--json")
    yield scene
    scene.close()


@pytest.fixture
def no_opa(monkeypatch):
    monkeypatch.setattr("bywire.wiring.policy_review.find_opa", lambda: "")


class TestCheck:
    def test_a_policy_that_is_fit(self, scene):
        ran = scene.bywire("policy", "check")
        assert ran.code == 0
        assert "every rule proved both ways" in ran.out
        found = scene.bywire("policy", "check", "--json").json
        assert (found["fit"], found["revision"], found["tests"]["passed"]) == (True, 1, 6)
        assert found["rules"]["a.too_many"] == ["a.rego:25:18"]

    def test_needs_no_workspace_for_a_directory(self, scene, tmp_path):
        place = keep(small(), tmp_path / "elsewhere")
        shutil.rmtree(scene.operator)
        assert scene.bywire("policy", "check", "--bundle", str(place)).code == 0

    @pytest.mark.parametrize(
        ("files", "told"),
        [
            (small(a_rego=RULES + "\nx := time.now_ns()\n"), "a.rego:30:17: time.now_ns() reads the clock"),
            (small(a_test_rego=TESTS.replace("test_quiet_a_allowed", "test_b")), "a.allowed: no passing test_fires_"),
            (small(limit=8), "test_quiet_a_too_many is not true"),
        ],
    )
    def test_a_policy_that_is_not(self, scene, tmp_path, files, told):
        place = keep(files, tmp_path / "bad")
        ran = scene.bywire("policy", "check", "--bundle", str(place))
        assert ran.code == 1
        assert told in ran.out
        assert scene.bywire("policy", "check", "--bundle", str(place), "--json").json["fit"] is False

    def test_what_does_not_parse_is_an_error_with_its_place(self, scene, tmp_path):
        place = keep(small(a_rego="package bywire.a\n\ndeny {\n"), tmp_path / "bad")
        error = refused(scene.bywire("policy", "check", "--bundle", str(place), "--json"), "policy_syntax")
        assert error["message"].startswith("a.rego:")


class TestTests:
    def test_without_opa_it_says_so(self, scene, no_opa):
        ran = scene.bywire("policy", "test")
        assert ran.code == 0
        assert "6 passed, 0 failed; 3 rules proved both ways" in ran.out
        assert "was not here" in ran.out
        ran = scene.bywire("policy", "test", "--require-opa", "--json")
        assert (ran.code, ran.json["opa"], ran.json["fit"]) == (2, None, True)

    def test_failing_tests_are_named(self, scene, tmp_path, no_opa):
        place = keep(small(limit=8), tmp_path / "bad")
        ran = scene.bywire("policy", "test", "--bundle", str(place))
        assert ran.code == 1
        assert "a_test.rego:12:1: data.bywire.a_test.test_quiet_a_too_many is not true" in ran.out

    @pytest.mark.skipif(not HAS_BINDINGS, reason="OPA is not installed (opa-golib-python-bindings)")
    def test_with_opa_the_answers_are_compared(self, scene, tmp_path):
        place = keep(with_agent(), tmp_path / "agents")
        ran = scene.bywire("policy", "test", "--bundle", str(place), "--require-opa", "--json")
        assert ran.code == 0
        assert ran.json["opa"]["compared"] == {"tests": 8, "differing": []}

    @pytest.mark.parametrize(
        ("answer", "code", "told"),
        [
            ("{name: True for name in names}", 0, "the same answer to 6 of 6 tests"),
            ("{name: 'quiet' in name for name in names}", 1, "test_fires_a_allowed: regorus says True, OPA False"),
        ],
    )
    def test_with_an_opa_binary(self, scene, tmp_path, monkeypatch, answer, code, told):
        """A program that answers in OPA's form stands for it here."""
        names = [line.split()[0] for line in TESTS.splitlines() if line.startswith("test_")]
        program = tmp_path / "opa"
        program.write_text(
            f"#!{sys.executable}\nimport json, pathlib, sys\nnames = {names!r}\n"
            "assert sys.argv[1:5] == ['eval', '--format', 'json', '--data'], sys.argv\n"
            "assert pathlib.Path(sys.argv[5], 'a_test.rego').exists()\n"
            "assert sys.argv[7] == '[data.bywire.a_test]', sys.argv\n"
            f"print(json.dumps({{'result': [{{'expressions': [{{'value': [{answer}]}}]}}]}}))\n"
        )
        program.chmod(0o755)
        monkeypatch.setattr("bywire.wiring.policy_review.find_opa", lambda: f"binary:{program}")
        ran = scene.bywire("policy", "test", "--require-opa")
        assert ran.code == code, ran
        assert told in ran.out

    def test_an_opa_that_refuses_is_an_error(self, scene, tmp_path, monkeypatch):
        program = tmp_path / "opa"
        program.write_text('#!/bin/sh\necho \'{"errors": [{"message": "rego_type_error"}]}\'\nexit 2\n')
        program.chmod(0o755)
        monkeypatch.setattr("bywire.wiring.policy_review.find_opa", lambda: f"binary:{program}")
        assert "rego_type_error" in refused(scene.bywire("policy", "test", "--json"), "policy_opa")["message"]


class TestExplain:
    def test_an_input_document(self, scene, tmp_path):
        question = tmp_path / "input.json"
        question.write_text(json.dumps({"go": True, "count": 12}))
        asked = ("policy", "explain", "--input", str(question), "--entrypoint", ENTRY)
        ran = scene.bywire(*asked)
        assert ran.code == 0
        for told in ("deny by", "a.too_many", "count: 12", "limit: 10", "a.rego:25:18", "denials contains"):
            assert told in ran.out
        found = scene.bywire(*asked, "--json").json
        assert (found["entry"], found["decision"]["effect"]) == (-1, "deny")
        assert found["rules"]["a.too_many"][0]["text"].startswith("denials contains")

    def test_a_recorded_decision(self, delivered):
        workspace = delivered.workspace()
        try:
            recorded = recorded_since(workspace, 0)[-1]
        finally:
            workspace.close()
        found = delivered.bywire("policy", "explain", recorded.decision.id, "--json").json
        assert (found["entry"], found["decision"]["id"]) == (recorded.entry, recorded.decision.id)
        assert found["decision"]["reasons"]
        for reason in found["decision"]["reasons"]:
            assert ".rego:" in found["rules"][reason["rule"]][0]["place"]
        assert f"ledger entry #{recorded.entry}" in delivered.bywire("policy", "explain", f"#{recorded.entry}").out

    def test_what_is_no_question(self, scene, tmp_path):
        (tmp_path / "x.json").write_text("[")
        refused(scene.bywire("policy", "explain", "--input", str(tmp_path / "x.json"), "--json"), "input_malformed")
        refused(scene.bywire("policy", "explain", "nothing", "--json"), "not_found")
        refused(scene.bywire("policy", "explain", "--json"), "usage")


class TestDiff:
    def test_two_directories(self, scene, tmp_path):
        old, new = keep(small(), tmp_path / "old"), keep(small(2, limit=9), tmp_path / "new")
        shutil.rmtree(scene.operator)
        ran = scene.bywire("policy", "diff", str(old), str(new))
        assert ran.code == 1
        assert "limits.count" in ran.out
        assert scene.bywire("policy", "diff", str(old), str(old)).code == 0
        found = scene.bywire("policy", "diff", str(old), str(new), "--json").json
        assert found["tables"] == {"added": [], "removed": [], "changed": ["limits.count"]}
        assert found["rules"] == {"added": [], "removed": [], "changed": []}

    def test_the_active_one_against_the_operators_copy(self, scene):
        assert scene.bywire("policy", "diff").code == 0
        keep(small(2, a_rego=RULES + '\nmore := {"rule": "a.more", "facts": {}}\n'), scene.operator / "policy")
        found = scene.bywire("policy", "diff", "--json")
        assert found.code == 1
        assert found.json["rules"]["added"] == ["a.more"]
        assert "the operator's copy is not in force (policy_unproved)" in found.err

    def test_which_recorded_decisions_would_change(self, delivered, tmp_path):
        strict = tmp_path / "strict"
        shutil.copytree(delivered.operator / "policy", strict)
        source = (strict / "action.rego").read_text()
        # Whatever reaches the long way is denied by what denies an incomplete input.
        assert "count(missing) > 0" in source
        (strict / "action.rego").write_text(source.replace("count(missing) > 0", "count(missing) >= 0"))
        asked = ("policy", "diff", "active", str(strict), "--since", "0")
        found = delivered.bywire(*asked, "--json")
        assert (found.code, found.json["rules"]["changed"]) == (1, ["input.incomplete"])
        assert found.json["replayed"] > 0
        assert all("input.incomplete" in item["rules_would_be"] for item in found.json["decisions"])
        assert {item["would_be"] for item in found.json["decisions"]} == {"deny"}
        assert f"{len(found.json['decisions'])} come out otherwise" in delivered.bywire(*asked).out
        same = delivered.bywire("policy", "diff", "active", "active", "--since", "0", "--json")
        assert (same.code, same.json["decisions"], same.json["replayed"]) == (0, [], found.json["replayed"])

    def test_what_names_no_policy(self, scene):
        refused(scene.bywire("policy", "diff", "12345678", "active", "--json"), "not_found")


class TestSignAndActivate:
    def test_sign_activate_list(self, scene):
        keep(small(2), scene.operator / "policy")
        signed = scene.bywire("policy", "sign", "--as", "oncall", "--json")
        assert (signed.code, signed.json["signer"], signed.json["revision"]) == (0, "person:oncall", 2)
        done = scene.bywire("policy", "activate", "--json")
        assert done.code == 0
        assert done.json["revision"] == 2
        listed = scene.bywire("policy", "list", "--json").json
        assert [(row["revision"], row["active"], row["signer"]) for row in listed["bundles"]] == [
            (1, False, ""),
            (2, True, "person:oncall"),
        ]
        assert "signed by person:oncall" in scene.bywire("policy", "list").out
        # Signing comes after the copy was put in force unsigned when a command in between opens the workspace.
        assert listed["refused"] is None

    def test_a_directory_elsewhere(self, scene, tmp_path):
        place = keep(small(2), tmp_path / "candidate")
        assert scene.bywire("policy", "activate", str(place)).code == 0
        listed = scene.bywire("policy", "list", "--json")
        assert listed.json["bundles"][-1]["revision"] == 2
        assert listed.json["refused"]["code"] == "bundle_not_newer"
        assert "the operator's copy is not in force" in listed.err

    def test_a_bad_one_is_refused_with_a_code(self, scene, tmp_path):
        place = keep(small(2, limit=8), tmp_path / "candidate")
        error = refused(scene.bywire("policy", "activate", str(place), "--json"), "policy_unproved")
        assert "bywire policy test" in error["next_step"]
        assert scene.bywire("policy", "list", "--json").json["bundles"][-1]["revision"] == 1

    def test_who_cannot_sign(self, scene):
        refused(scene.bywire("policy", "sign", "--as", "nobody", "--json"), "person_unknown")
        refused(scene.bywire("policy", "sign", "--as", "dana", "--json"), "key_missing")


class TestShadow:
    BEGIN = ("--as", "oncall", "--days", "3", "--reason", "counts generated files")

    def test_begin_list_end(self, scene):
        begun = scene.bywire("policy", "shadow", "a.too_many", *self.BEGIN, "--json")
        assert (begun.code, begun.json["owner"], begun.json["environment"]) == (0, "person:oncall", "staging")
        (listed,) = scene.bywire("policy", "shadow", "list", "--json").json
        assert (listed["rule"], listed["state"], listed["entry"]) == ("a.too_many", "in force", begun.json["entry"])
        assert "in force, until" in scene.bywire("policy", "shadow", "list").out
        assert scene.bywire("policy", "shadow", "end", "a.too_many", "--as", "oncall").code == 0
        assert scene.bywire("policy", "shadow", "list", "--json").json[0]["state"] == "ended"
        refused(scene.bywire("policy", "shadow", "end", "a.too_many", "--as", "oncall", "--json"), "not_found")
        assert scene.bywire("audit", "verify").code == 0

    @pytest.mark.parametrize("rule", ["grant.expired", "duties.approver_is_author", "state.stopped", "a.unknown"])
    def test_what_nobody_can_shadow(self, scene, rule):
        refused(scene.bywire("policy", "shadow", rule, *self.BEGIN, "--json"), "shadow_refused")

    def test_never_in_production(self, scene):
        scene.configure(environment="production")
        refused(scene.bywire("policy", "shadow", "a.too_many", *self.BEGIN, "--json"), "shadow_refused")
        assert scene.bywire("policy", "shadow", "list").out.startswith("no rule is shadowed")

    def test_what_the_policy_is_told(self, scene):
        """The input's `shadow`: verified anew, here and now; a row that nobody signed is none."""
        begun = scene.bywire("policy", "shadow", "a.too_many", *self.BEGIN, "--json").json
        workspace = scene.workspace()
        try:
            now_ms = workspace.clock.now_ms()
            told = {
                "rule": "a.too_many",
                "owner": "person:oncall",
                "expires_at_ms": begun["expires_at_ms"],
                "service": "tiny",
                "environment": "staging",
            }
            assert active_shadows(workspace, now_ms) == [told]
            assert active_shadows(workspace, begun["expires_at_ms"]) == []
            copied = "SELECT 'x', 'a.allowed', envelope, expires_ms, entry, NULL FROM shadow_rules"
            workspace.writer.run(lambda tx: tx.execute(f"INSERT INTO shadow_rules {copied}"))
            assert active_shadows(workspace, now_ms) == [told]
            workspace.writer.run(lambda tx: tx.execute("UPDATE shadow_rules SET expires_ms = expires_ms + 1"))
            assert active_shadows(workspace, now_ms) == []
        finally:
            workspace.close()
        scene.configure(environment="production")
        workspace = scene.workspace()
        try:
            workspace.writer.run(lambda tx: tx.execute("UPDATE shadow_rules SET expires_ms = expires_ms - 1"))
            # It is told with its place, and rules of other places do not go by it.
            assert active_shadows(workspace, now_ms) == [told]
        finally:
            workspace.close()
