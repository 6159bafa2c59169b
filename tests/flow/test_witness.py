"""A witness as it runs: durable state, concurrent requests, HTTP with its limits, an inbox; and the log's side."""

import datetime as dt
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from log_double import LOG, ORIGIN, STRANGER, TRUST, Tree, numbered

from bywire.adapters import witness_state
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.witness_http import HttpWitness
from bywire.adapters.witness_memory import WitnessMemory
from bywire.adapters.witness_state import WitnessState, create_witness, trust_log
from bywire.ledger.checkpoint import COSIGNATURE, ED25519, cosignatures, parse_checkpoint, render_note
from bywire.ledger.vkey import format_vkey, parse_vkey
from bywire.ledger.witness import AddCheckpoint, Answer, Refusal, origin_hash, render_request
from bywire.model.errors import BywireError, ConfigError, EvidenceError, LedgerError
from bywire.model.operator import Witness, Witnessing
from bywire.wiring.witness_program import cosign_inbox
from bywire.wiring.witnessing import RETRY_MS, Witnesses

TREE = Tree(numbered(60))
FORK = Tree([*numbered(5), *numbered(60, b"fork")[5:]])
VKEY = format_vkey(ORIGIN, LOG.public, ED25519)
NAME = "witness.example/w1"


def request(size, old=0, tree=TREE):
    return render_request(AddCheckpoint(old_size=old, proof=tree.consistency(old, size), note=tree.note(size)))


@pytest.fixture
def home(tmp_path):
    create_witness(tmp_path / "witness", NAME, [VKEY])
    return tmp_path / "witness"


def status(answer):
    return answer.status if isinstance(answer, Refusal) else 200


def kept(home):
    data = (home / "logs" / origin_hash(ORIGIN) / "checkpoint").read_text()
    return parse_checkpoint(data)


# The state of a witness


def test_a_witness_remembers_across_restarts(home):
    assert status(WitnessState(home).add(request(9))) == 200
    again = WitnessState(home)
    assert again.sizes() == {ORIGIN: 9}
    assert status(again.add(request(9))) == 409
    assert status(again.add(request(20, 9, FORK))) == 422
    assert status(again.add(request(20, 9))) == 200
    assert kept(home).size == 20


def test_the_kept_note_carries_the_log_and_the_witness_and_nobody_else(home):
    state = WitnessState(home)
    line = state.add(request(9))
    checkpoint = kept(home)
    assert [one.name for one in checkpoint.signatures] == [ORIGIN, NAME]
    named = parse_vkey(state.vkey, COSIGNATURE)
    assert set(cosignatures(checkpoint, {named.name: named.key})) == {NAME}
    assert state.served(origin_hash(ORIGIN)).decode().endswith(line)
    assert state.served("0" * 64) is None


def test_the_new_checkpoint_is_durable_before_the_cosignature_leaves(home, monkeypatch):
    state = WitnessState(home)
    order = []
    for name in ("write_whole", "sync_directory"):
        real = getattr(witness_state, name)
        monkeypatch.setattr(
            witness_state, name, lambda *given, real=real, name=name: (order.append(name), real(*given))[1]
        )
    assert isinstance(state.add(request(9)), str)
    assert order == ["write_whole", "sync_directory", "sync_directory"]

    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(witness_state, "write_whole", full)
    with pytest.raises(OSError, match="space"):
        state.add(request(20, 9))
    assert kept(home).size == 9


def test_two_concurrent_requests_from_one_size_and_only_one_is_cosigned(home):
    WitnessState(home).add(request(9))
    states = [WitnessState(home) for _ in range(4)]  # processes of their own, as far as the lock is concerned
    bodies = [request(20 + n, 9) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pair: states[pair[0] % 4].add(pair[1]), enumerate(bodies)))
    assert sorted(map(status, answers)) == [200] + [409] * 15
    cosigned = next(n for n, answer in enumerate(answers) if isinstance(answer, str))
    assert kept(home).size == 20 + cosigned


