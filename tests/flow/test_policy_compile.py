"""`bywire policy compile`, `replay`, `shadow report`: an operator's YAML becomes rules, and is tried on the record."""

import json
import shutil

import pytest
import yaml
from policy_bundles import RULES, keep, small
from scene import Scene, refused

from bywire.model.action import ActionRequest
from bywire.model.decision import Effect, OutcomeStatus
from bywire.policy.agent_policies import DISPATCHES
from bywire.wiring.door import Joined

SEED = """agent: deploy-manager

actions:

  - name: deploy

    allowed_environments: ["staging"]

    approval_needed: env == "production"

    allowed_images:

      - digest: "sha256:...approved..."

    max_replicas: 50
"""
GOOD, BAD = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REAL = SEED.replace("sha256:...approved...", GOOD)
CONTRACT = """version: 1
upstream: deployer
tools:
  - name: deploy
    category: environment_write
    risk: low
    reviewed: true
    idempotency: native
    undo: reversible
    environment_from: {parameter: env, values: {staging: staging, dev: non-production, production: production}}
    meaning: {image: image, replicas: replicas}
    cost: [{unit: replica_hours, parameter: replicas, factor: 24}]
    schema:
      type: object
      additionalProperties: false
      properties: {env: {type: string}, image: {}, replicas: {}, note: {type: string}}
"""
UPSTREAM = {"name": "deployer", "kind": "http", "url": "https://deployer.example", "environment": "staging"}


def put(scene, name, text):
    place = scene.operator / name
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o600)


def policy(scene, text, name="deploy-manager.yaml"):
    put(scene, f"agent-policies/{name}", text)


# A bundle of a few lines that asks agents' policies: compiling and examining it takes no time.
ASKING = RULES + "\n".join(
    ["", f"denials contains denial if some denial in {DISPATCHES['deny']}"]
    + [f"{name} contains member if some member in {DISPATCHES[name]}" for name in ("approval", "debits")]
)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("compile") / "scene").prepared()
    shutil.rmtree(scene.operator / "policy")
    keep(small(a_rego=ASKING), scene.operator / "policy")
    scene.configure(environment="staging")
    assert scene.bywire("policy", "list").code == 0
    return scene


@pytest.fixture
def scene(quick, tmp_path):
    return quick.clone(tmp_path / "scene")


