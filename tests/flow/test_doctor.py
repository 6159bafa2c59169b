"""`bywire doctor` on made-up hosts: each way around the door is named with its fix, no value of a secret is, nothing is
tried that was not asked for, the checklists are answered by trying, and all of it never says that all is well."""

import json
import os
import re
import socket
import stat

import pytest
from scene import Scene

from bywire.adapters import surroundings
from bywire.adapters.credentials_around import credentials_around
from bywire.adapters.host_around import host_around
from bywire.adapters.local_target_client import LocalTarget
from bywire.adapters.surroundings import Surroundings, WayAround, host
from bywire.cli import doctor as command
from bywire.gateway.contract import Catalogue, Contract, parameters
from bywire.wiring import readiness
from bywire.wiring.examining import Examination
from bywire.wiring.readiness import Answer, Readiness

SECRET = "hunter2-hunter2"
WORD = re.compile("secure", re.IGNORECASE)
FILES = {
    ".kube/config": "kubeconfig",
    ".aws/credentials": "cloud credentials (AWS)",
    ".config/gcloud/application_default_credentials.json": "cloud credentials (GCP)",
    ".azure/msal_token_cache.json": "cloud credentials (Azure)",
    ".terraform.d/credentials.tfrc.json": "cloud credentials",
    ".vault-token": "vault token",
    ".config/argocd/config": "deployment tool login",
    ".config/gh/hosts.yml": "code host login",
    ".git-credentials": "git credentials",
    ".ssh/id_ed25519": "SSH key",
    ".ssh/deploy.pem": "SSH key",
}
MARKED = {
    ".docker/config.json": ("registry credentials", '{"auths": {"r": {"auth": "%s"}}}', '{"auths": {}}'),
    ".npmrc": ("package publishing token", "//r/:_authToken=%s", "save-exact=true"),
    ".pypirc": ("package publishing token", "[r]\npassword = %s", "[distutils]"),
    ".netrc": ("netrc", "machine x login y password %s", "machine x"),
    ".gitconfig": ("git credential helper", "[credential]\n\thelper = store\n# %s", "[user]\n\tname = x\n"),
}


