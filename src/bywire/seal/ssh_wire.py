"""SSH's wire strings (RFC 4251, section 5) and OpenSSH's public keys of the two kinds we verify.

Pure and bounded: nothing here believes a key. Source: OpenSSH PROTOCOL.key and PROTOCOL.u2f.
"""

import base64
import binascii
import re
from hashlib import sha256

import msgspec

from bywire.model.errors import EvidenceError

ED25519 = b"ssh-ed25519"
SK_ED25519 = b"sk-ssh-ed25519@openssh.com"
BLOB_BYTES_MAX = 16_384
_LINE = re.compile(r"(?P<kind>[a-z0-9@.-]{1,64}) (?P<blob>[A-Za-z0-9+/=]{1,4096})(?: (?P<comment>[^\r\n]{0,512}))?\n?")
_NEXT = "make one with `ssh-keygen -t ed25519` or `ssh-keygen -t ed25519-sk`"


class SshPublicKey(msgspec.Struct, frozen=True):
    """An OpenSSH public key. `public` is the raw Ed25519 key in hex; `application` is empty unless on a FIDO token."""

    public: str
    application: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(sha256(self.blob).digest()).decode().rstrip("=")


def string(data: bytes) -> bytes:
    """`data` with its length before it."""
    return len(data).to_bytes(4, "big") + data


def take_string(data: bytes, most: int = BLOB_BYTES_MAX) -> tuple[bytes, bytes]:
    """(first string, rest). EvidenceError `ssh_malformed` when it is cut short or longer than `most` bytes."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 or size > most or len(data) < 4 + size:
        raise malformed("a field is cut short or too long")
    return data[4 : 4 + size], data[4 + size :]


def parse_public_blob(blob: bytes) -> SshPublicKey:
    """A key in wire form. EvidenceError `ssh_key_unsupported` for another kind, `ssh_malformed`."""
    kind, rest = take_string(blob)
    if kind not in {ED25519, SK_ED25519}:
        raise EvidenceError("this is no Ed25519 key", code="ssh_key_unsupported", next_step=_NEXT)
    public, rest = take_string(rest)
    application, rest = take_string(rest) if kind == SK_ED25519 else (b"", rest)
    if rest or len(public) != 32 or bool(application) != (kind == SK_ED25519) or not application.isascii():
        raise malformed("the key blob is not what its kind says")
    return SshPublicKey(public=public.hex(), application=application.decode("ascii"), blob=blob)


def parse_public_line(text: str) -> SshPublicKey:
    """The one key of a `.pub` file. EvidenceError as `parse_public_blob`."""
    found = _LINE.fullmatch(text)
    if found is None:
        raise malformed("this is not one line of an OpenSSH public key")
    try:
        blob = base64.b64decode(found["blob"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed("the key is not base64") from error
    key = parse_public_blob(blob)
    if take_string(blob)[0] != found["kind"].encode():
        raise malformed("the line names another kind than the key")
    return key


def malformed(why: str) -> EvidenceError:
    """What came does not follow SSH's format."""
    return EvidenceError(f"malformed SSH data: {why}", code="ssh_malformed", next_step=_NEXT)
