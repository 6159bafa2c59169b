"""Attacks with one leaked key, a file, a directory or a database that somebody else can write: nothing is believed."""

import base64
import contextlib
import io
import os
import socket
import sqlite3
import tarfile
import threading

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from log_double import LOG, ORIGIN, Tree, keys, numbered
from scene import Scene, refused

from bywire.adapters.backup_files import opened
from bywire.adapters.durable_file import read_regular
from bywire.adapters.sqlite_database import compact
from bywire.adapters.sqlite_identity import end_what_it_opened
from bywire.adapters.tile_files import TileFiles
from bywire.adapters.witness_http import HttpWitness
from bywire.adapters.witness_state import create_witness, trust_log
from bywire.identity import tokens
from bywire.identity.session import Session, open_session, request_session
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger.checkpoint import ED25519
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.retention import DAY_MS, iso_day
from bywire.ledger.tiles import write_log
from bywire.ledger.vkey import format_vkey
from bywire.ledger.witness import AddCheckpoint, Refusal, render_request
from bywire.model.errors import BywireError, ConflictError, EvidenceError, LedgerError
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.seal import jcs
from bywire.seal.keys import SigningKey, verify_key
from bywire.seal.ssh_wire import SK_ED25519, string
from bywire.wiring.key_changes import replace_workspace_key
from bywire.wiring.publishing import publish_log

LEAVES = numbered(600)
PLANNER = "agent:planner"


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
    """When it has looked `looks` times at what it remembers, another thread sees the new trust root."""

    looks, meanwhile = 0, None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name == "_verified" and self.looks:
            self.looks -= 1
            if not self.looks:
                self.meanwhile()
        return found


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_rule_25_a_token_does_not_survive_its_key_in_the_cache_of_another_thread(looks):
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

    verifier.meanwhile, verifier.looks = revoked, looks
    with contextlib.suppress(EvidenceError):
        verifier.session_of(leaked, 0)  # asked before the revocation: either answer is right
    verifier.looks, now[0] = 0, after
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


WEAK = [
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "00" * 32,
    "ec" + "ff" * 30 + "7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ee" + "ff" * 30 + "7f",  # a second spelling of the first
]


@pytest.mark.parametrize("public", WEAK)
def test_rule_18_what_everybody_can_sign_for_is_no_key(public):
    anybody = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    forged = 0
    for number in range(64):
        with contextlib.suppress(InvalidSignature):
            anybody.verify(bytes.fromhex("01" + "00" * 63), b"approved %d" % number)
            forged += 1
    assert forged
    with pytest.raises(EvidenceError) as caught:
        verify_key(public)
    assert caught.value.code == "key_invalid"


def test_rule_24_a_witness_lets_go_of_a_log_key_that_was_replaced(tmp_path):
    log, evil = Tree(LEAVES[:60]), Tree([*LEAVES[:20], *numbered(60, b"evil")])
    new, home = SigningKey.from_seed(b"n" * 32), tmp_path / "witness"

    def asked(tree, size, key):
        note = tree.note(size, key)
        return render_request(AddCheckpoint(old_size=20, proof=tree.consistency(20, size), note=note))

    first = AddCheckpoint(old_size=0, proof=(), note=log.note(20))
    assert isinstance(create_witness(home, "w.example", [vkey(LOG)]).add(render_request(first)), str)
    witness = trust_log(home, vkey(new), only=True)
    refusal = witness.add(asked(evil, 21, LOG))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "checkpoint_unsigned"
    assert isinstance(witness.add(asked(log, 30, new)), str)


def vkey(key):
    return format_vkey(ORIGIN, key.public, ED25519)


def rows(scene, sql, *values):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection, connection:
        return connection.execute(sql, values).fetchall()


def test_rule_26_an_erasure_does_not_end_well_while_what_it_erased_is_still_there(scene, workspace):
    def deleted(tx):
        tx.execute("CREATE TABLE t (says TEXT)")
        tx.execute("INSERT INTO t VALUES ('alice was here')")

    workspace.writer.run(deleted)
    workspace.writer.run(lambda tx: tx.execute("DELETE FROM t"))
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        with pytest.raises(ConflictError) as caught:
            compact(scene.operator / "bywire.db")
    assert caught.value.code == "database_busy"
    compact(scene.operator / "bywire.db")
    assert not [path for path in scene.operator.glob("bywire.db*") if b"alice was here" in path.read_bytes()]


def append(workspace, kind, text):
    record = jcs.canonical({"says": text})
    leaf = leaf_bytes(record_entry(kind, workspace.clock.now_ms() - 40 * DAY_MS, "dl-1", record))
    workspace.writer.run(lambda tx: tx.append(leaf, [record]))


def test_rule_26_what_is_kept_is_not_sealed_under_a_key_that_is_to_be_destroyed_again(scene, workspace):
    for kind, text in (("plan", "shared"), ("decision", "shared"), ("decision", "other")):
        append(workspace, kind, text)
    day = iso_day(workspace.clock.now_ms() // DAY_MS - 10)
    asked = ("--before", day, "--as", "oncall", "--reason", "policy", "--yes", "--json")
    for name in ("decisions", "evidence", "decisions"):
        done = scene.bywire("retention", "apply", *asked, "--class", name)
        assert done.code == 0, done
    done = scene.bywire("audit", "verify", "--json")
    assert done.code == 0, done


def test_the_loss_of_the_workspace_key_ends_sessions_wherever_its_replacement_is_cut_short(workspace):
    token = workspace.token(PLANNER, "run")

    def cut(_):
        raise KeyboardInterrupt

    workspace.steps = type("Steps", (), {"reached": lambda _, step: cut(step)})()
    with pytest.raises(KeyboardInterrupt):
        replace_workspace_key(workspace, "leaked")
    with pytest.raises(EvidenceError):
        workspace.state.snapshot(workspace.sessions.session_of(token, 0), "tiny")


def test_rule_03_nothing_is_published_around_what_is_private(scene, workspace):
    with pytest.raises(BywireError) as caught:
        publish_log(workspace, scene.root)
    assert caught.value.code == "publish_place"