def write(place, text):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.fixture
def around(tmp_path):
    """A host with nothing on it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "root").mkdir()
    return Surroundings(home=tmp_path / "home", environment={}, root=tmp_path / "root", uid=1000, process=1)


def changed(around, **fields):
    plain = {name: getattr(around, name) for name in Surroundings.__struct_fields__}
    return Surroundings(**{**plain, **fields})


def whats(ways):
    return [way.what for way in ways]


def quiet_host(around, tmp_path):
    (tmp_path / "operator").mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "repo").mkdir(mode=0o700, exist_ok=True)
    return lambda host=around: host_around(host, tmp_path / "operator", tmp_path / "repo")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GITHUB_TOKEN", SECRET, True),
        ("CI_JOB_TOKEN", SECRET, True),
        ("AWS_SECRET_ACCESS_KEY", SECRET, True),
        ("AWS_PROFILE", "production", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/x", True),
        ("DB_PASSWORD", SECRET, True),
        ("STRIPE_API_KEY", SECRET, True),
        ("AZURE_DEVOPS_EXT_PAT", SECRET, True),
        ("DATABASE_URL", f"postgres://app:{SECRET}@db/x", True),
        ("DATABASE_URL", "postgres://db/x", False),
        ("GITHUB_TOKEN", "", False),
        ("AWS_REGION", "eu-west-1", False),
        ("MAX_OUTPUT_TOKENS", "4096", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("PATH", "/bin", False),
    ],
)
def test_environment_variables_are_named_and_their_values_never(around, name, value, told):
    ways = credentials_around(changed(around, environment={name: value}))
    assert [way.where for way in ways] == ([name] if told else [])
    assert SECRET not in repr(ways)
    assert all(way.fix for way in ways)


@pytest.mark.parametrize(("place", "what"), FILES.items())
def test_a_credential_file_is_named(around, place, what):
    write(around.home / place, SECRET)
    ways = credentials_around(around)
    assert [(way.what, way.where) for way in ways] == [(what, f"~/{place}")]
    assert SECRET not in repr(ways)


@pytest.mark.parametrize(("place", "rest"), MARKED.items())
def test_a_file_that_may_hold_none_counts_only_when_it_does(around, place, rest):
    what, with_secret, without = rest
    write(around.home / place, without)
    assert credentials_around(around) == ()
    write(around.home / place, with_secret % SECRET)
    ways = credentials_around(around)
    assert whats(ways) == [what]
    assert SECRET not in repr(ways)


def test_agents_clusters_and_remotes(around):
    write(around.root / "var/run/secrets/kubernetes.io/serviceaccount/token", SECRET)
    (around.home / ".ssh").mkdir()
    write(around.home / ".ssh/id_rsa.pub", "public")
    here = changed(around, environment={"SSH_AUTH_SOCK": "/tmp/agent", "KUBECONFIG": "/x"})
    config = f'[remote "origin"]\n\turl = https://ci:{SECRET}@example.test/x.git\n[credential]\n\thelper = cache\n'
    ways = credentials_around(here, config)
    assert whats(ways) == [
        "kubeconfig", "in-cluster service account", "SSH agent", "git credential helper",
        "password in a git remote's address",
    ]  # fmt: skip
    assert SECRET not in repr(ways)
    (around.root / "var/run/secrets/kubernetes.io/serviceaccount/token").unlink()
    assert credentials_around(around, '[remote "origin"]\n\turl = https://example.test/x.git\n') == ()


def test_engines_groups_and_modes(around, tmp_path, monkeypatch):
    look = quiet_host(around, tmp_path)
    assert look() == ()
    engine = around.root / "run/containerd/containerd.sock"
    engine.parent.mkdir(parents=True)
    monkeypatch.chdir(engine.parent)  # a socket's address has room for about a hundred characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(engine.name)
        here = changed(around, groups=frozenset({"docker", "wheel", "users"}), environment={"DOCKER_HOST": "tcp://x"})
        assert whats(look(here)) == [
            "container engine socket", "container engine elsewhere", "member of docker", "sudo"
        ]  # fmt: skip
        engine.unlink()
    policy = tmp_path / "operator" / "policy"
    write(policy / "action.rego", "package x")
    (policy / "action.rego").chmod(0o666)
    (tmp_path / "repo").chmod(0o777)
    found = look()
    assert whats(found) == ["policy that others may write", "directory that everybody may write"]
    assert found[0].fix.endswith("policy/action.rego")
    (tmp_path / "repo").chmod(0o777 | stat.S_ISVTX)
    assert whats(look()) == ["policy that others may write"]


def test_other_processes_of_the_same_user_are_counted_by_name(around, tmp_path):
    def process(number, parent, name, uid=1000, command=b"x"):
        place = around.root / "proc" / str(number)
        write(place / "status", f"Name:\t{name}\nPPid:\t{parent}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (place / "cmdline").write_bytes(command)

    process(1, 0, "init", uid=0)
    process(50, 1, "shell")
    process(51, 50, "bywire")
    look = quiet_host(around, tmp_path)
    assert look(changed(around, process=51)) == ()
    process(60, 1, "agent")
    process(61, 1, "kernel", command=b"")
    process(62, 1, "stranger", uid=1001)
    (way,) = look(changed(around, process=51))
    assert way.where == "1 other processes of this user run now (agent)"


def test_nothing_is_tried_that_was_not_asked_for(around, tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("the doctor surprised somebody")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(surroundings.subprocess, "run", refuse)
    assert (host().connects, host().sudoes) == (None, None)
    look = quiet_host(around, tmp_path)
    write(around.root / "proc/net/route", "Iface\tDestination\neth0\t00000000\t0100000A\neth0\tFEA9FEA9\t0\n")
    write(around.root / "sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    told = look()
    assert whats(told) == ["cloud metadata", "open egress"]
    assert all("--probe" in way.where for way in told)
    look(host())


def test_a_probe_says_what_answered(around, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert host(probe=True).connects("127.0.0.1", port)
    assert not host(probe=True).connects("127.0.0.1", port)
    look = quiet_host(around, tmp_path)
    asked = []
    reaches = changed(around, connects=lambda *to: not asked.append(to), sudoes=lambda: True)
    assert whats(look(reaches)) == ["cloud metadata", "cloud metadata", "open egress", "sudo without a password"]
    assert [address for address, _ in asked] == ["169.254.169.254", "fd00:ec2::254", "1.1.1.1"]
    assert look(changed(around, connects=lambda *_: False, sudoes=lambda: False)) == ()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("prepared") / "scene").prepared()


@pytest.fixture
def scene(prepared, tmp_path, around, monkeypatch):
    monkeypatch.setattr(command, "host", lambda *, probe: around)
    scene = prepared.clone(tmp_path / "scene")
    yield scene
    scene.close()


def answers(scene):
    ran = scene.bywire("doctor", "--json")
    assert ran.err == ""
    report = ran.json
    return {item["item"]: item for item in (*report["readiness"], *report["practical"])}


def test_every_section_is_there_and_nothing_says_that_all_is_well(scene, tmp_path):
    shown, report = scene.bywire("doctor"), scene.bywire("doctor", "--json")
    assert (shown.code, report.code) == (0, 0), shown
    lines = shown.out.splitlines()
    titles = ["works", "limits", "ways around the door", "readiness", "practical checklist"]
    assert [line for line in lines if line in titles] == titles
    assert len(report.json["readiness"]) == 13
    assert len(report.json["practical"]) == 8
    assert report.json["ways_around"] == []
    for section in ("readiness", "practical"):
        for item in report.json[section]:
            assert item["answer"] in {"yes", "partly", "no"}
            assert item["why"]
            assert item["fix"] or item["answer"] == "yes"
    assert not WORD.search(shown.out + report.out)


def test_it_never_says_so_with_everything_green(monkeypatch, scene):
    green = Examination((), (), tuple(Readiness(f"item {n}", Answer.YES, "tried") for n in range(13)), (), ())
    monkeypatch.setattr(command, "examine", lambda *_: green)
    for arguments in ((), ("--json",), ("--probe",)):
        ran = scene.bywire("doctor", *arguments)
        assert ran.code == 0
        assert not WORD.search(ran.out)
    assert "none was seen from here" in scene.bywire("doctor").out


def test_a_rehearsed_stop_leaves_nothing_behind(scene):
    assert answers(scene)["human override and kill switch exist"]["answer"] == "yes"
    assert scene.bywire("status", "--json").json["stops"] == []
    opened = scene.workspace()
    try:
        assert opened.ledger.entry_count() == 1  # the policy that became active
        assert opened.reader.rows("SELECT count(*) FROM stops") == [(0,)]
    finally:
        opened.close()


def test_a_policy_that_allows_what_it_knows_nothing_about_is_told(scene):
    place = scene.operator / "policy"
    reason = '{"rule": "allow.table", "facts": {}, "hard": false}'
    document = f'{{"effect": "allow", "reasons": [{reason}], "obligations": [], "tier": "low", "required": {{}}}}'
    (place / "action.rego").write_text(f"package bywire.action\n\ndecision := {document}\n")
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**manifest, "revision": manifest["revision"] + 1}))
    told = answers(scene)["every production write needs a policy decision"]
    assert told["answer"] == "no", told


def test_a_tool_that_is_classified_two_ways_is_told(scene, monkeypatch):
    odd = Contract("get_deployment_status", "repo_write", "target", parameters({}), read=True)
    monkeypatch.setattr(readiness, "CATALOGUE", Catalogue((odd,)))
    told = answers(scene)["every tool has a read or write classification"]
    assert (told["answer"], "get_deployment_status" in told["why"]) == ("no", True)


def test_a_secret_in_the_ledger_is_told(scene):
    opened = scene.workspace()
    opened.record("stop", "workspace", {"reason": "AKIA" + "Q7" * 8})
    opened.close()
    told = answers(scene)["secrets are never persisted to memory or traces"]
    assert (told["answer"], "aws_key" in told["why"]) == ("no", True)


def test_limits_that_were_loosened_are_told(scene):
    scene.configure(limits={"jailbreak_refused_ratio": 0.9, "provenance_level": 0})
    told = answers(scene)
    assert told["evaluations include prompt injection and unsafe rollback"]["answer"] == "no"
    assert told["provenance: attestations are required"]["answer"] == "no"


def test_the_inventory_is_that_of_the_protected_branch(scene, around):
    files = {
        ".github/workflows/ship.yml": "run: kubectl apply -f x\n",
        "Makefile": "deploy:\n\tbywire deliver --goal x\n",
    }
    scene.commit("pipelines", files)
    scene.commit("a branch", {"Jenkinsfile": "sh 'terraform apply'"}, branch="feature")
    report = scene.bywire("doctor", "--json").json
    found = [(point["path"], point["tier"], point["through_bywire"]) for point in report["inventory"]]
    assert found == [(".github/workflows/ship.yml", "high", "no"), ("Makefile", "high", "yes")]
    told = answers(scene)
    assert told["GitOps and platform approvals are not bypassed"]["answer"] == "partly"
    assert "ship.yml" in told["GitOps and platform approvals are not bypassed"]["why"]
    write(around.home / ".vault-token", SECRET)
    assert answers(scene)["access: no long-lived keys within reach"]["answer"] == "no"


def test_a_lost_artifact_and_a_change_by_hand_are_told(scene, monkeypatch):
    scene.released()
    status = scene.target.status()
    stable = status["stable"]["digest"]
    assert scene.bywire("doctor").code == 0
    scene.target.retreat(key="by-hand", epoch=status["epoch"], digest_to=stable)
    ran = scene.bywire("doctor", "--json")
    assert ran.code == 1
    broken = [check for check in ran.json["checks"] if check["health"] == "broken"]
    assert [(check["name"], check["fix"]) for check in broken] == [("reconcile", "bywire reconcile")]
    assert {way["what"] for way in ran.json["ways_around"]} == {"target's control socket"}
    assert "broken" in scene.bywire("doctor").out.splitlines()
    asked = LocalTarget.status
    monkeypatch.setattr(LocalTarget, "status", lambda target: {**asked(target), "last_good": stable})
    assert answers(scene)["rollback readiness is checked explicitly"]["answer"] == "yes"
    packed = next(scene.root.glob(f"operator-releases/{stable}.tar"))
    packed.write_bytes(packed.read_bytes() + b"x")
    assert answers(scene)["rollback readiness is checked explicitly"]["answer"] == "no"


def test_a_way_around_is_printed_as_text_and_never_as_markup(scene, monkeypatch):
    way = WayAround("token in the environment", "[bold]X[/]\x1b[2J_TOKEN", "unset it")
    monkeypatch.setattr(command, "examine", lambda *_: Examination((), (way,), (), (), ()))
    out = scene.bywire("doctor").out
    assert "\x1b" not in out
    assert "[bold]X[/]" in out


def test_a_host_without_a_home_or_processes_is_looked_at_all_the_same(tmp_path):
    bare = Surroundings(home=tmp_path / "none", environment={}, root=tmp_path / "none", uid=os.getuid(), process=1)
    assert credentials_around(bare) == ()
    assert host_around(bare, tmp_path / "operator", tmp_path / "repo") == ()
