"""Wrong files, names and arguments: one clear message with a code and what to do, exit code 2, nothing half done."""

import json
import shutil

import pytest
import yaml
from scene import FILES, GREETED, INTENT, Scene, approving, refused, snapshot, untouched

DELIVER = ("deliver", "--goal", "g")
ACTION = "policy/action.rego"
TIER = "policy/tier.rego"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("prepared") / "scene").prepared()


@pytest.fixture
def scene(prepared, tmp_path):
    scene = prepared.clone(tmp_path / "scene")
    yield scene
    scene.close()


def commits(name, text):
    return lambda scene: scene.commit("change", {name: text})


def writes(name, text):
    def write(scene):
        (scene.operator / name).write_text(text)

    return write


def appends(name, text):
    def append(scene):
        place = scene.operator / name
        place.write_text(place.read_text() + text)

    return append


def removes(name):
    def remove(scene):
        place = scene.operator / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return remove


def copies(source, name):
    return lambda scene: shutil.copy(scene.operator / source, scene.operator / name)


def allows(name, mode):
    return lambda scene: (scene.operator / name).chmod(mode)


def intent(**changed):
    return yaml.safe_dump({**INTENT, **changed}, sort_keys=False)


def falls_behind(scene):
    scene.commit("feature", GREETED, branch="feature")
    scene.git("switch", "--quiet", "main")
    scene.commit("meanwhile", {"README": "news\n"})
    scene.git("switch", "--quiet", "feature")


def forgets_git(scene):
    shutil.rmtree(scene.repo / ".git")


def starts_again(scene):
    forgets_git(scene)
    scene.git("init", "--quiet", "--initial-branch=main")


def damages_the_database(scene):
    for place in scene.operator.glob("bywire.db*"):
        place.unlink()
    writes("bywire.db", "this is no database" * 100)(scene)


def takes_the_trust_of_another(scene):
    other = Scene(scene.root.parent / "other").prepared()
    shutil.copy(other.operator / "trust.json", scene.operator / "trust.json")


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        # bywire.yaml, the branch, the repository
        (commits("bywire.yaml", "version: [1"), "yaml_invalid", "main:bywire.yaml:1:12: this is not YAML"),
        (commits("bywire.yaml", "a: &a [*a]\n"), "yaml_invalid", "bywire.yaml:1"),
        (commits("bywire.yaml", intent(servce="x")), "config_invalid", "did you mean 'service'?"),
        (commits("bywire.yaml", intent(version=2)), "config_invalid", "version"),
        (commits("bywire.yaml", intent(service="other")), "service_mismatch", "other"),
        (lambda scene: scene.git("rm", "-q", "bywire.yaml") or scene.commit("x", {}), "intent_missing", "bywire.yaml"),
        (lambda scene: scene.git("switch", "-q", "--detach"), "detached_head", "HEAD"),
        (falls_behind, "branch_behind", "does not contain the tip of main"),
        (forgets_git, "not_a_repository", "git repository"),
        (starts_again, "branch_missing", "none yet"),
        # operator.yaml
        (writes("operator.yaml", "a: ["), "yaml_invalid", "operator.yaml:1"),
        (lambda scene: scene.configure(limits={"rollout_cieling": 50}), "config_invalid", "rollout_ceiling"),
        (lambda scene: scene.configure(limits={"rollout_ceiling": 500}), "config_invalid", "rollout_ceiling"),
        (lambda scene: scene.configure(agents_owner="person:nobody"), "config_invalid", "person:nobody"),
        (removes("operator.yaml"), "file_missing", "operator.yaml"),
        (allows("", 0o777), "operator_unsafe", "others may write"),
        # keys and trust
        (writes("trust.json", "{}"), "trust_invalid", "trust root"),
        (takes_the_trust_of_another, "log_key_untrusted", "trust.json"),
        (copies("keys/builder--workload-builder.pem", "keys/log--workload-log.pem"), "log_key_untrusted", "trust.json"),
        (removes("keys/log--workload-log.pem"), "key_missing", "log--workload-log.pem"),
        (allows("keys/log--workload-log.pem", 0o644), "key_exposed", "readable by others"),
        (writes("keys/log--workload-log.pem", "-----BEGIN\n"), "key_invalid", "key"),
        (writes("keys/workspace.key", ""), "key_invalid", "workspace.key"),
        # the database
        (damages_the_database, "database_corrupt", "damaged"),
    ],
)
def test_nothing_is_delivered_from_a_wrong_file(scene, spoil, code, told):
    refused(scene.deliver("g", "--change", "none"), "branch_missing")  # the policy is in the log from here on
    spoil(scene)
    before = snapshot(scene)
    error = refused(scene.bywire(*DELIVER, "--json"), code)
    assert told in error["message"]
    said = scene.bywire(*DELIVER)
    assert (said.code, said.out) == (2, "")
    assert f"{code}: " in said.err
    assert "next  " in said.err
    assert snapshot(scene) == before