class TestCompile:
    def test_the_example_of_the_seed_is_valid_as_it_stands(self, scene):
        policy(scene, SEED)
        ran = scene.bywire("policy", "compile")
        assert ran.code == 0, ran
        assert "is a placeholder, so it allows no image" in ran.out
        assert "no tool has this name yet" in ran.out
        assert "no agent:deploy-manager is registered" in ran.out
        assert "agents.deploy-manager.environment, agents.deploy-manager.image_not_allowed" in ran.out
        assert "then bywire policy activate" in ran.out
        assert scene.bywire("policy", "list").out.splitlines()[-1].startswith("in force  revision 2")
        assert scene.bywire("policy", "check").code == 0

    def test_compiling_again_changes_nothing_and_what_lost_its_yaml_goes(self, scene):
        policy(scene, SEED)
        first = scene.bywire("policy", "compile", "--json").json
        assert (first["after"]["revision"], first["agents"]) == (2, ["deploy-manager"])
        again = scene.bywire("policy", "compile", "--json")
        assert (again.code, again.json["written"], again.json["before"]["revision"]) == (0, "", 2)
        (scene.operator / "agent-policies/deploy-manager.yaml").unlink()
        gone = scene.bywire("policy", "compile", "--json").json
        assert "agents.deploy-manager.environment" in gone["rules"]["removed"]
        assert not (scene.operator / "policy/agents/deploy-manager.rego").exists()
        assert json.loads((scene.operator / "policy/manifest.json").read_text())["revision"] == 3

    def test_into_another_directory(self, scene, tmp_path):
        policy(scene, SEED)
        before = (scene.operator / "policy/manifest.json").read_bytes()
        out = tmp_path / "candidate"
        assert scene.bywire("policy", "compile", "--out", str(out)).code == 0
        assert (out / "agents/deploy-manager_test.rego").exists()
        assert (scene.operator / "policy/manifest.json").read_bytes() == before
        assert not (scene.operator / "policy/agents").exists()
        assert scene.bywire("policy", "check", "--bundle", str(out)).code == 0
        refused(scene.bywire("policy", "compile", "--out", str(out), "--json"), "policy_unwritable")

    def test_a_signature_that_no_longer_fits_goes(self, scene):
        put(scene, "policy/bundle.dsse", "{}")
        policy(scene, SEED)
        assert scene.bywire("policy", "compile").code == 0
        assert not (scene.operator / "policy/bundle.dsse").exists()

    def test_a_policy_written_by_hand_is_never_replaced(self, scene):
        own = (
            'package bywire.agents["deploy-manager"]\n\ndeny contains {"rule": "agents.deploy-manager.x", "facts": {}}'
        )
        put(scene, "policy/agents/deploy-manager.rego", own)
        policy(scene, SEED)
        ran = scene.bywire("policy", "compile", "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "agent_policy_by_hand")
        assert (scene.operator / "policy/agents/deploy-manager.rego").read_text() == own

    def test_two_files_about_one_agent_are_refused(self, scene):
        policy(scene, SEED)
        policy(scene, SEED.replace("agent: ", "agent: agent:"), "other.yaml")
        refused(scene.bywire("policy", "compile", "--json"), "agent_policy_twice")

    def test_two_agents_whose_names_look_alike_have_two_policies(self, scene):
        policy(scene, SEED)
        policy(scene, SEED.replace("deploy-manager", "deploy_manager"), "other.yaml")
        found = scene.bywire("policy", "compile", "--json").json
        assert found["agents"] == ["deploy-manager", "deploy_manager"]
        assert {"agents.deploy-manager.environment", "agents.deploy_manager.environment"} <= {*found["rules"]["added"]}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (SEED.replace("max_replicas: 50", "max_replicas: '50'"), ".yaml:15:5: actions[0].max_replicas"),
            (SEED.replace('"staging"', '"Staging"'), "write 'staging'"),
            (SEED.replace('"production"', '"Production"'), "could never hold"),
            (SEED + "aliased: [&a 1, *a]\n", "aliases are not read here"),
            ("agent: x\nactions:\n  - name: open_connection\n    egress: [203.0.113.7]\n", "no address"),
        ],
    )
    def test_bad_yaml_says_where_why_and_what_instead(self, scene, text, told):
        policy(scene, text)
        ran = scene.bywire("policy", "compile")
        assert ran.code == 2
        assert told in ran.err + ran.out
        assert "next" in ran.err + ran.out
        assert not (scene.operator / "policy/agents").exists()

    def test_a_name_that_means_two_tools_is_told_with_its_line(self, scene):
        put(scene, "contracts/deployer.yaml", CONTRACT.replace("name: deploy", "name: deploy_release"))
        put(scene, "gateway.yaml", yaml.safe_dump({"version": 1, "upstreams": [UPSTREAM]}))
        policy(scene, SEED.replace("name: deploy", "name: deploy_release"))
        error = refused(scene.bywire("policy", "compile", "--json"), "config_invalid")
        assert "deploy-manager.yaml:5:" in error["message"]
        assert "it means deploy_release, deployer.deploy_release" in error["message"]
        assert "deployer.deploy_release" in error["next_step"]

    @pytest.mark.parametrize("name", ["a\nb.yaml", "-x.yaml", "p.yaml.bak.yml\u202e.yaml"])
    def test_a_file_name_of_another_kind_is_refused(self, scene, name):
        policy(scene, SEED, name)
        refused(scene.bywire("policy", "compile", "--json"), "agent_policy_name")

    def test_a_policy_in_json_means_what_it_means_in_yaml(self, scene):
        policy(scene, SEED)
        assert scene.bywire("policy", "compile", "--json").json["agents"] == ["deploy-manager"]
        compiled = scene.operator / "policy/agents/deploy-manager.rego"
        in_yaml = compiled.read_text().splitlines()
        (scene.operator / "agent-policies/deploy-manager.yaml").unlink()
        policy(scene, json.dumps(yaml.safe_load(SEED), indent="\t"), "deploy-manager.json")
        assert scene.bywire("policy", "compile", "--json").json["agents"] == ["deploy-manager"]
        in_json = compiled.read_text().replace("deploy-manager.json", "deploy-manager.yaml").splitlines()
        rules = [line for line in in_json if not line.startswith("#")]
        assert rules == [line for line in in_yaml if not line.startswith("#")] != []

    @pytest.mark.parametrize(
        ("text", "code", "where"),
        [
            ('{"agent": "a", "actions": [{"name": "b", "rate": "1/hour", "rate": "9/hour"}]}', "json_invalid", "twice"),
            ('{"agent": "a",\n\t"actions": [{"name": "deploy", "max_replicas": "many"}]}', "config_invalid", ":2:33: "),
            ("agent: a\nactions: [{name: deploy}]", "json_invalid", "line 1, column 1"),
            ('{"agent": "a", "actions": [{"name": "deploy", "max_amount": NaN}]}', "json_invalid", "NaN"),
            ('{"agent": "a", "actions": [{"name": "deploy"}]} {}', "json_invalid", "Extra data"),
        ],
    )  # fmt: skip
    def test_a_fault_in_json_is_refused_with_its_place(self, scene, text, code, where):
        policy(scene, text, "a.json")
        error = refused(scene.bywire("policy", "compile", "--json"), code)
        assert where in error["message"]

    def test_two_files_for_one_agent_are_refused(self, scene):
        policy(scene, SEED)
        policy(scene, json.dumps(yaml.safe_load(SEED)), "deploy-manager.json")
        error = refused(scene.bywire("policy", "compile", "--json"), "agent_policy_twice")
        assert "deploy-manager.yaml and deploy-manager.json are both about deploy-manager" in error["message"]

    @pytest.mark.parametrize(
        "name", ["deploy-manager.toml", "deploy-manager.YAML", "deploy-manager", "a.yaml~", "a.yaml.off", ".a.yaml.swp"]
    )
    def test_rule_08_a_file_that_would_not_be_read_is_refused_not_skipped(self, scene, name):
        """Who wrote it believes its bounds to be in force."""
        policy(scene, SEED, name)
        before = (scene.operator / "policy/manifest.json").read_bytes()
        error = refused(scene.bywire("policy", "compile", "--json"), "agent_policy_suffix")
        assert name in error["message"]
        assert ".yaml, .yml or .json" in error["next_step"]
        assert (scene.operator / "policy/manifest.json").read_bytes() == before

    def test_nothing_to_compile(self, scene):
        ran = scene.bywire("policy", "compile")
        assert (ran.code, "there is no policy in agent-policies/" in ran.out) == (0, True)


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    """The shipped policy, a connected tool that deploys, and the seed's example with a digest that was approved."""
    scene = Scene(tmp_path_factory.mktemp("governed") / "scene").prepared()
    scene.configure(environment="staging", criticality="internal", tier_floor="trivial")
    put(scene, "contracts/deployer.yaml", CONTRACT)
    put(scene, "gateway.yaml", yaml.safe_dump({"version": 1, "upstreams": [UPSTREAM]}))
    owner = yaml.safe_load((scene.operator / "operator.yaml").read_text())["people"][0]["id"]
    environments = [part for name in ("staging", "non-production", "production") for part in ("--environment", name)]
    tools = ["--tool", "deployer.deploy", "--tool", "get_deployment_status"]
    registered = scene.bywire(
        "agents", "register", "agent:deploy-manager", "--owner", owner, "--pattern", "constrained-executor",
        *tools, *environments,
    )  # fmt: skip
    assert registered.code == 0, registered
    policy(scene, REAL + "\nbudgets:\n  per_day: {replica_hours: 1000}\n")
    compiled = scene.bywire("policy", "compile")
    assert compiled.code == 0, compiled
    assert "warning" not in compiled.out
    assert scene.bywire("policy", "list").out.splitlines()[-1].startswith("in force")
    yield scene
    scene.close()