def test_concurrent_growth_never_goes_back(home):
    state = WitnessState(home)
    sizes = []

    def grow(size):
        old = state.sizes()[ORIGIN]
        if old < size and isinstance(state.add(request(size, old)), str):
            sizes.append(state.sizes()[ORIGIN])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(grow, range(1, 60)))
    assert sizes
    assert kept(home).size == max(sizes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda note: note[:-1],
        lambda note: "",
        lambda note: note.replace("\n9\n", "\n8\n"),
        lambda note: note[: note.rindex("\N{EM DASH}")],
        lambda note: render_note(parse_checkpoint(TREE.note(5)).text, parse_checkpoint(TREE.note(5)).signatures),
    ],
)
def test_a_damaged_state_stops_the_witness_and_is_never_taken_for_nothing(home, damage):
    state = WitnessState(home)
    state.add(request(9))
    place = home / "logs" / origin_hash(ORIGIN) / "checkpoint"
    place.write_text(damage(place.read_text()))
    for body in (request(12), request(12, 9), request(9)):
        with pytest.raises(LedgerError) as refused:
            state.add(body)
        assert refused.value.code == "witness_state_damaged"
        assert refused.value.next_step


def test_time_in_cosignatures_never_runs_backwards(home):
    clock = iter([1_790_000_000.0, 1_000.0, 0.0])
    state = WitnessState(home, wall=lambda: next(clock))
    stamps = []
    for size, old in ((5, 0), (6, 5), (7, 6)):
        state.add(request(size, old))
        stamps.append(cosignatures(kept(home), {NAME: state.public})[NAME].at_seconds)
    assert stamps == [1_790_000_000] * 3


def test_a_forked_log_is_a_new_log_to_the_witness(home):
    state = WitnessState(home)
    state.add(request(9))
    fork = "log.example/workspace/fork-1"
    body = render_request(AddCheckpoint(0, (), TREE.note(5, origin=fork)))
    assert status(state.add(body)) == 404
    trust_log(home, format_vkey(fork, LOG.public, ED25519))
    state = WitnessState(home)
    assert status(state.add(body)) == 200
    assert state.sizes() == {ORIGIN: 9, fork: 5}


def test_a_witness_is_not_made_twice_and_guards_its_key(home, tmp_path):
    with pytest.raises(ConfigError) as refused:
        create_witness(home, NAME, [])
    assert refused.value.code == "witness_exists"
    with pytest.raises(EvidenceError):
        create_witness(tmp_path / "other", "two words", [])
    with pytest.raises(ConfigError) as missing:
        WitnessState(tmp_path / "nowhere")
    assert missing.value.code == "witness_missing"
    assert (home / "key.pem").stat().st_mode & 0o777 == 0o600
    (home / "key.pem").chmod(0o640)
    with pytest.raises(ConfigError) as exposed:
        WitnessState(home)
    assert exposed.value.code == "key_exposed"


@pytest.mark.parametrize("text", ["", "{}", '{"version":2,"name":"a","logs":[]}', '{"version":1,"name":"a","x":1}'])
def test_settings_that_cannot_be_read_are_refused(home, text):
    (home / "witness.json").write_text(text)
    with pytest.raises(ConfigError) as refused:
        WitnessState(home)
    assert refused.value.code == "witness_settings"


# The inbox


def test_the_inbox_is_answered_once(home):
    state = WitnessState(home)
    (home / "inbox" / origin_hash(ORIGIN)).write_bytes(request(9))
    (home / "inbox" / "stray").write_bytes(b"noise")
    assert [(one.size, one.code) for one in cosign_inbox(state)] == [(9, "")]
    assert cosign_inbox(state) == []
    (home / "inbox" / origin_hash(ORIGIN)).write_bytes(request(20, 9, FORK))
    assert [one.code for one in cosign_inbox(state)] == ["consistency_invalid"]
    (home / "inbox" / origin_hash(ORIGIN)).write_bytes(b"old 9\nnoise")
    assert [one.code for one in cosign_inbox(state)] == ["request_malformed"]
    assert kept(home).size == 9