def test_what_was_wrong_can_be_put_right(scene):
    good = (scene.operator / "trust.json").read_bytes()
    takes_the_trust_of_another(scene)
    for command in (("status",), ("approvals", "list"), DELIVER):
        refused(scene.bywire(*command, "--json"), "log_key_untrusted")
    (scene.operator / "trust.json").write_bytes(good)
    assert scene.bywire("audit", "verify").code == 0
    assert approving(scene.deliver("g"))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((*DELIVER, "--change", "nope"), "branch_missing", "'nope'"),
        ((*DELIVER, "--change", "--upload-pack=touch x"), "branch_missing", "upload-pack"),
        ((*DELIVER, "--change", "main..main"), "branch_missing", "main..main"),
        (("deliver", "--goal", "  "), "goal_missing", "goal"),
        ((*DELIVER, "--plan", "missing.yaml"), "usage", "missing.yaml"),
        ((*DELIVER, "--wait", "soon"), "usage", "soon"),
        (("deploy",), "usage", "deploy"),
        (("approvals", "show", "ap-none"), "not_found", "ap-none"),
        (("approvals", "approve", "ap-none", "--as", "oncall", "--yes"), "not_found", "ap-none"),
        (("status", "dl-none"), "not_found", "dl-none"),
        (("explain", "nothing"), "not_found", "nothing"),
        (("audit", "export", "-o", "x"), "not_found", "yet"),
        (("audit", "export", "--delivery", "dl-none", "-o", "x"), "not_found", "dl-none"),
        (("rollback",), "nothing_to_return_to", "no earlier release"),
        (("stop",), "usage", "--reason"),
        (("assets", "attest", "adapter"), "asset_unknown", "adapter"),
    ],
)
def test_what_does_not_exist_is_said_so(scene, arguments, code, told):
    error = refused(scene.bywire(*arguments, "--json"), code)
    assert told in error["message"]
    assert snapshot(scene)["machines"] == 0


@pytest.mark.parametrize(
    ("plan", "code", "told"),
    [
        ("{version: 1, steps: [{weight: 50}, {weight: 5}]}", "plan_invalid", "rise"),
        ("{version: 1, steps: [{weight: 50}, {weight: 101}]}", "plan_invalid", "between 1 and 100"),
        ("{version: 1, steps: []}", "plan_invalid", "steps"),
        ("{version: 1, steps: [{weight: 5}], speed: 9}", "plan_invalid", "speed"),
        ("{version: 1, steps: [{weight: 5, segment: web}]}", "plan_invalid", "segment"),
        ("{version: 1, steps: [{weight: much}]}", "plan_invalid", "weight"),
        ("{version: 2, steps: [{weight: 5}]}", "plan_invalid", "version"),
        ("[]", "plan_invalid", "object"),
        ("{version: 1,", "yaml_invalid", "not YAML"),
    ],
)
def test_a_plan_file_is_read_strictly(scene, plan, code, told):
    place = scene.root / "plan.yaml"
    place.write_text(plan)
    error = refused(scene.bywire(*DELIVER, "--plan", str(place), "--json"), code)
    assert told in error["message"]
    assert snapshot(scene)["machines"] == 0