IMAGE = f"registry.example/app@{GOOD}"
ABUSES = [
    ("an unverified image", {"image": f"registry.example/app@{BAD}"}, "image_not_allowed"),
    ("a tag without a digest", {"image": "registry.example/app:latest"}, "image_not_allowed"),
    ("no image", {"image": None}, "image_not_allowed"),
    ("200 replicas", {"replicas": 200}, "max_replicas"),
    ("200 replicas as text", {"replicas": "200"}, "max_replicas"),
    ("a million", {"replicas": 1e6}, "max_replicas"),
    ("another environment", {"env": "dev"}, "environment"),
]


def asking(opened, **changed):
    """A deployment: in staging, of the approved image, at a modest size, unless something is changed."""
    values = {"env": "staging", "image": IMAGE, "replicas": 3} | changed
    values = {name: value for name, value in values.items() if value is not None}
    places = {"staging": "staging", "dev": "non-production"}
    place = opened.operator.service, places.get(values.get("env"), "production")
    return ActionRequest("deployer.deploy", *place, values, f"k{len(str(values))}-{hash(str(values)) % 10**6}")


def call(opened, **changed):
    token = opened.token("agent:deploy-manager", "r")
    return Joined(opened).door.call(token, asking(opened, **changed))


def rules(outcome):
    return {reason.rule for reason in outcome.decision.reasons}


