"""An ssh-agent as the place where a person's key is kept: list keys, ask for a signature, nothing else.

It speaks the agent's own protocol (RFC 4251 strings; draft-ietf-sshm-ssh-agent) over its socket. Every answer is
bounded in size and time. The agent is believed for nothing: whether its signature is one, the trusted key decides.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bywire.model.errors import BywireError, ConfigError, EvidenceError
from bywire.seal.keys import SIGNATURE_BYTES
from bywire.seal.ssh_wire import ED25519, SK_ED25519, SshPublicKey, malformed, parse_public_blob, string, take_string

MESSAGE_BYTES_MAX = 256 * 1024
KEYS_MAX = 256
COMMENT_BYTES_MAX = 1_024
LIST_TIMEOUT_SECONDS = 5.0
# A person has to touch the token, or to confirm at the agent's prompt.
SIGN_TIMEOUT_SECONDS = 60.0
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_FLAGS_AND_COUNTER_BYTES = 5
_START = "start one and add the key: eval $(ssh-agent); ssh-add FILE"


class AgentKey(msgspec.Struct, frozen=True):
    """A key the agent holds, and what it is called there."""

    public: SshPublicKey
    comment: str


class SshAgent:
    """The agent behind one socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def from_environment(cls) -> "SshAgent":
        """The agent of this session, $SSH_AUTH_SOCK. ConfigError `agent_missing`."""
        path = os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise ConfigError("no ssh-agent is running here", code="agent_missing", next_step=_START)
        return cls(Path(path))

    def held(self) -> tuple[AgentKey, ...]:
        """Its Ed25519 keys, on tokens or not; others are left out. EvidenceError `ssh_malformed`."""
        answer = self._ask(bytes([_REQUEST_IDENTITIES]), _IDENTITIES_ANSWER, LIST_TIMEOUT_SECONDS)
        count, rest = int.from_bytes(answer[:4], "big"), answer[4:]
        if len(answer) < 4 or count > KEYS_MAX:
            raise malformed(f"the agent names more than {KEYS_MAX} keys, or no number")
        found = []
        for _ in range(count):
            blob, rest = take_string(rest)
            comment, rest = take_string(rest, COMMENT_BYTES_MAX)
            if take_string(blob)[0] in {ED25519, SK_ED25519}:
                found.append(AgentKey(parse_public_blob(blob), comment.decode("utf-8", "replace")))
        return tuple(found)

    def sign(self, key: AgentKey, data: bytes) -> bytes:
        """The signature over `data` in the form of `seal.keys`. ConfigError `agent_refused`; EvidenceError."""
        message = bytes([_SIGN_REQUEST]) + string(key.public.blob) + string(data) + bytes(4)
        if len(message) > MESSAGE_BYTES_MAX:
            raise EvidenceError(
                "the document is larger than an ssh-agent signs",
                code="agent_message_too_large",
                next_step="sign it with a key file: --key FILE",
            )
        answer = self._ask(message, _SIGN_RESPONSE, SIGN_TIMEOUT_SECONDS)
        signature, rest = take_string(answer)
        kind, signed = take_string(signature)
        raw, tail = take_string(signed)
        wanted, tail_bytes = (SK_ED25519, _FLAGS_AND_COUNTER_BYTES) if key.public.application else (ED25519, 0)
        if rest or kind != wanted or len(raw) != SIGNATURE_BYTES or len(tail) != tail_bytes:
            raise malformed("the agent's signature is not of the key's kind")
        return raw + tail

    def _ask(self, message: bytes, wanted: int, timeout_seconds: float) -> bytes:
        deadline = time.monotonic() + timeout_seconds
        with self._reached(), socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(timeout_seconds)
            agent.connect(str(self._path))
            agent.sendall(string(message))
            size = int.from_bytes(_read(agent, 4, deadline), "big")
            if not 1 <= size <= MESSAGE_BYTES_MAX:
                raise malformed("the agent's answer is empty or too long")
            answer = _read(agent, size, deadline)
        if answer[0] != wanted:
            raise ConfigError(
                "the ssh-agent refused",
                code="agent_refused",
                next_step="unlock it (ssh-add -X), or confirm when it asks; then run the command again",
            )
        return answer[1:]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise BywireError(
                "the ssh-agent did not answer in time",
                code="agent_timeout",
                next_step="touch the security key when it blinks; then run the command again",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"no ssh-agent answers at {self._path}: {error.strerror or error}",
                code="agent_missing",
                next_step=_START,
            ) from error


class AgentSigner:
    """`seal.keys.Signer` for one key of an agent. `key_id` is that of the trust entry it was found to be."""

    def __init__(self, agent: SshAgent, key: AgentKey, key_id: str) -> None:
        self._agent = agent
        self._key = key
        self._key_id = key_id

    @property
    def key_id(self) -> str:
        """The id of the trusted key."""
        return self._key_id

    def sign(self, data: bytes) -> bytes:
        """Ask the agent; whoever verifies decides whether it is a signature."""
        return self._agent.sign(self._key, data)


def _read(agent: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly `size` bytes before `deadline`, however slowly they trickle."""
    parts = bytearray()
    while len(parts) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        agent.settimeout(left)
        part = agent.recv(min(65_536, size - len(parts)))
        if not part:
            raise malformed("the agent closed in the middle of an answer")
        parts += part
    return bytes(parts)