def test_a_plan_above_the_operators_ceiling_is_denied(scene):
    scene.configure(limits={"rollout_ceiling": 50})
    place = scene.root / "plan.yaml"
    place.write_text("{version: 1, steps: [{weight: 5}, {weight: 100}]}")
    ran = scene.deliver("g", "--plan", str(place))
    assert (ran.code, ran.json["phase"]) == (1, "denied")
    assert [reason["rule"] for reason in ran.json["reasons"]] == ["rollout.ceiling_exceeded"]
    assert untouched(scene)


class TestTheOperatorDirectory:
    def test_lies_outside_the_repository(self, scene):
        inside = scene.repo / "operator"
        for command in (("init",), DELIVER):
            refused(scene.bywire(*command, "--json", operator=inside), "operator_inside_repository")
        assert not inside.exists()

    def test_must_exist(self, scene):
        refused(scene.bywire(*DELIVER, "--json", operator=scene.root / "none"), "operator_missing")
        assert not (scene.root / "none").exists()


class TestInit:
    @pytest.fixture
    def bare(self, tmp_path):
        scene = Scene(tmp_path / "bare", {name: text for name, text in FILES.items() if name != "bywire.yaml"})
        yield scene
        scene.close()

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("--approver", "dana"), "separation_of_duties"),
            (("--approver", "../../escape"), "principal_malformed"),
            (("--approver", ""), "principal_malformed"),
        ],
    )
    def test_leaves_nothing_behind_when_it_refuses(self, bare, arguments, code):
        refused(bare.bywire("init", *arguments, "--json"), code)
        assert not bare.operator.exists()
        assert not (bare.repo / "bywire.yaml").exists()

    def test_leaves_no_intent_file_for_an_operator_directory_inside(self, bare):
        refused(bare.bywire("init", "--json", operator=bare.repo / "operator"), "operator_inside_repository")
        assert not (bare.repo / "bywire.yaml").exists()

    def test_completes_what_was_cut_short(self, bare):
        assert bare.bywire("init").code == 0
        (bare.operator / "trust.json").unlink()
        (bare.operator / "policy" / "manifest.json").unlink()
        (bare.operator / ACTION).unlink()
        assert bare.bywire("init").code == 0
        assert bare.bywire("audit", "verify").code == 0

    def test_never_replaces_the_keys_of_a_log(self, scene):
        keys = {place.name: place.read_bytes() for place in (scene.operator / "keys").iterdir()}
        assert scene.bywire("status").code == 0
        (scene.operator / "trust.json").unlink()
        refused(scene.bywire("init", "--json"), "trust_missing")
        assert {place.name: place.read_bytes() for place in (scene.operator / "keys").iterdir()} == keys


def test_a_policy_revision_never_goes_back(scene):
    manifest = scene.operator / "policy" / "manifest.json"
    shipped = json.loads(manifest.read_text())
    assert approving(scene.deliver("g"))
    appends(TIER, "\n# stricter\n")(scene)
    assert "(bundle_not_newer)" in scene.deliver("g").err
    manifest.write_text(json.dumps({**shipped, "revision": shipped["revision"] + 1}))
    assert approving(scene.deliver("another"))
    manifest.write_text(json.dumps({**shipped, "revision": shipped["revision"]}))
    ran = scene.deliver("another")
    assert approving(ran)
    assert "(bundle_not_newer)" in ran.err


def test_errors_of_a_real_process_are_one_message(scene):
    for arguments, code in ((("deliver", "--goal", "g", "--change", "nope"), "branch_missing"), (("no",), "usage")):
        process = scene.spawn(*arguments)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (2, "")
        assert code in err
        assert "Traceback" not in err
