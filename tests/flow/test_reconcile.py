"""What changed without bywire is found, once, and stays open until a person signs for it (RULES 10, 12, 17)."""

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from scene import GREETED, Scene, refused, wait_until

from bywire.model.errors import TargetError
from bywire.model.intent import StartCommand
from bywire.model.principal import KeyRole
from bywire.model.statement import RECONCILE_EXPLANATION, Statement, subject
from bywire.seal.dsse import sign_statement

MANUAL_PATH = Path(__file__).parents[2] / "docs" / "reconcile.md"
ROGUE = "e" * 64
OWN = ("--as", "oncall", "--explanation", "moved by hand while bywire was down")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A workspace with its first release in place, at rest."""
    scene = Scene(tmp_path_factory.mktemp("released") / "scene").prepared().released()
    scene.close()
    (scene.operator / "target" / "target.sock").unlink()  # nothing copies a socket
    return scene


@pytest.fixture
def scene(released, tmp_path):
    """A copy of it, with its target running again: where a release lies is all that a target keeps by path."""
    scene = released.clone(tmp_path / "scene")
    kept = scene.operator / "target" / "target.json"
    kept.write_text(kept.read_text().replace(str(released.root), str(scene.root)))
    opened = scene.workspace()
    opened.target.ensure_running()
    opened.close()
    yield scene
    scene.close()


def reconcile(scene, code):
    ran = scene.bywire("reconcile", "--json")
    assert ran.code == code, ran
    return ran.json


def kinds(report):
    return [item["finding"]["kind"] for item in report["findings"] if not item["owner"]]


def entries(scene):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        return connection.execute("SELECT count(*) FROM entries").fetchone()[0]


def change_database(scene, sql, *values):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection, connection:
        connection.execute(sql, values)


def kill_target(scene):
    place = scene.operator / "target" / "target.pid"
    process = int(place.read_text())
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not _answers(scene))
    place.unlink(missing_ok=True)


def _answers(scene):
    try:
        return scene.target.status()
    except TargetError:
        return None


def by_the_book(scene, heading, *arguments):
    """Run what docs/reconcile.md says for when bywire is down: the block that holds `heading`, in a shell."""
    text = MANUAL_PATH.read_text()
    section = text[text.index("## When bywire is down") :]
    block = next(body for body in re.findall(r"```console\n(.*?)```", section, re.DOTALL) if heading in body)
    lines = [line[2:] for line in block.splitlines() if line[:2] in {"$ ", "> "}]
    end = lines.index("EOF") + 1 if "EOF" in lines else len(lines)
    script = "\n".join(lines[:end])
    interpreter = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{interpreter}{os.pathsep}{os.environ['PATH']}",
        "BYWIRE_OPERATOR_DIR": str(scene.operator),
        "HOME": str(scene.root),
    }
    script += "".join(f"\n{shlex.join(argument)}" for argument in arguments)
    said = scene.root / "said"  # a file: what is started in the background keeps a pipe open
    with said.open("w") as output:
        done = subprocess.run(
            ["bash", "-ec", script], cwd=scene.root, env=environment, stdout=output, stderr=output, timeout=60
        )
    assert done.returncode == 0, said.read_text()


def test_rule_17_a_change_by_the_manual_path_is_found_once_and_wants_an_owner(scene):
    assert reconcile(scene, 0)["findings"] == []
    kill_target(scene)
    by_the_book(scene, "local_target --detach")
    wait_until(lambda: _answers(scene) and scene.target.status()["stable"]["alive"])
    before = scene.target.status()["version"]
    by_the_book(scene, "ask.py", ["python3", "ask.py", "retreat"])

    found = reconcile(scene, 1)
    assert kinds(found) == ["out_of_band_change"]
    (item,) = found["findings"]
    assert (item["finding"]["facts"]["verb"], item["finding"]["facts"]["version"]) == ("retreat", before + 1)
    assert item["finding"]["facts"]["key"] == f"by-hand-{before}"
    assert item["finding"]["id"] in item["finding"]["next_step"]
    coverage = found["coverage"]
    assert (coverage["changes"], coverage["mediated"], coverage["unexplained"]) == (before + 1, before, 1)
    size = entries(scene)
    again = reconcile(scene, 1)
    assert (again["new"], again["findings"], entries(scene)) == ([], found["findings"], size)
    shown = scene.bywire("status")
    assert "1 change without bywire" in shown.out
    assert "bywire reconcile" in shown.out

    name = item["finding"]["id"]
    owned = scene.bywire("reconcile", "own", name, *OWN, "--json")
    assert owned.code == 0, owned
    assert owned.json["owner"] == "person:oncall"
    after = reconcile(scene, 0)
    assert after["findings"][0]["explanation"] == OWN[-1]
    assert after["coverage"]["unexplained"] == 1  # an explanation does not make it mediated
    assert refused(scene.bywire("reconcile", "own", name, *OWN, "--json"), "finding_owned")
    assert "without bywire" not in scene.bywire("status").out
    assert scene.bywire("audit", "verify").code == 0


def test_another_client_that_exposes_its_own_release_is_seen_with_every_step(scene):
    target, status = scene.target, scene.target.status()
    tree = scene.root / "rogue"
    tree.mkdir()
    program = "import http.server as h, os; h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
    handler = "class H(__import__('http.server').server.BaseHTTPRequestHandler):\n"
    handler += " def do_GET(self):\n  self.send_response(200); self.end_headers()\n"
    start = StartCommand(run=("python3", "-c", handler + program), ready="/healthz")
    epoch, version = status["epoch"], status["version"]
    target.stage(
        key="x1", epoch=epoch, expect_version=version, digest=ROGUE, artifact_dir=tree, start=start, env={}
    )  # fmt: skip
    target.set_weight(
        key="x2", epoch=epoch, expect_version=version + 1, digest=ROGUE, weight=30, segments=(), lease_seconds=60
    )
    found = reconcile(scene, 1)
    assert kinds(found) == ["out_of_band_change", "out_of_band_change", "ungated_release"]
    target.promote(key="x3", epoch=epoch, expect_version=version + 2, digest=ROGUE)
    found = reconcile(scene, 1)
    assert kinds(found) == ["out_of_band_change", "out_of_band_change", "ungated_release", "out_of_band_change"]
    assert found["coverage"]["unexplained"] == 3
    said = scene.bywire("reconcile")
    assert said.code == 1
    assert "no gate ever passed it" in said.out


def test_only_a_listed_person_with_their_own_key_can_own_a_finding(scene):
    status = scene.target.status()
    scene.target.retreat(key="by-hand", epoch=status["epoch"], digest_to=status["stable"]["digest"])
    (name,) = reconcile(scene, 1)["new"]
    own = ("reconcile", "own", name, "--json")
    foreign = scene.operator / "keys" / "agent-release-controller.pem"
    foreign = foreign if foreign.exists() else next((scene.operator / "keys").glob("agent*.pem"))
    rows = [
        (("reconcile", "own", "rf-000000000000", "--json", *OWN), "not_found"),
        ((*own, "--as", "mallory", "--explanation", "x"), "person_unknown"),
        ((*own, "--as", "oncall", "--explanation", " "), "explanation_missing"),
        ((*own, "--as", "oncall", "--explanation", "used ghp_" + "a1" * 20), "secret_found"),
        ((*own, *OWN, "--key", str(foreign)), "signature_invalid"),
    ]
    for arguments, code in rows:
        refused(scene.bywire(*arguments), code)
    opened = scene.workspace()
    try:
        item = reconcile_finding(opened, name)
        predicate = {"finding": name, "finding_digest": item, "owner": "person:oncall", "explanation": "all is well"}
        statement = Statement(
            subject=(subject(name, item),), predicateType=RECONCILE_EXPLANATION, predicate=predicate
        )  # fmt: skip
        key = opened.keys.load(KeyRole.AGENT, "agent:release-controller")
        forged = (("reconcile-explanation", sign_statement(statement, key), key.key_id),)
        opened.deliveries.deliver("forged", "reconcile", forged, {}, opened.clock.now_ms())
    finally:
        opened.close()
    assert kinds(reconcile(scene, 1)) == ["out_of_band_change"]


def reconcile_finding(opened, name):
    """The digest that an explanation of the finding must name."""
    from bywire.ledger.entry import parse_leaf

    row = next(row for row in opened.deliveries.statements("reconcile") if row.kind == "reconcile-finding")
    (leaf,) = opened.reader.row("SELECT leaf FROM entries WHERE idx = ?", (row.entry,))
    assert name
    return parse_leaf(bytes(leaf)).subjects[0]


def test_a_crash_between_effect_and_outcome_is_an_open_intent_and_no_finding(scene):
    change_database(
        scene, "UPDATE intents SET state = 'intended', outcome = NULL WHERE tool = 'promote_release'"
    )  # fmt: skip
    found = reconcile(scene, 0)
    assert found["findings"] == []
    (intent,) = found["open_intents"]
    assert (intent["tool"], intent["target"], intent["needs_person"]) == ("promote_release", "did", False)
    settle = ("reconcile", "settle", intent["key"], "--as", "oncall", "--reason", "saw it", "--happened", "yes")
    refused(scene.bywire(*settle, "--json"), "settled_by_recovery")


def test_rule_12_what_only_a_person_can_settle_waits_for_a_person(scene):
    change_database(
        scene,
        "UPDATE intents SET tool = 'send_telegram', state = 'unknown', outcome = NULL, deadline_ms = 1"
        " WHERE tool = 'settle_release'",
    )
    found = reconcile(scene, 1)
    (intent,) = found["open_intents"]
    assert intent["needs_person"]
    assert "bywire reconcile settle" in intent["next_step"]
    settle = ("reconcile", "settle", intent["key"], "--as", "oncall", "--json", "--reason", "asked the post office")
    refused(scene.bywire(*settle[:2], "person|nothing|x", *settle[3:], "--happened", "no"), "not_found")
    done = scene.bywire(*settle, "--happened", "no")
    assert (done.code, done.json["status"]) == (0, "failed"), done
    assert reconcile(scene, 0)["open_intents"] == []
    refused(scene.bywire(*settle, "--happened", "yes"), "not_found")
    assert scene.bywire("audit", "verify").code == 0


def test_a_state_that_was_edited_or_lost_is_found(scene):
    place = scene.operator / "target" / "target.json"
    version = scene.target.status()["version"]
    kill_target(scene)
    state = json.loads(place.read_text())
    place.write_text(json.dumps({**state, "version": version + 2, "last_good": ROGUE}))
    scene.target.ensure_running()
    found = reconcile(scene, 1)
    assert kinds(found) == ["out_of_sight", "state_differs"]
    assert found["findings"][0]["finding"]["facts"] == {"first": version + 1, "last": version + 2}
    assert found["coverage"]["out_of_sight"] == 2
    kill_target(scene)
    place.unlink()
    assert "target_behind" in kinds(reconcile(scene, 1))


def test_a_target_that_does_not_answer_is_an_error_and_nothing_is_recorded(scene):
    size = entries(scene)
    kill_target(scene)
    refused(scene.bywire("reconcile", "--json"), "target_unreachable")
    assert entries(scene) == size


def test_commits_that_no_delivery_carried_are_told_and_merges_of_what_was_are_not(scene):
    assert reconcile(scene, 0)["outside"] is None
    moved = scene.commit("hotfix by hand", GREETED)
    outside = reconcile(scene, 0)["outside"]
    assert (outside["branch"], [one["commit"] for one in outside["commits"]]) == ("main", [moved])
    assert "hotfix by hand" in scene.bywire("reconcile").out
    scene.git("reset", "--quiet", "--hard", "HEAD~1")
    scene.git("switch", "--quiet", "--create", "merged")
    scene.git("commit", "--quiet", "--allow-empty", "--message", "same tree, other commit")
    scene.git("switch", "--quiet", "main")
    scene.git("merge", "--quiet", "--no-ff", "--no-edit", "merged")
    assert reconcile(scene, 0)["outside"] is None
