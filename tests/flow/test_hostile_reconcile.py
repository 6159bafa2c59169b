"""Attacks on reconciling: a target, a database or a person that would have a change forgotten."""

import contextlib
import sqlite3

import msgspec
import pytest
from scene import Scene

from bywire.audit.coverage import Finding, Mediated, compare
from bywire.model.errors import BywireError, ConflictError, LedgerError
from bywire.model.principal import KeyRole
from bywire.model.statement import RECONCILE_EXPLANATION, RECONCILE_FINDING, Statement, subject
from bywire.model.target_change import Serving, TargetChange
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.wiring import owning, reconciling

PLANNER = "agent:planner"
ROGUE = TargetChange(
    version=7, verb="promote", key="by-hand", epoch=1, at_ms=1_000, stable="e" * 64, canary="", weight=0.0
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("hostile") / "scene").prepared()


@pytest.fixture
def scene(prepared, tmp_path):
    return prepared.clone(tmp_path / "scene")


@pytest.fixture
def workspace(scene):
    opened = scene.workspace()
    for number in range(2):
        opened.record("stop", "workspace", {"number": number})
    yield opened
    opened.close()


def rows(scene, sql, *values):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection, connection:
        return connection.execute(sql, values).fetchall()


@pytest.fixture
def changed(monkeypatch):
    """A target that somebody changed by hand."""
    serving = Serving(version=7, epoch=1, stable=ROGUE.stable)
    found = compare(serving, [ROGUE], [], known=frozenset({ROGUE.stable}), gated=frozenset({ROGUE.stable}), epoch=1)
    found = msgspec.structs.replace(found, findings=tuple(f for f in found.findings if f.kind == "out_of_band_change"))
    monkeypatch.setattr(reconciling, "look", lambda _: found)
    return found.findings[0]


def plant(scene, kind, name, predicate, predicate_type, key, entry):
    """A statement as its table has it, which the log never held."""
    statement = Statement(
        subject=(subject(name, jcs.digest(predicate)),), predicateType=predicate_type, predicate=predicate
    )
    envelope = sign_statement(statement, key)
    digest = sha256_hex(envelope)
    rows(scene, "INSERT INTO blobs (digest, bytes) VALUES (?, ?)", bytes.fromhex(digest), envelope)
    rows(scene, "INSERT INTO delivery_statements VALUES ('reconcile', ?, ?, ?, 1)", entry, kind, digest)


def test_rule_17_a_forged_finding_does_not_stand_in_for_a_real_one(scene, workspace, changed):
    harmless = msgspec.to_builtins(Finding(changed.id, changed.kind, "nothing at all", {}, "-"))
    agent = workspace.keys.load(KeyRole.AGENT, PLANNER)
    plant(scene, "reconcile-finding", changed.id, harmless, RECONCILE_FINDING, agent, 0)
    report = reconciling.reconcile(workspace)
    assert [item.finding.says for item in report.unexplained] == [changed.says]


def test_rule_17_a_finding_is_not_recorded_by_saying_so_in_a_table(scene, workspace, changed):
    rows(scene, "INSERT INTO work VALUES (?, ?)", f"reconcile-finding:{changed.id}", b'{"entries":[0]}')
    with pytest.raises(LedgerError) as caught:
        reconciling.reconcile(workspace)
    assert caught.value.code == "finding_suppressed"


def test_rule_25_a_retired_key_explains_nothing_at_an_index_of_its_choice(scene, workspace, changed):
    reconciling.reconcile(workspace)
    key = workspace.keys.load(KeyRole.APPROVER, "person:oncall")
    assert scene.bywire("keys", "revoke", "person:oncall", "--reason", "leaked").code == 0
    said = {
        "finding": changed.id,
        "finding_digest": jcs.digest(msgspec.to_builtins(changed)),
        "owner": "person:oncall",
        "explanation": "all is well",
    }
    plant(scene, "reconcile-explanation", changed.id, said, RECONCILE_EXPLANATION, key, 0)
    assert [item.finding.id for item in reconciling.reconcile(workspace).unexplained] == [changed.id]


@pytest.mark.parametrize("version", [3, 7])
def test_rule_17_the_key_of_an_earlier_change_explains_no_second_one(version):
    intent = Mediated("k", ROGUE.key, "promote_release", "committed", version - 1, version, {"artifact": ROGUE.stable})
    history = [msgspec.structs.replace(ROGUE, version=3), ROGUE]
    serving = Serving(version=7, epoch=1, stable=ROGUE.stable)
    served = frozenset({ROGUE.stable})
    found = compare(serving, history, [intent], known=served, gated=served, epoch=1).findings
    wrong = [item.facts["version"] for item in found if item.kind == "out_of_band_change"]
    assert wrong == [{3: 7, 7: 3}[version]]


class TestAnswering:
    """Only which intent waits, and what is told to the door, is made up here."""

    @pytest.fixture
    def waiting(self, monkeypatch):
        row = type("Row", (), {"key": "k", "action_digest": "a" * 64, "decision": None})()
        settled = []

        class Joined:
            def __init__(self, _):
                self.door = self

            def settle(self, row, outcome, before, grant):
                settled.append(outcome)
                return outcome

        monkeypatch.setattr(owning, "Joined", Joined)
        monkeypatch.setattr(owning, "_waiting", lambda *_: row)
        return settled

    def test_rule_12_the_second_of_two_opposite_answers_settles_nothing(self, workspace, waiting):
        who = owning.Answering("oncall", lambda: b"")
        owning.settle(workspace, "k", who, "asked them", happened=False)
        with pytest.raises(ConflictError) as caught:
            owning.settle(workspace, "k", who, "I saw it", happened=True)
        assert caught.value.code == "settled_otherwise"
        assert [str(outcome.status) for outcome in waiting] == ["failed"]

    def test_rule_12_who_holds_no_role_answers_for_nothing(self, scene, waiting):
        scene.configure(people=[{"id": "person:oncall"}, {"id": "person:dana", "roles": ["sre-oncall"]}])
        opened = scene.workspace()
        try:
            with pytest.raises(BywireError) as caught:
                owning.settle(opened, "k", owning.Answering("oncall", lambda: b""), "I say so", happened=True)
        finally:
            opened.close()
        assert caught.value.code == "person_role"
        assert not waiting
