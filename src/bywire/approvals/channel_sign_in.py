"""How a person proves to a page who they are: a short statement signed with their own approver key, for one use.

It opens a page and permits nothing: a verdict that follows from it is the channel's word (RULES 19).
"""

import base64
import binascii
import hashlib
from typing import Annotated

import msgspec

from bywire.identity.trust import TrustRoot, is_principal
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, PrincipalKind
from bywire.model.statement import APPROVAL_SIGN_IN, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import same_digest, sha256_hex
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import Signer

AGE_MS_MAX = 300_000
PROOF_CHARS_MAX = 8_192
_AGAIN = "make a new one: bywire approvals link --as NAME"
_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs in where, for which challenge (empty: for a link), and when, ms since the epoch."""

    person: _Short
    nonce: _Short
    challenge: Annotated[str, msgspec.Meta(max_length=64)]
    workspace: _Short
    at_ms: int


class Proved(msgspec.Struct, frozen=True):
    """A person who proved who they are. `id` is unique for the proof; `key_id` is the key that signed."""

    person: str
    at_ms: int
    id: str
    key_id: str


def sign_in(said: SignIn, key: Signer) -> str:
    """The proof, in characters that a URL can carry."""
    predicate = msgspec.to_builtins(said)
    statement = Statement(
        subject=(subject("sign-in", sha256_hex(jcs.canonical(predicate))),),
        predicateType=APPROVAL_SIGN_IN,
        predicate=predicate,
    )
    return base64.urlsafe_b64encode(sign_statement(statement, key)).decode().rstrip("=")


def verify_sign_in(proof: str, trust: TrustRoot, now_ms: int, challenge: str) -> Proved:
    """Verify a proof against the person's approver keys in *our* root.

    It is for this workspace, five minutes old at most, and for `challenge` or for none. That it is used once is the
    caller's to see to, by `id`. Raises EvidenceError `sign_in_refused`, `signature_invalid`.
    """
    envelope = _envelope(proof)
    claimed = _said(unverified_statement(envelope).predicate)
    keys = trust.keys_for(KeyRole.APPROVER, principal=claimed.person)
    if not keys or not is_principal(claimed.person, PrincipalKind.PERSON):
        raise _refused("nobody of that name holds an approver key")
    verified = verify_statement(envelope, keys)
    said = _said(verified.statement.predicate)
    if verified.statement.predicateType != APPROVAL_SIGN_IN or said.workspace != trust.origin:
        raise _refused("this proves nothing here")
    if not 0 <= now_ms - said.at_ms <= AGE_MS_MAX:
        raise _refused("the proof is older than five minutes")
    if said.challenge and not same_digest(said.challenge, challenge):
        raise _refused("the proof is for another page's challenge")
    # Of what was signed, not of how it travelled: an envelope can be written in more than one way.
    return Proved(said.person, said.at_ms, f"sign-in:{jcs.digest(verified.statement.predicate)}", verified.key_id)


def claimed_by(proof: str) -> str:
    """Who a proof claims to be of, for display before it is verified; empty when it is none."""
    try:
        return _said(unverified_statement(_envelope(proof)).predicate).person
    except EvidenceError:
        return ""


def challenge_of(secret: str) -> str:
    """The challenge that a page shows to who holds this secret; sixteen characters that a person can type."""
    found = base64.b32encode(hashlib.sha256(b"bywire sign-in challenge\x00" + secret.encode()).digest())[:16].decode()
    return "-".join(found[at : at + 4] for at in range(0, 16, 4))


def _envelope(proof: str) -> bytes:
    text = "".join(proof.split())
    if len(text) > PROOF_CHARS_MAX or not text.isascii():
        raise _refused("this is no proof")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _refused("this is no proof") from error


def _said(predicate: dict[str, object]) -> SignIn:
    try:
        return msgspec.convert(predicate, SignIn)
    except msgspec.ValidationError as error:
        raise _refused("this is no proof") from error


def _refused(why: str) -> EvidenceError:
    return EvidenceError(why, code="sign_in_refused", next_step=_AGAIN)
