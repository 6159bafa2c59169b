"""`bywire log` and `bywire witness`: a stranger checks from files, and a workspace behind its witness refuses."""

import contextlib
import json
import shutil
import sqlite3

import pytest
from scene import Scene, approving, refused

from bywire.adapters.witness_state import WitnessState
from bywire.ledger.checkpoint import parse_checkpoint
from bywire.model.errors import LedgerError


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A log of a dozen entries; cloned for each test."""
    scene = Scene(tmp_path_factory.mktemp("waiting") / "scene").prepared()
    grown(scene, 3)
    return scene


@pytest.fixture
def scene(waiting, tmp_path):
    scene = waiting.clone(tmp_path / "scene")
    yield scene
    scene.close()


@pytest.fixture
def trust(scene):
    return str(scene.operator / "trust.json")


def said(ran, code=0):
    assert (ran.code, ran.err) == (code, ""), ran
    return ran.json


def grown(scene, times=1):
    """A few more entries."""
    for _ in range(times):
        assert scene.bywire("stop", "--reason", "drill").code == 0
        assert scene.bywire("resume").code == 0


def size_of(scene):
    return said(scene.bywire("log", "checkpoint", "--json"))["size"]


def witness(scene, *, quorum=1, lag=1_000):
    """A witness in a second directory, named in operator.yaml."""
    place = scene.root / "witness"
    vkey = said(scene.bywire("log", "keys", "--json"))[0]
    made = said(scene.bywire("witness", "init", "--state", str(place), "--name", "w1", "--log", vkey, "--json"))
    configured = [{"name": "w1", "key": made["key"], "directory": str(place)}]
    scene.configure(witnesses=configured, witness_quorum=quorum, witness_lag_entries=lag)
    return place, made["vkey"]


# Files


def test_a_stranger_checks_a_published_log(scene, trust, tmp_path):
    www = tmp_path / "www"
    published = said(scene.bywire("log", "publish", str(www), "--json"))
    grown(scene)
    again = said(scene.bywire("log", "publish", str(www), "--json"))
    assert again["size"] > published["size"]
    report = said(scene.bywire("log", "verify-tiles", str(www), "--trust", trust, "--json"))
    assert (report["ok"], report["size"], report["root"]) == (True, again["size"], again["root"])
    compared = said(scene.bywire("log", "verify-tiles", str(www), "--trust", trust, "--compare", "--json"))
    assert "same" in compared["message"]
    untrusted = said(scene.bywire("log", "verify-tiles", str(www), "--json"), 1)
    assert (untrusted["ok"], untrusted["code"]) == (False, "signer_untrusted")


def test_a_changed_file_is_named(scene, trust, tmp_path):
    www = tmp_path / "www"
    said(scene.bywire("log", "publish", str(www), "--json"))
    bundle = www / f"tile/entries/000.p/{size_of(scene)}"
    data = bytearray(bundle.read_bytes())
    data[30] ^= 1
    bundle.write_bytes(data)
    report = said(scene.bywire("log", "verify-tiles", str(www), "--trust", trust, "--json"), 1)
    assert report["code"] == "tile_changed"
    shown = scene.bywire("log", "verify-tiles", str(www), "--trust", trust)
    assert (shown.code, "refused  tile_changed" in shown.out) == (1, True)


def test_another_workspace_is_not_the_published_log(scene, trust, tmp_path):
    www = tmp_path / "www"
    said(scene.bywire("log", "publish", str(www), "--json"))
    other = Scene(tmp_path / "other").prepared()
    report = said(other.bywire("log", "verify-tiles", str(www), "--trust", trust, "--compare", "--json"), 1)
    assert report["code"] == "log_differs"
    refused(other.bywire("log", "publish", str(www), "--json"), "checkpoint_origin")


def test_the_log_is_not_published_into_the_repository_or_the_operator_directory(scene):
    for place in (scene.repo / "www", scene.operator, scene.operator / "www"):
        refused(scene.bywire("log", "publish", str(place), "--json"), "publish_place")


# Proofs


def test_consistency_is_proved_and_checked_from_files(scene, trust, tmp_path):
    old = scene.bywire("log", "checkpoint").out
    grown(scene, 2)
    first = parse_checkpoint(old).size
    new = scene.bywire("log", "checkpoint").out
    proof = scene.bywire("log", "consistency", "--from", str(first), "--to", str(parse_checkpoint(new).size)).out
    files = {"old": old, "new": new, "proof": proof, "wrong": proof + proof[:45]}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    check = ["log", "verify-consistency", str(tmp_path / "old"), str(tmp_path / "new")]
    good = said(scene.bywire(*check, str(tmp_path / "proof"), "--trust", trust, "--json"))
    assert (good["ok"], good["size1"]) == (True, first)
    wrong = said(scene.bywire(*check, str(tmp_path / "wrong"), "--trust", trust, "--json"), 1)
    assert wrong["code"] == "consistency_invalid"
    assert said(scene.bywire(*check, str(tmp_path / "proof"), "--json"), 1)["code"] == "signer_untrusted"
    backwards = ["log", "verify-consistency", str(tmp_path / "new"), str(tmp_path / "old"), str(tmp_path / "proof")]
    assert said(scene.bywire(*backwards, "--trust", trust, "--json"), 1)["code"] == "consistency_invalid"
    details = said(scene.bywire("log", "consistency", "--from", str(first), "--json"))
    assert details["root_from"] == parse_checkpoint(old).root.hex()


def test_sizes_that_have_no_proof_are_refused(scene):
    for sizes in (["0"], ["5", "--to", "4"], ["999999"], ["1", "--to", "999999"]):
        refused(scene.bywire("log", "consistency", "--from", *sizes, "--json"), "size_invalid")
    refused(scene.bywire("log", "checkpoint", "--size", "999999", "--json"), "not_found")
    newest = size_of(scene)
    assert said(scene.bywire("log", "checkpoint", "--size", str(newest), "--json"))["size"] == newest


def test_an_entry_is_proved_to_other_tools_and_to_ours(scene, trust, tmp_path):
    proof, content = tmp_path / "e.tlog-proof", tmp_path / "e.content"
    said(scene.bywire("log", "prove", "3", "-o", str(proof), "--content", str(content), "--json"))
    assert proof.read_text().startswith("c2sp.org/tlog-proof@v1\nextra ")
    verify = ["audit", "verify", str(proof), "--trust", trust]
    assert said(scene.bywire(*verify, "--json"))["ok"]
    assert said(scene.bywire(*verify, "--content", str(content), "--json"))["ok"]
    content.write_bytes(content.read_bytes() + b" ")
    assert said(scene.bywire(*verify, "--content", str(content), "--json"), 1)["code"] == "content_changed"
    assert said(scene.bywire("audit", "verify", str(proof), "--json"), 1)["code"] == "signer_untrusted"
    refused(scene.bywire("log", "prove", "999999", "-o", str(proof), "--json"), "not_found")


# Witnesses


def test_a_second_directory_remembers_the_log(scene):
    place, _ = witness(scene)
    grown(scene)
    assert [one["code"] for one in said(scene.bywire("witness", "cosign", "--state", str(place), "--json"))] == [""]
    report = said(scene.bywire("log", "witnesses", "--json"))
    assert report["cosigned_size"] > 0
    assert report["witnesses"][0]["problem"] == ""
    assert "answers" in scene.bywire("log", "witnesses").out
    shown = said(scene.bywire("witness", "show", "--state", str(place), "--json"))
    assert list(shown["logs"].values()) == [report["cosigned_size"]]


def test_rule_24_a_whole_operator_directory_restored_from_an_old_copy_is_refused(scene):
    """What the copy of the checkpoint in the directory itself can never notice (RULES 24)."""
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    witness(scene)
    shutil.copytree(scene.operator, scene.root / "backup")
    grown(scene)
    said(scene.bywire("witness", "cosign", "--state", str(scene.root / "witness"), "--json"))
    shutil.rmtree(scene.operator)
    shutil.copytree(scene.root / "backup", scene.operator)
    for command in (("status",), ("deliver", "--goal", "g"), ("resume",)):
        refused(scene.bywire(*command, "--json"), "ledger_truncated")
    verified = scene.bywire("audit", "verify", "--json")
    assert (verified.code, verified.json["fault"]["kind"]) == (1, "entry_missing")


def test_rule_24_a_forked_history_is_refused_by_start_and_by_witness(scene, tmp_path):
    place, _ = witness(scene)
    shutil.copytree(scene.operator, scene.root / "backup")
    grown(scene)
    said(scene.bywire("witness", "cosign", "--state", str(place), "--json"))
    shutil.rmtree(scene.operator)
    shutil.copytree(scene.root / "backup", scene.operator)
    shutil.move(place, tmp_path / "away")  # the witness is not to be seen while history is written anew
    grown(scene, 3)
    shutil.move(tmp_path / "away", place)
    refused(scene.bywire("status", "--json"), "ledger_forked")


def test_rule_25_an_export_carries_the_witness_and_the_policy_comes_from_outside(scene, trust, tmp_path):
    place, vkey = witness(scene)
    assert approving(scene.deliver("g"))
    said(scene.bywire("witness", "cosign", "--state", str(place), "--json"))
    exported, policy = tmp_path / "proof.json", tmp_path / "policy"
    said(scene.bywire("audit", "export", "-o", str(exported), "--json"))
    policy.write_text(f"witness W1 {vkey}\nquorum W1\n")
    verify = ["audit", "verify", str(exported), "--trust", trust, "--json"]
    assert said(scene.bywire(*verify, "--witness-policy", str(policy)))["witnesses"] == ["w1"]
    stranger = said(scene.bywire("witness", "init", "--state", str(tmp_path / "other"), "--name", "w2", "--json"))
    policy.write_text(f"witness W1 {vkey}\nwitness W2 {stranger['vkey']}\ngroup both all W1 W2\nquorum both\n")
    assert said(scene.bywire(*verify, "--witness-policy", str(policy)), 1)["code"] == "witness_quorum"
    policy.write_text("quorum")
    refused(scene.bywire(*verify, "--witness-policy", str(policy)), "witness_policy_invalid")
    www = tmp_path / "www"
    policy.write_text(f"witness W1 {vkey}\nquorum W1\n")
    check = ["log", "verify-tiles", str(www), "--trust", trust, "--witness-policy", str(policy), "--json"]
    grown(scene)
    said(scene.bywire("log", "publish", str(www), "--json"))
    assert said(scene.bywire(*check), 1)["code"] == "witness_quorum"  # the newest checkpoint is not cosigned yet
    said(scene.bywire("witness", "cosign", "--state", str(place), "--json"))
    said(scene.bywire("log", "publish", str(www), "--json"))
    assert said(scene.bywire(*check))["witnesses"] == ["w1"]


def test_a_witness_that_is_away_stops_nothing_but_is_overdue_in_time(scene):
    place, _ = witness(scene, lag=1)
    shutil.rmtree(place)
    grown(scene)
    report = said(scene.bywire("log", "witnesses", "--json"), 1)
    assert report["overdue"]
    assert "witness_unreachable" in report["witnesses"][0]["problem"]
    assert "overdue" in scene.bywire("log", "witnesses").out
    assert said(scene.bywire("status", "--json"))["stops"] == []


def test_nothing_new_is_exposed_while_witnesses_are_overdue_and_all_is_well_when_they_are_back(scene):
    place, _ = witness(scene, lag=1)
    grown(scene)
    opened = scene.workspace()
    try:
        with pytest.raises(LedgerError) as overdue:
            opened.require_witnessed()
        assert overdue.value.code == "witness_overdue"
        said(scene.bywire("witness", "cosign", "--state", str(place), "--json"))
        opened.require_witnessed()
    finally:
        opened.close()


def test_without_witnesses_it_says_so(scene):
    assert "no witnesses" in scene.bywire("log", "witnesses").out


def test_a_witness_learns_a_log_later_and_refuses_strangers(scene, tmp_path):
    state = str(tmp_path / "w")
    said(scene.bywire("witness", "init", "--state", state, "--name", "w1", "--json"))
    assert "witness trust" in scene.bywire("witness", "show", "--state", state).out
    refused(scene.bywire("witness", "trust", "--state", state, "noise", "--json"), "vkey_invalid")
    vkey = scene.bywire("log", "keys").out.strip()
    assert list(said(scene.bywire("witness", "trust", "--state", state, vkey, "--json"))["logs"].values()) == [0]
    assert "nothing new" in scene.bywire("witness", "cosign", "--state", state).out
    refused(scene.bywire("witness", "show", "--state", str(tmp_path / "none"), "--json"), "witness_missing")
    refused(scene.bywire("witness", "serve", "--state", state, "--listen", "0.0.0.0:1", "--json"), "usage")


def test_a_refused_request_is_said_to_the_witness(scene):
    place, _ = witness(scene)
    grown(scene)
    (request,) = (place / "inbox").iterdir()
    request.write_text("old 0\nnoise")
    ran = scene.bywire("witness", "cosign", "--state", str(place))
    assert (ran.code, "refused" in ran.out) == (1, True)
    assert set(WitnessState(place).sizes().values()) == {0}
    assert json.loads((place / "witness.json").read_text())["name"] == "w1"
