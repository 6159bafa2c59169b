"""Attacks with one leaked key, a file, a directory or a database that somebody else can write: nothing is believed."""

import base64
import contextlib
import io
import os
import socket
import sqlite3
import tarfile
import threading

import msgspec
import pytest
from log_double import Tree, keys, numbered
from scene import Scene, refused

from bywire.adapters.backup_files import opened
from bywire.adapters.durable_file import read_regular
from bywire.adapters.sqlite_identity import end_what_it_opened
from bywire.adapters.tile_files import TileFiles
from bywire.adapters.witness_http import HttpWitness
from bywire.audit.coverage import Finding, Mediated, compare
from bywire.identity import tokens
from bywire.identity.session import Session, open_session, request_session
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger.tiles import write_log
from bywire.model.errors import BywireError, ConflictError, EvidenceError, LedgerError
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.model.statement import RECONCILE_EXPLANATION, RECONCILE_FINDING, Statement, subject
from bywire.model.target_change import Serving, TargetChange
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey
from bywire.seal.ssh_wire import SK_ED25519, string
from bywire.wiring import owning, reconciling

LEAVES = numbered(600)
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


# A published directory that somebody else may write to


def publish(place, size, published=()):
    store = TileFiles(place)
    with store.publishing():
        write_log(store, Tree(LEAVES[:size], published), Tree(LEAVES[:size]).note(), keys)


def lead_away(place, victim):
    """Put a link where the directory `place` was."""
    for path in place.rglob("*"):
        if path.is_file():
            path.unlink()
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir()
    place.rmdir()
    place.symlink_to(victim)


@pytest.mark.parametrize("link", ["tile/0/000.p", "tile/0", "tile"])
def test_rule_03_a_link_in_a_published_directory_destroys_no_key(tmp_path, link):
    place, victim = tmp_path / "www", tmp_path / "keys"
    publish(place, 20)
    inside = victim / "tile/0/000.p/x".removeprefix(link).strip("/")
    inside.parent.mkdir(parents=True)
    (inside.parent / "log.pem").write_text("the log's key")
    (inside.parent / "20").write_bytes((place / "tile/0/000.p/20").read_bytes())
    lead_away(place / link, victim)
    before = sorted(victim.rglob("*"))
    with pytest.raises(LedgerError) as caught:
        publish(place, 256, [20])
    assert caught.value.code == "tiles_unavailable"
    assert sorted(victim.rglob("*")) == before


def test_a_strange_file_beside_partial_tiles_stays(tmp_path):
    publish(tmp_path, 20)
    strange = tmp_path / "tile/0/000.p/notes"
    strange.write_text("not ours")
    publish(tmp_path, 256, [20])
    assert [path.name for path in (tmp_path / "tile/0/000.p").iterdir()] == ["notes"]


def test_sweeping_takes_what_a_publisher_left_and_nothing_else(tmp_path):
    place, victim = tmp_path / "www", tmp_path / "victim"
    publish(place, 20)
    victim.mkdir()
    for name in (".new-0123456789abcdef", "kept"):
        (victim / name).write_text("mine")
    (place / "away").symlink_to(victim)
    (place / ".new-0123").mkdir()
    (place / ".new-ideas").write_text("mine")
    publish(place, 30, [20])
    assert sorted(path.name for path in victim.iterdir()) == [".new-0123456789abcdef", "kept"]
    assert (place / ".new-ideas").exists()


def test_a_pipe_is_no_file_whoever_holds_its_other_end(tmp_path):
    place = tmp_path / "pipe"
    os.mkfifo(place)
    with pytest.raises(OSError, match="regular"):
        read_regular(place, 100)
    held = os.open(place, os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="regular"):
            read_regular(place, 100)
    finally:
        os.close(held)


