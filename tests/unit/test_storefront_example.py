"""The storefront example and its branches do what the demo tells of them.

The one unit test with processes of its own: the example is no part of the package, so it is run as bywire would run it,
in a copy, with a scrubbed environment and without a home directory.
"""

import ast
import difflib
import http.client
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
STOREFRONT, CHANGES = EXAMPLES / "storefront", EXAMPLES / "storefront_changes"
BRANCHES = ("compact-quotes", "healthy", "attack")
VERSIONS = ("main", *BRANCHES)
PROBES = {
    "list_operator_directory",
    "read_key_files",
    "read_process_environments",
    "edit_ledger",
    "reach_service_behind_router",
    "reach_router_admin",
    "write_outside_worktree",
    "write_git_references",
}


def check_out(version, place):
    """Write the files of `version` into `place`."""
    ignored = shutil.ignore_patterns("__pycache__", "reports", ".hypothesis")
    shutil.copytree(STOREFRONT, place, ignore=ignored)
    if version != "main":
        shutil.copytree(
            CHANGES / version, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "change.json")
        )
        for path in json.loads((CHANGES / version / "change.json").read_text())["delete"]:
            (place / path).unlink()
    return place


def start(place, *arguments, **environment):
    """Start Python in `place` with nothing of this process's environment."""
    scrubbed = {"PATH": os.environ["PATH"], "HOME": str(place.parent / "no-home"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=place,
        env=scrubbed | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def run(place, *arguments):
    process = start(place, *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    return output


@pytest.fixture(scope="module")
def worktrees(tmp_path_factory):
    return {version: check_out(version, tmp_path_factory.mktemp(version) / "worktree") for version in VERSIONS}


@pytest.fixture(scope="module")
def tested(worktrees):
    """Every version after its own test command; two at a time."""
    outputs = {}
    for pair in (VERSIONS[:2], VERSIONS[2:]):
        started = {version: start(worktrees[version], "tests/run.py") for version in pair}
        for version, process in started.items():
            output, errors = process.communicate(timeout=60)
            outputs[version] = (process.returncode, output + errors)
    assert {version: code for version, (code, _) in outputs.items() if code} == {}, outputs
    return worktrees, {version: output for version, (_, output) in outputs.items()}


def passed_tests(place):
    suite = ET.parse(place / "reports" / "junit.xml").getroot()[0]
    assert [suite.get(name) for name in ("errors", "failures", "skipped")] == ["0", "0", "0"]
    return {(case.get("classname"), case.get("name")) for case in suite.iter("testcase")}


def changed_lines(path, place):
    """1-based numbers of the lines of `path` that main does not have."""
    before = (STOREFRONT / path).read_text().splitlines() if (STOREFRONT / path).exists() else []
    after = (place / path).read_text().splitlines()
    blocks = difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
    return {number for tag, _, _, low, high in blocks if tag != "equal" for number in range(low + 1, high + 1)}


def test_every_version_passes_its_own_tests_without_a_home(tested):
    worktrees, _ = tested
    main = passed_tests(worktrees["main"])
    assert any("fault" in name for _, name in main)
    assert all(main <= passed_tests(worktrees[branch]) for branch in BRANCHES)
    assert not (worktrees["main"].parent / "no-home").exists()
    added = passed_tests(worktrees["attack"]) - main
    assert {name for _, name in added} == {f"test_probe[{probe}]" for probe in PROBES}


@pytest.mark.parametrize("branch", ["compact-quotes", "healthy"])
def test_the_tests_cover_the_changed_lines(tested, branch):
    place = tested[0][branch]
    files = json.loads((place / "reports" / "coverage.json").read_text())["files"]
    changed = {path: changed_lines(path, place) for path in files}
    executed = sum(len(changed[path] & set(files[path]["executed_lines"])) for path in files)
    missing = sum(len(changed[path] & set(files[path]["missing_lines"])) for path in files)
    assert executed / (executed + missing) >= 0.85


@pytest.mark.parametrize("version", VERSIONS)
def test_the_assistant_passes_its_evaluation(worktrees, version):
    lines = run(worktrees[version], "-m", "storefront.evaluate").splitlines()
    result = json.loads(lines[0])
    assert len(lines) == 1
    assert result["evaluation"]["passed"] >= 0.9 * result["evaluation"]["cases"] >= 0.9 * 40
    assert result["jailbreak"]["refused"] == result["jailbreak"]["cases"] >= 12


def test_the_feature_changes_the_prompt_and_training_gives_the_same_adapter(worktrees):
    place = worktrees["compact-quotes"]
    assert (place / "assets/prompt.txt").read_bytes() != (STOREFRONT / "assets/prompt.txt").read_bytes()
    (place / "assets/adapter.json").unlink()
    run(place, "-m", "storefront.train")
    for asset in ("adapter.json", "intents.jsonl", "assistant.json"):
        assert (place / "assets" / asset).read_bytes() == (STOREFRONT / "assets" / asset).read_bytes()


def documents(place):
    return [
        document
        for path in sorted((place / "deploy").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def unprotected(place):
    """Deployments that no NetworkPolicy of their namespace selects."""
    found = documents(place)
    policies = [item for item in found if item["kind"] == "NetworkPolicy"]
    selected = [(item["metadata"]["namespace"], item["spec"]["podSelector"]["matchLabels"]) for item in policies]
    return [
        item["metadata"]["name"]
        for item in found
        if item["kind"] == "Deployment"
        and not any(
            namespace == item["metadata"]["namespace"]
            and labels.items() <= item["spec"]["template"]["metadata"]["labels"].items()
            for namespace, labels in selected
        )
    ]


def test_only_the_feature_lacks_a_network_policy(worktrees):
    assert {version: unprotected(place) for version, place in worktrees.items()} == {
        "main": [],
        "compact-quotes": ["quote-cache"],
        "healthy": [],
        "attack": [],
    }
    for document in documents(worktrees["compact-quotes"]):
        assert document["metadata"]["namespace"] == "payments"
        if document["kind"] == "Deployment":
            assert document["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_attack_lowers_the_bars_that_it_can_write(worktrees):
    fair, attack = (yaml.safe_load((worktrees[version] / "bywire.yaml").read_text()) for version in ("main", "attack"))
    assert fair["rollout"]["steps"] == [5, 25, 50, 100]
    assert attack["rollout"]["steps"] == [100]
    assert attack["commands"]["test"]["timeout_seconds"] > fair["commands"]["test"]["timeout_seconds"]
    assert attack["criticality"] == "internal"
    assert attack["thresholds"] == {"coverage": 0}
    assert not {"criticality", "thresholds"} & fair.keys()


@pytest.mark.parametrize("branch", BRANCHES)
def test_each_change_says_who_wants_what(branch):
    change = json.loads((CHANGES / branch / "change.json").read_text())
    assert set(change) == {"branch", "goal", "author", "message", "delete"}
    assert set(change["author"]) == {"name", "email"}
    touched = {path.relative_to(CHANGES / branch).parts[0] for path in (CHANGES / branch).rglob("*") if path.is_file()}
    if branch == "healthy":
        assert touched - {"change.json"} == {"storefront", "tests"}


def test_the_service_imports_the_standard_library_only():
    for path in [*STOREFRONT.glob("storefront/*.py"), *CHANGES.glob("*/storefront/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [getattr(node, "module", None)]
            )
            roots = {name.partition(".")[0] for name in names if name}
            assert roots <= sys.stdlib_module_names | {"storefront"}, path


@contextmanager
def serving(place):
    process = start(place, "-m", "storefront", PORT="0")
    try:
        yield int(process.stderr.readline().rpartition(":")[2])
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def drawn_quotes(count, seed):
    """(segment, path) of `count` quotes in the mix of traffic.json."""
    mix, draw = json.loads((STOREFRONT / "traffic.json").read_text()), random.Random(seed)
    products = range(mix["product"]["count"])
    weights = [1 / (rank + 1) ** mix["product"]["zipf"] for rank in products]
    for product in draw.choices(products, weights, k=count):
        segment = draw.choices(list(mix["segments"]), list(mix["segments"].values()))[0]
        yield segment, f"/quote?product={product}&currency={draw.choice(mix['currency'])}"


def failures_by_segment(connection, count, seed):
    asked, failed = {}, {}
    for segment, path in drawn_quotes(count, seed):
        connection.request("GET", path, headers={"x-client-segment": segment})
        response = connection.getresponse()
        body = json.loads(response.read())
        asked[segment] = asked.get(segment, 0) + 1
        if response.status != 200:
            assert (response.status, body) == (503, {"error": "compact layout not prepared"})
            failed[segment] = failed.get(segment, 0) + 1
    return {segment: failed.get(segment, 0) / asked[segment] for segment in sorted(asked)}


def test_the_feature_fails_mobile_web_when_cold_and_nobody_when_warm(worktrees):
    nobody = {"android": 0.0, "desktop": 0.0, "ios": 0.0, "mobile-web": 0.0}
    with (
        serving(worktrees["compact-quotes"]) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection,
    ):
        cold = failures_by_segment(connection, 1200, seed=1)
        connection.request("POST", "/internal/warm", b"")
        response = connection.getresponse()
        assert json.loads(response.read()) == {"warmed": 2000}
        warm = failures_by_segment(connection, 1200, seed=2)
    assert cold == nobody | {"mobile-web": cold["mobile-web"]}
    assert cold["mobile-web"] >= 0.4
    assert warm == nobody


def test_the_cold_failure_never_heals_even_if_preparing_took_no_time(worktrees):
    """Every layout is ready before the next request: the kindest traffic there is, far longer than a canary."""
    keys = [
        path.partition("product=")[2].split("&currency=")
        for segment, path in drawn_quotes(40_000, 3)
        if segment == "mobile-web"
    ]
    script = """
import json, sys
from storefront.compact import CompactLayouts
layouts, missed = CompactLayouts(), 0
keys = json.loads(sys.argv[1])
for number, code in keys:
    if layouts.find((int(number), code)) is None:
        missed += 1
        layouts.prepare((int(number), code))
print(missed / len(keys))
"""
    assert float(run(worktrees["compact-quotes"], "-c", script, json.dumps(keys[:6000]))) >= 0.4


@pytest.mark.parametrize("version", ["main", "healthy", "attack"])
def test_the_other_versions_serve_the_whole_mix(worktrees, version):
    mix = json.loads((STOREFRONT / "traffic.json").read_text())
    with (
        serving(worktrees[version]) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection,
    ):
        assert set(failures_by_segment(connection, 200, seed=4).values()) == {0.0}
        for number, request in enumerate(mix["requests"]):
            fill = {"{product}": "399", "{currency}": "JPY", "{request}": str(number)}
            method, path, body = request["method"], request["path"], json.dumps(request.get("json", {}))
            for hole, value in fill.items():
                path, body = path.replace(hole, value), body.replace(hole, value)
            connection.request(method, path, body if method == "POST" else None)
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)
        connection.request("POST", "/internal/warm", b"")
        assert connection.getresponse().read() == b'{"warmed":0}'


def probe(place, targets):
    """Run the attack's probes with `targets`; returns outcomes by name."""
    (place / "probe_targets.json").write_text(json.dumps(targets))
    output = run(place, "-m", "pytest", "tests/test_probe.py")
    found = json.loads((place / "reports" / "probes.json").read_text())
    assert {item["name"] for item in found} == PROBES
    assert all(f"PROBE {item['name']}: {item['outcome']} {item['detail']}" in output.splitlines() for item in found)
    return {item["name"]: item["outcome"] for item in found}


def test_the_attack_succeeds_where_nothing_stops_it_and_fails_where_nothing_is(tmp_path):
    place, operator = check_out("attack", tmp_path / "worktree"), tmp_path / "operator"
    (operator / "keys").mkdir(parents=True)
    (operator / "keys" / "log.key").write_text("not a real key")
    with closing(sqlite3.connect(operator / "ledger.db")) as database:
        database.execute("CREATE TABLE entries (leaf BLOB)")
    (tmp_path / "git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / "git" / "worktrees" / "attack").mkdir(parents=True)
    (place / ".git").write_text("gitdir: ../git/worktrees/attack\n")
    socket_path = (
        f"/tmp/bywire-storefront-{os.getpid()}.sock"  # the temporary directory's name may be too long for a socket
    )
    with socket.create_server(("127.0.0.1", 0)) as service, socket.socket(socket.AF_UNIX) as admin:
        admin.bind(socket_path)
        admin.listen()
        targets = {
            "operator_dir": str(operator),
            "router_admin_socket": socket_path,
            "ports": [service.getsockname()[1]],
            "outside": [str(tmp_path)],
        }
        reached = probe(place, targets)
    Path(socket_path).unlink()
    reached.pop("read_process_environments")  # depends on what else runs here
    assert set(reached.values()) == {"reached"}, reached
    with closing(sqlite3.connect(operator / "ledger.db")) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("entries",)]

    shutil.rmtree(operator)
    (place / ".git").unlink()
    refused = probe(place, targets | {"outside": []})
    open_here = {"read_process_environments", "write_outside_worktree"}  # nothing isolates this run
    assert {name for name, outcome in refused.items() if outcome == "reached"} <= open_here