def test_an_inbox_entry_that_is_no_file_stops_with_a_message(home, tmp_path):
    (home / "inbox" / origin_hash(ORIGIN)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as refused:
        cosign_inbox(WitnessState(home))
    assert refused.value.code == "witness_unreadable"


# Over HTTP


@pytest.fixture
def served(home):
    program = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
    argv = [sys.executable, "-I", "-c", program, "witness", "serve", "--state", str(home), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().removeprefix("listening ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()


def raw(url, data, *, wait=5.0):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as channel:
        channel.sendall(data)
        received = b""
        while chunk := channel.recv(65_536):
            received += chunk
        return received


def post(body, length=None):
    return b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body) if length is None else length,
        body,
    )


def test_the_protocol_over_http(served, home):
    witness = HttpWitness(served)
    assert witness.latest(ORIGIN) is None
    answer = witness.add_checkpoint(ORIGIN, request(9))
    assert answer.status == 200
    assert answer.body.decode().startswith(f"\N{EM DASH} {NAME} ")
    assert witness.latest(ORIGIN) == kept_text(home)
    conflict = raw(served, post(request(12)))
    assert b" 409 " in conflict
    assert b"content-type: text/x.tlog.size\r\n" in conflict
    assert conflict.endswith(b"\r\n\r\n9\n")
    for body, code in (
        (request(20, 9, FORK), 422),
        (render_request(AddCheckpoint(9, (), TREE.note(12, key=STRANGER))), 403),
        (render_request(AddCheckpoint(9, (), TREE.note(12, origin="x.example"))), 404),
        (b"noise", 400),
        (b"", 400),
    ):
        assert witness.add_checkpoint(ORIGIN, body).status == code
    assert kept(home).size == 9


def kept_text(home):
    return (home / "logs" / origin_hash(ORIGIN) / "checkpoint").read_text()


NOT_THE_PROTOCOL = [
    (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
    (b"GET /add-checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"405"),
    (b"GET /../key.pem HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
    (b"POST /%b/checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (b"0" * 64), b"405"),
    (post(b"x", 10_000_000), b"413"),
    (
        b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"413",
    ),
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nx: %b\r\n\r\n" % (b"y" * 40_000), b"431"),
]


def test_what_is_not_the_protocol_is_refused(served):
    for message, status_ in NOT_THE_PROTOCOL:
        assert raw(served, message).startswith(b"HTTP/1.1 %b " % status_), message[:60]


def test_concurrent_posts_move_it_once(served, home):
    HttpWitness(served).add_checkpoint(ORIGIN, request(9))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: HttpWitness(served, 15.0).add_checkpoint(ORIGIN, request(20 + n, 9)).status, range(8))
        )
    assert sorted(answers) == [200] + [409] * 7


def test_killed_right_after_an_answer_it_has_not_forgotten(home):
    program = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
    argv = [sys.executable, "-I", "-c", program, "witness", "serve", "--state", str(home)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().removeprefix("listening ").strip()
    assert HttpWitness(url).add_checkpoint(ORIGIN, request(9)).status == 200
    process.kill()
    process.wait(20)
    process.stdout.close()
    assert WitnessState(home).sizes() == {ORIGIN: 9}


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "example.com:80", "127.0.0.1", "127.0.0.1:99999", "[::]:1", ""])
def test_it_listens_on_loopback_only(home, listen):
    from bywire.adapters.witness_server import serve

    with pytest.raises(ConfigError) as refused:
        serve(WitnessState(home), listen, lambda url: None)
    assert refused.value.code == "listen_refused"


class Liar:
    """A server that answers every connection with the same bytes, at its own pace."""

    def __init__(self, answer, every_seconds=0.0, context=None):
        self.context = context
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.answer, self.every_seconds = answer, every_seconds
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                channel, _ = self.socket.accept()
            except OSError:
                return
            with channel:
                try:
                    if self.context:
                        channel = self.context.wrap_socket(channel, server_side=True)
                    channel.recv(65_536)
                    for part in self.answer:
                        channel.sendall(part)
                        time.sleep(self.every_seconds)
                except OSError:
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(20)


@pytest.mark.parametrize(
    ("answer", "pace"),
    [
        ([b"HTTP/1.1 200 OK\r\n"] + [b"x: y\r\n"] * 1_000, 0.05),  # drips headers for ever
        ([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 1_000, 0.05),  # drips a body for ever
        ([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x" * 65_536] * 100, 0.0),  # floods
        ([b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"], 0.0),
        ([b"noise\r\n\r\n"], 0.0),
        ([], 0.0),
    ],
)
def test_a_lying_witness_costs_a_known_time_and_nothing_else(answer, pace):
    liar = Liar(answer, pace)
    started = time.monotonic()
    try:
        with pytest.raises(BywireError) as refused:
            HttpWitness(liar.url, 0.5).latest(ORIGIN)
    finally:
        liar.close()
    assert refused.value.code == "witness_unreachable"
    assert time.monotonic() - started < 5


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    liar = Liar([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], context=context)
    try:
        with pytest.raises(BywireError) as refused:
            HttpWitness(liar.url.replace("http://127.0.0.1", "https://localhost"), 3.0).latest(ORIGIN)
    finally:
        liar.close()
    assert refused.value.code == "witness_unreachable"
    assert "certificate" in refused.value.message


# The log's side


class World:
    """The witnesses of one log, as configured; a clock that a test moves."""

    def __init__(self, tmp_path, places, *, quorum=1, lag_entries=10):
        self.directory = OperatorDirectory.create(tmp_path / "operator")
        witnesses = []
        for name, where in places.items():
            state = WitnessState(where.home)
            key = state.public.raw_public.hex()
            target = {"url": where.url} if where.url else {"directory": str(where.home)}
            witnesses.append(Witness(name=name, key=key, **target))
        self.witnessing = Witnessing(tuple(witnesses), quorum, lag_entries)
        self.direct = {name: where for name, where in places.items() if isinstance(where, Direct)}
        self.now_ms = 1_790_000_000_000
        self.proved = []

    def open(self):
        found = Witnesses(
            self.witnessing, WitnessMemory(self.directory), lambda: TRUST, lambda: self.now_ms, self.direct
        )
        found.ask()
        return found

    def prove(self, size1, size2):
        self.proved.append((size1, size2))
        return TREE.consistency(size1, size2)


class Where:
    """Where a witness is reached: a url, else its directory."""

    def __init__(self, home, url=""):
        self.home, self.url = home, url


class Direct:
    """A witness without a network in between."""

    answers_later = False

    def __init__(self, home):
        self.home, self.url = home, "http://127.0.0.1:9"

    def latest(self, origin):
        found = WitnessState(self.home).served(origin_hash(origin))
        return None if found is None else found.decode("utf-8", "replace")

    def add_checkpoint(self, origin, body):
        answer = WitnessState(self.home).add(body)
        if isinstance(answer, str):
            return Answer(200, answer.encode())
        return Answer(answer.status, b"%d\n" % answer.size)


def test_cosignatures_are_collected_remembered_and_not_asked_for_twice(tmp_path, home, served):
    world = World(tmp_path, {NAME: Where(home, served)})
    note = world.open().collect(TREE.note(9), world.prove)
    assert [line.name for line in parse_checkpoint(note).signatures] == [ORIGIN, NAME]
    assert world.open().collect(TREE.note(9), world.prove) == note
    assert world.open().quorum_note() == note
    assert parse_checkpoint(world.open().collect(TREE.note(20), world.prove)).size == 20
    assert world.proved == [(9, 20)]
    report = world.open().report(22)
    assert (report.cosigned_size, report.lag_entries, report.overdue) == (20, 2, False)
    assert [(one.size, one.problem) for one in report.witnesses] == [(20, "")]
    assert (report.health, report.fix) == ("works", "")
    assert report.says == "1 of 1 witnesses have seen 20 of 22 entries (2 behind, 10 allowed)"


def test_a_restored_workspace_learns_from_the_witness_that_it_is_behind(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    world.open().collect(TREE.note(20), world.prove)
    restored = World(tmp_path / "restored", {NAME: Direct(home)})
    notes = restored.open().notes()
    assert [parse_checkpoint(note).size for note in notes] == [20]
    # And it cannot get an older checkpoint cosigned again.
    assert restored.open().collect(TREE.note(9), restored.prove) == TREE.note(9)


def test_a_witness_that_lost_its_memory_is_named_and_taught_again(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    world.open().collect(TREE.note(20), world.prove)
    (home / "logs" / origin_hash(ORIGIN) / "checkpoint").unlink()
    found = world.open()
    assert "forgot" in found.report(20).witnesses[0].problem
    found.collect(TREE.note(30), world.prove)
    assert kept(home).size == 30
    assert world.open().report(30).witnesses[0].problem == ""


def test_a_witness_that_is_down_stops_nothing_until_the_lag_is_too_large(tmp_path, home):
    gone = Where(home, "http://127.0.0.1:9")
    world = World(tmp_path, {NAME: gone}, lag_entries=10)
    assert world.open().collect(TREE.note(9), world.prove) == TREE.note(9)
    early = world.open().report(10)
    assert "witness_unreachable" in early.witnesses[0].problem
    early.require()
    assert (early.health, early.fix) == ("limit", "bywire log witnesses")
    assert "witness_unreachable" in early.says
    late = world.open().report(11)
    assert (late.overdue, late.health) == (True, "broken")
    with pytest.raises(LedgerError) as refused:
        late.require()
    assert refused.value.code == "witness_overdue"
    assert "retreats" in refused.value.next_step


def test_a_witness_that_failed_is_left_alone_for_a_while(tmp_path, home):
    world = World(tmp_path, {NAME: Where(home, "http://127.0.0.1:9")})
    world.open()
    tried = WitnessMemory(world.directory).statuses()[NAME].tried_at_ms
    world.now_ms += RETRY_MS - 1
    world.open().collect(TREE.note(9), world.prove)
    assert WitnessMemory(world.directory).statuses()[NAME].tried_at_ms == tried
    world.now_ms += 1
    world.open()
    assert WitnessMemory(world.directory).statuses()[NAME].tried_at_ms == world.now_ms


def test_a_quorum_of_a_directory_and_http_meets_on_one_checkpoint(tmp_path, home, served):
    other = tmp_path / "other"
    create_witness(other, "w2.example", [VKEY])
    world = World(tmp_path, {NAME: Where(home, served), "w2.example": Where(other)}, quorum=2)
    world.open().collect(TREE.note(9), world.prove)
    assert world.open().quorum_note() is None
    assert world.open().report(9).cosigned_size == 0
    assert [one.size for one in cosign_inbox(WitnessState(other))] == [9]
    # Meanwhile the log has grown; the quorum is found on the older one, and the inbox gets the newer.
    world.open().collect(TREE.note(20), world.prove)
    assert parse_checkpoint(world.open().quorum_note()).size == 9
    assert [one.size for one in cosign_inbox(WitnessState(other))] == [20]
    found = world.open()
    assert {line.name for line in parse_checkpoint(found.quorum_note()).signatures} == {ORIGIN, NAME, "w2.example"}
    assert found.report(20).cosigned_size == 20


def test_a_false_key_in_the_configuration_is_said(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    WitnessState(home).add(request(9))
    wrong = Witness(name=NAME, key=STRANGER.public.raw_public.hex(), url="http://127.0.0.1:9")
    world.witnessing = Witnessing((wrong,), 1, 10)
    found = world.open()
    assert "witness_answer" in found.report(9).witnesses[0].problem
    assert found.report(9).cosigned_size == 0
    # What the log itself signed still binds it.
    assert [parse_checkpoint(note).size for note in found.notes()] == [9]


def test_a_note_that_the_log_never_signed_binds_nobody(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    WitnessState(home).add(request(9))
    place = home / "logs" / origin_hash(ORIGIN) / "checkpoint"
    place.write_text(place.read_text().replace("\n9\n", "\n59\n"))
    found = world.open()
    assert found.notes() == ()
    assert found.report(9).witnesses[0].problem


def test_a_damaged_memory_is_refused_and_named(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    world.open().collect(TREE.note(9), world.prove)
    (place,) = (world.directory.path / "witnesses").rglob("*.note")
    for damage in (b"\xff", b"", place.read_bytes()[:-3], place.read_bytes().replace(b"\n9\n", b"\n8\n")):
        kept_bytes = place.read_bytes()
        place.write_bytes(damage)
        with pytest.raises(EvidenceError) as refused:
            world.open()
        assert refused.value.code == "witness_memory_damaged"
        place.write_bytes(kept_bytes)


def test_memory_does_not_grow_without_end(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    for size in range(1, 30):
        world.open().collect(TREE.note(size), world.prove)
    assert len(list((world.directory.path / "witnesses").rglob("*.note"))) == 1


def test_a_full_disk_does_not_stop_collecting(tmp_path, home, monkeypatch):
    world = World(tmp_path, {NAME: Direct(home)})
    found = world.open()

    def full(*_given):
        raise BywireError("full", code="disk_full")

    monkeypatch.setattr(OperatorDirectory, "write", full)
    assert len(parse_checkpoint(found.collect(TREE.note(9), world.prove)).signatures) == 2


def test_the_status_of_witnesses_may_be_lost(tmp_path, home):
    world = World(tmp_path, {NAME: Direct(home)})
    world.open()
    (world.directory.path / "witnesses/status.json").write_text("noise")
    assert world.open().report(0).witnesses[0].problem == ""


def test_without_witnesses_nothing_is_asked_or_written(tmp_path):
    directory = OperatorDirectory.create(tmp_path / "operator")
    found = Witnesses(Witnessing(), WitnessMemory(directory), lambda: TRUST, lambda: 0)
    found.ask()
    assert found.collect(TREE.note(9), lambda *_: ()) == TREE.note(9)
    assert (found.notes(), found.quorum_note()) == ((), None)
    report = found.report(10**6)
    assert (report.overdue, report.health) == (False, "limit")
    assert report.fix
    assert not (directory.path / "witnesses").exists()
