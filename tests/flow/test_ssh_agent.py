"""A person's key in an ssh-agent, real and feigned: what it signs is believed only as the trusted key says."""

import base64
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from hashlib import sha256

import pytest
from scene import Scene

from bywire.adapters import ssh_agent
from bywire.adapters.ssh_agent import AgentSigner, SshAgent
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.model.statement import PLAN, Statement, subject
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.seal.keys import SigningKey, verify_key
from bywire.seal.ssh_wire import ED25519, SK_ED25519, parse_public_line, string, take_string
from bywire.wiring.identities import open_signer
from bywire.wiring.key_changes import revoke_key, trust_ssh_key

POINT = SigningKey.from_seed(b"k" * 32)
PUBLIC = POINT.public.raw_public
PLAIN_BLOB = string(ED25519) + string(PUBLIC)
TOKEN_BLOB = string(SK_ED25519) + string(PUBLIC) + string(b"ssh:")
RSA_BLOB = string(b"ssh-rsa") + string(b"\x01\0\x01") + string(b"\0" * 257)
SAID = Statement(subject=(subject("s", "a" * 64),), predicateType=PLAN, predicate={"approved": True})

needs_openssh = pytest.mark.skipif(
    not all(map(shutil.which, ("ssh-agent", "ssh-add", "ssh-keygen"))), reason="openssh-client is not installed"
)


class FeignedAgent:
    """An ssh-agent of ours on a real socket: one answer for each request; `touch` says what a token's flags are."""

    def __init__(self, path, keys=((PLAIN_BLOB, b"plain"), (RSA_BLOB, b"rsa"), (TOKEN_BLOB, b"token"))):
        self.path = path
        self.keys = keys
        self.flags = 1
        self.counter = 41
        self.answer = None
        self.asked = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                request = stream.read(int.from_bytes(stream.read(4), "big"))
                self.asked.append(request)
                connection.sendall(self.answer if self.answer is not None else string(self._reply(request)))

    def _reply(self, request):
        if request[0] == 11:
            listed = b"".join(string(blob) + string(comment) for blob, comment in self.keys)
            return b"\x0c" + len(self.keys).to_bytes(4, "big") + listed
        blob, rest = take_string(request[1:])
        data, _ = take_string(rest, 10**6)
        if blob == PLAIN_BLOB:
            return b"\x0e" + string(string(ED25519) + string(POINT.sign(data)))
        self.counter += 1
        tail = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        covered = sha256(b"ssh:").digest() + tail + sha256(data).digest()
        return b"\x0e" + string(string(SK_ED25519) + string(POINT.sign(covered)) + tail)


@pytest.fixture
def feigned(tmp_path):
    agent = FeignedAgent(tmp_path / "agent.sock")
    yield agent
    agent.close()


def signer(feigned, comment):
    agent = SshAgent(feigned.path)
    key = next(key for key in agent.held() if key.comment == comment)
    trusted = verify_key(key.public.public, key.public.application)
    return AgentSigner(agent, key, trusted.key_id), trusted


def code_of(call):
    with pytest.raises(BywireError) as caught:
        call()
    assert caught.value.next_step
    return caught.value.code


@contextmanager
def real_agent(tmp_path):
    path = tmp_path / "real.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout.readline()
        yield path
    finally:
        agent.terminate()
        agent.wait(5)
        agent.stdout.close()


@needs_openssh
def test_a_real_agent_signs_what_the_plain_key_verifies(tmp_path):
    file = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", str(file)], check=True)
    rsa = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "other", "-f", str(tmp_path / "other")]
    subprocess.run(rsa, check=True)
    with real_agent(tmp_path) as path:
        for key in (tmp_path / "other", file):
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env={"SSH_AUTH_SOCK": str(path)})
        agent = SshAgent(path)
        (key,) = agent.held()
        public = parse_public_line((tmp_path / "id.pub").read_text())
        assert (key.public, key.comment) == (public, "alice")
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(tmp_path / "id.pub")], check=True, capture_output=True, text=True
        )
        assert key.public.fingerprint in shown.stdout
        trusted = verify_key(public.public)
        envelope = sign_statement(SAID, AgentSigner(agent, key, trusted.key_id))
        assert verify_statement(envelope, [trusted]).key_id == trusted.key_id
        subprocess.run(["ssh-add", "-q", "-D"], check=True, env={"SSH_AUTH_SOCK": str(path)}, stderr=subprocess.DEVNULL)
        assert agent.held() == ()
        assert code_of(lambda: agent.sign(key, b"data")) == "agent_refused"


def test_ed25519_keys_are_listed_and_others_left_out(feigned):
    assert [(key.comment, key.public.application) for key in SshAgent(feigned.path).held()] == [
        ("plain", ""),
        ("token", "ssh:"),
    ]


@pytest.mark.parametrize("comment", ["plain", "token"])
def test_a_statement_is_signed_by_the_key_that_was_named(feigned, comment):
    one, trusted = signer(feigned, comment)
    assert verify_statement(sign_statement(SAID, one), [trusted]).key_id == trusted.key_id
    other = next(key for name, key in ((n, signer(feigned, n)[1]) for n in ("plain", "token")) if name != comment)
    assert code_of(lambda: verify_statement(sign_statement(SAID, one), [other])) == "signature_invalid"