# A hostile witness


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 1" + b"0" * 40 + b"\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello",
        b"Content-Length: 9223372036854775807\r\n\r\nhello",
    ],
)
def test_rule_16_no_number_of_a_witness_stops_a_retreat(answer):
    """Whatever it answers is `witness_unreachable`, which is recorded; anything else would end the command."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            channel, _ = server.accept()
            with channel:
                channel.recv(65_536)
                channel.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with pytest.raises(BywireError) as caught:
                HttpWitness(f"http://127.0.0.1:{server.getsockname()[1]}").latest("log.example")
        finally:
            thread.join()
    assert caught.value.code == "witness_unreachable"


# A backup from somebody else


def archive(place, info, content=b""):
    with tarfile.open(place, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as made:
        made.addfile(info, io.BytesIO(content))
    return place


def member(name, **pax):
    info = tarfile.TarInfo(name)
    info.pax_headers = pax
    return info


def sparse(size):
    name = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "bywire.db"}
    return name | {"GNU.sparse.map": f"{size},0", "GNU.sparse.numblocks": "1", "GNU.sparse.size": str(size)}


@pytest.mark.parametrize(
    "info",
    [member("bywire.db", **sparse(64_000_000)), member("a" * 300), member("a/" * 40 + "b"), member("keys/../../x")],
    ids=["hole", "long", "deep", "outside"],
)
def test_a_small_file_does_not_become_a_large_one(tmp_path, info):
    source, scratch = archive(tmp_path / "backup.tar", info), tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(LedgerError) as caught, opened(source, scratch):
        pytest.fail("it was unpacked")
    assert caught.value.code == "backup_damaged"
    assert not list(scratch.iterdir())


# A leaked key, and the moment of its revocation


class Slow(tokens.TokenVerifier):
    """Between looking at what it remembers and using it, another thread sees the new trust root."""

    meanwhile = None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name == "_verified" and self.__dict__.get("meanwhile"):
            act, self.meanwhile = self.__dict__["meanwhile"], None
            act()
        return found


def test_rule_25_a_token_does_not_survive_its_key_in_the_cache_of_another_thread():
    key, other = SigningKey.from_seed(b"1" * 32), SigningKey.from_seed(b"2" * 32)
    listed = [
        TrustedKey(one.key_id, KeyRole.TOKEN, tokens.TOKEN_ISSUER, one.public.raw_public.hex()) for one in (key, other)
    ]
    before = TrustRoot(1, "log.example", tuple(listed))
    after = before.retired({key.key_id: 5})
    session = Session("se-1", Principal(PLANNER, PrincipalKind.AGENT), "run", workspace="log.example")
    leaked, good = (
        tokens.issue(session, one, now_ms=0, lifetime_seconds=900, jti="j") for one in (key, other)
    )  # fmt: skip
    now = [before]
    verifier = Slow(lambda: now[0], b"w" * 32)
    verifier.session_of(good, 0)

    def revoked():
        now[0] = after
        verifier.session_of(good, 0)

    verifier.meanwhile = revoked
    with contextlib.suppress(EvidenceError):
        verifier.session_of(leaked, 0)  # asked before the revocation: either answer is right
    with pytest.raises(EvidenceError) as caught:
        verifier.session_of(leaked, 1)
    assert caught.value.code == "token_key"


def test_rule_11_a_session_asked_for_before_the_revocation_is_not_opened_after_it(scene, workspace):
    key, now_ms = workspace.keys.load(KeyRole.AGENT, PLANNER), workspace.clock.now_ms()
    request = request_session(PLANNER, "run", "nonce", now_ms, key, workspace=workspace.trust.origin)
    session, token = open_session(request, workspace.trust, now_ms, workspace.workspace_key)
    assert scene.bywire("agents", "revoke", "planner", "--reason", "leaked").code == 0
    with pytest.raises(EvidenceError) as caught:
        workspace.state.open_session(session)
    assert caught.value.code == "session_refused"
    with pytest.raises(EvidenceError):
        workspace.state.snapshot(workspace.sessions.session_of(token, now_ms), "tiny")


def test_rule_19_what_a_channel_said_ends_with_its_key(workspace):
    key = TrustedKey("c" * 64, KeyRole.CHANNEL, "workload:chat", "d" * 64)

    def work(tx):
        tx.execute(
            "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms,"
            " expires_ms) VALUES ('ap-1', 'a', 'p', x'', 'approved', 1, 0, 1)"
        )
        tx.execute(
            "INSERT INTO verdicts (approval_id, person, verdict, role, key_id, envelope)"
            " VALUES ('ap-1', 'person:oncall', 'approved', 'sre-oncall', ?, x'')",
            (key.key_id,),
        )
        return end_what_it_opened(tx, key, 1)

    assert workspace.writer.run(work) == {"approvals": 1}
    assert workspace.reader.row("SELECT revoked FROM approvals") == (1,)


def test_rule_25_the_log_names_no_key_that_the_trust_root_refuses(scene, tmp_path):
    point = SigningKey.from_seed(b"p" * 32).public.raw_public
    blob = string(SK_ED25519) + string(point) + string(b"webauthn.example")
    file = tmp_path / "id.pub"
    file.write_text(f"{SK_ED25519.decode()} {base64.b64encode(blob).decode()} mallory\n")
    refused(scene.bywire("keys", "trust", "--as", "oncall", "--ssh-public", str(file), "--json"), "trust_invalid")
    assert not [row for row in rows(scene, "SELECT leaf FROM entries") if b"key-change" in row[0]]


# A target and a database that somebody else can write


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