class TestSeed003:
    def test_what_is_within_its_bounds_is_left_to_the_shared_policy(self, governed):
        opened = governed.workspace()
        try:
            outcome = call(opened)
            assert (outcome.decision.effect, rules(outcome)) == (Effect.ALLOW, {"allow.low_risk"})
            debits = [item for item in outcome.decision.obligations if item["kind"] == "debit"]
            assert debits == [
                {
                    "kind": "debit",
                    "unit": "replica_hours",
                    "period": "day",
                    "limit": 1_000_000,
                    "because": "agents.deploy-manager.budget",
                }
            ]
        finally:
            opened.close()

    def test_every_abuse_is_stopped_by_its_rule(self, governed):
        opened = governed.workspace()
        try:
            for said, changed, word in ABUSES:
                outcome = call(opened, **changed)
                assert outcome.status is OutcomeStatus.DENIED, said
                assert f"agents.deploy-manager.{word}" in rules(outcome), (said, rules(outcome))
                fact = next(r.facts for r in outcome.decision.reasons if r.rule.endswith(word))
                assert fact["message"]
                assert fact["next_step"]
        finally:
            opened.close()

    @pytest.mark.parametrize("spelt", ["production", "Production", "prοduction", "prod"])  # noqa: RUF001
    def test_production_needs_a_person_however_it_is_spelt(self, governed, spelt):
        opened = governed.workspace()
        try:
            outcome = call(opened, env=spelt)
            assert outcome.decision.effect is Effect.APPROVAL_NEEDED
            assert {"approval.required", "agents.deploy-manager.approval_needed"} <= rules(outcome)
            # An approval lifts the environment and nothing else.
            assert "agents.deploy-manager.max_replicas" in rules(call(opened, env=spelt, replicas=200))
        finally:
            opened.close()

    def test_what_is_not_listed_is_denied_reads_too(self, governed):
        ran = governed.bywire("call", "get_deployment_status", "--as", "agent:deploy-manager", "--json")
        assert "agents.deploy-manager.tool_not_listed" in ran.out

    def test_the_daily_budget(self, governed):
        opened = governed.workspace()
        try:
            outcome = call(opened, replicas=50)  # 1,200 replica hours
            assert rules(outcome) == {"agents.deploy-manager.budget"}
        finally:
            opened.close()


class TestHistory:
    def test_a_candidate_against_the_record(self, governed, tmp_path):
        opened = governed.workspace()
        try:
            call(opened, replicas=41)
            call(opened, replicas=60)
        finally:
            opened.close()
        same = governed.bywire("policy", "replay", "--since", "1h", "--json")
        assert (same.code, same.json["groups"]) == (0, [])
        assert same.json["decisions"] >= 2
        strict, loose = tmp_path / "strict", tmp_path / "loose"
        for out, most in ((strict, 40), (loose, 100)):
            shutil.copytree(governed.operator / "policy", out)
            module = out / "agents/deploy-manager.rego"
            text = module.read_text().replace('meaning("replicas"), 50', f'meaning("replicas"), {most}')
            module.write_text(text.replace("1000000)", "100000000)") if most == 100 else text)
        tighter = governed.bywire("policy", "replay", "--since", "1h", "--candidate", str(strict), "--json").json
        assert "agents.deploy-manager.max_replicas" in {group["rule"] for group in tighter["groups"]}
        ran = governed.bywire("policy", "replay", "--since", "1h", "--candidate", str(loose))
        assert ran.code == 1
        assert "agents.deploy-manager.max_replicas, agent:deploy-manager, for example #" in ran.out
        assert "replayed" in ran.err
        assert "looser" in ran.out

    @pytest.mark.parametrize("since", ["7", "7w", "-1d", "0d", "d", "7 d"])
    def test_a_period_is_a_number_and_a_unit(self, scene, since):
        refused(scene.bywire("policy", "replay", "--since", since, "--json"), "period_malformed")
        refused(scene.bywire("policy", "shadow", "report", "--since", since, "--json"), "period_malformed")

    def test_a_candidate_that_may_not_decide_replays_nothing(self, scene, tmp_path):
        broken = keep(small(a_rego=RULES + "\nx := time.now_ns()\n"), tmp_path / "broken")
        refused(scene.bywire("policy", "replay", "--candidate", str(broken), "--json"), "policy_lint")

    def test_a_rule_on_trial_is_reported_with_its_threshold(self, governed):
        rule = "agents.deploy-manager.max_replicas"
        begun = governed.bywire(
            "policy", "shadow", rule, "--as", "oncall", "--days", "7", "--reason", "tuning", "--json"
        )
        assert begun.code == 0, begun
        opened = governed.workspace()
        try:
            tried = call(opened, replicas=51, note="on trial")
            assert rule not in rules(tried)
        finally:
            opened.close()
        found = governed.bywire("policy", "shadow", "report", "--since", "1h", "--json").json
        assert found["would_block"] >= 1
        assert 0 < found["ratio"] < 1
        assert found["rules"][0]["rule"] == rule
        (suggested,) = [item for item in found["suggestions"] if item["rule"] == rule]
        assert (suggested["principal"], suggested["limit"]) == ("agent:deploy-manager", 50)
        assert suggested["highest"] >= 51
        ran = governed.bywire("policy", "shadow", "report", "--since", "1h")
        assert "\u2587" in ran.out
        assert "99 of 100 asked for at most" in ran.out
        assert governed.bywire("policy", "shadow", "end", rule, "--as", "oncall").code == 0

    def test_nothing_on_trial(self, scene):
        ran = scene.bywire("policy", "shadow", "report")
        assert (ran.code, "0 more would have been refused" in ran.out) == (0, True)