@pytest.mark.parametrize("flags", [0, 4])
def test_a_token_that_nobody_touched_is_not_believed(feigned, flags):
    feigned.flags = flags
    one, trusted = signer(feigned, "token")
    assert code_of(lambda: verify_statement(sign_statement(SAID, one), [trusted])) == "signature_invalid"


def test_an_agent_that_answers_with_another_kind_is_refused(feigned):
    one, _ = signer(feigned, "token")
    feigned.answer = string(b"\x0e" + string(string(ED25519) + string(POINT.sign(b"x"))))
    assert code_of(lambda: one.sign(b"x")) == "ssh_malformed"
    feigned.answer = None
    plain, _ = signer(feigned, "plain")
    feigned.answer = string(b"\x0e" + string(string(SK_ED25519) + string(POINT.sign(b"x")) + b"\x01\0\0\0\1"))
    assert code_of(lambda: plain.sign(b"x")) == "ssh_malformed"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (string(b"\x05"), "agent_refused"),
        (string(b"\x0e"), "agent_refused"),
        (b"", "ssh_malformed"),
        (b"\0\0\0\0", "ssh_malformed"),
        (b"\x7f\xff\xff\xff", "ssh_malformed"),
        (b"\0\0\0\x09\x0c", "ssh_malformed"),
        (string(b"\x0c"), "ssh_malformed"),
        (string(b"\x0c\xff\xff\xff\xff"), "ssh_malformed"),
        (string(b"\x0c\0\0\0\x02" + string(PLAIN_BLOB) + string(b"one")), "ssh_malformed"),
        (string(b"\x0c\0\0\0\x01" + string(PLAIN_BLOB + b"\0") + string(b"one")), "ssh_malformed"),
        (string(b"\x0c\0\0\0\x01" + string(PLAIN_BLOB) + string(b"x" * 2_000)), "ssh_malformed"),
    ],
)
def test_an_answer_that_is_none_is_refused(feigned, answer, code):
    feigned.answer = answer
    assert code_of(SshAgent(feigned.path).held) == code


def test_a_document_larger_than_an_agent_takes_is_refused(feigned):
    one, _ = signer(feigned, "plain")
    before = len(feigned.asked)
    assert code_of(lambda: one.sign(b"x" * ssh_agent.MESSAGE_BYTES_MAX)) == "agent_message_too_large"
    assert len(feigned.asked) == before


def test_an_agent_that_trickles_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(ssh_agent, "LIST_TIMEOUT_SECONDS", 0.3)
    stop = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "slow.sock"))
        listener.listen()

        def trickle():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"\0\0\x10\0")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"\x0c")
                    except OSError:
                        return

        slow = threading.Thread(target=trickle, daemon=True)
        slow.start()
        assert code_of(SshAgent(tmp_path / "slow.sock").held) == "agent_timeout"
        stop.set()
        slow.join(5)


def test_no_agent_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    assert code_of(SshAgent(tmp_path / "nowhere").held) == "agent_missing"
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert code_of(SshAgent.from_environment) == "agent_missing"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nowhere"))
    assert code_of(SshAgent.from_environment().held) == "agent_missing"


# --- approving with it


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("ssh") / "scene").prepared()


@pytest.fixture
def workspace(prepared, tmp_path):
    opened = prepared.clone(tmp_path / "scene").workspace()
    yield opened
    opened.close()


def line_of(blob):
    return f"{take_string(blob)[0].decode()} {base64.b64encode(blob).decode()} somebody"


@pytest.mark.parametrize(("blob", "comment"), [(PLAIN_BLOB, "plain"), (TOKEN_BLOB, "token")])
def test_a_person_signs_with_the_key_that_the_operator_trusts(feigned, workspace, blob, comment):
    trusted = trust_ssh_key(workspace, "person:oncall", line_of(blob))
    fingerprint = parse_public_line(line_of(blob)).fingerprint
    for name in (comment, fingerprint):
        one = open_signer(workspace, "person:oncall", name, socket=feigned.path)
        assert one.key_id == trusted.key_id
        keys = workspace.trust.keys_for(KeyRole.APPROVER, principal="person:oncall")
        assert verify_statement(sign_statement(SAID, one), keys).key_id == trusted.key_id


def test_rule_19_a_key_in_an_agent_is_nobody_s_until_the_operator_says_so(feigned, workspace):
    refused = lambda person, name: code_of(lambda: open_signer(workspace, person, name, socket=feigned.path))
    assert refused("person:oncall", "plain") == "key_untrusted"
    assert refused("person:oncall", "no such key") == "agent_key_missing"
    assert refused("person:oncall", "") == "agent_key_missing"
    trusted = trust_ssh_key(workspace, "person:oncall", line_of(PLAIN_BLOB))
    assert refused("person:dana", "plain") == "key_untrusted"
    # A key of the same name, and the same point as another kind of key, are other keys.
    assert refused("person:oncall", "token") == "key_untrusted"
    feigned.keys = ((string(ED25519) + string(b"\x05" * 32), b"plain"),)
    assert refused("person:oncall", "plain") == "key_untrusted"
    feigned.keys = ((PLAIN_BLOB, b"plain"),)
    revoke_key(workspace, trusted.key_id, "lost")
    assert refused("person:oncall", "plain") == "key_untrusted"
