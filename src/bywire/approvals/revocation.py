"""Revocation: taking back what was approved, signed like the approval itself, effective at the next intent."""

import msgspec

from bywire.approvals.packet import REASON_CHARS_MAX, Packet
from bywire.identity.trust import TrustRoot, is_principal
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, PrincipalKind
from bywire.model.statement import APPROVAL_REVOCATION, Statement, subject
from bywire.seal.digest import same_digest
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import Signer

# Who may take back what others approved.
REVOKER_ROLES = ("incident-commander", "security")


class Revocation(msgspec.Struct, frozen=True):
    """A verified revocation of one approval. `at_ms` is the signer's clock."""

    approval: str
    packet_digest: str
    person: str
    reason: str
    at_ms: int
    key_id: str


class _Predicate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approval: str
    person: str
    reason: str
    at_ms: int


def sign_revocation(packet: Packet, person: str, reason: str, at_ms: int, key: Signer) -> bytes:
    """The revocation statement: the person's key over the packet's digest."""
    predicate = msgspec.to_builtins(_Predicate(approval=packet.id, person=person, reason=reason, at_ms=at_ms))
    statement = Statement(
        subject=(subject(packet.id, packet.digest),), predicateType=APPROVAL_REVOCATION, predicate=predicate
    )
    return sign_statement(statement, key)


def verify_revocation(envelope: bytes, packet: Packet, trust: TrustRoot, index: int | None = None) -> Revocation:
    """Verify a revocation of `packet` with the approver keys of the person it names, and no others.

    Whether that person may revoke it is asked by `may_revoke`. Raises EvidenceError: revocation_malformed,
    approval_unknown_person, signature_invalid.
    """
    person = str(unverified_statement(envelope).predicate.get("person", ""))
    keys = trust.keys_for(KeyRole.APPROVER, principal=person, index=index) if person else ()
    if not keys or not is_principal(person, PrincipalKind.PERSON):
        raise _refused(f"{person or 'nobody'} holds no approver key", "approval_unknown_person")
    verified = verify_statement(envelope, keys)
    statement = verified.statement
    try:
        said = msgspec.convert(statement.predicate, _Predicate)
    except msgspec.ValidationError as error:
        raise _refused(f"the revocation is malformed: {error}") from error
    about = said.approval == packet.id and same_digest(statement.subject[0].sha256, packet.digest)
    if statement.predicateType != APPROVAL_REVOCATION or not about:
        raise _refused("this is no revocation of that approval")
    if not 1 <= len(said.reason.strip()) <= REASON_CHARS_MAX:
        raise _refused("a revocation says why, shortly")
    return Revocation(
        approval=said.approval,
        packet_digest=packet.digest,
        person=person,
        reason=said.reason,
        at_ms=said.at_ms,
        key_id=verified.key_id,
    )


def may_revoke(person: str, roles: tuple[str, ...], approvers: tuple[str, ...]) -> bool:
    """Whether someone who holds `roles` may take back what `approvers` agreed to: one of them, or who is in command."""
    return person in approvers or any(role in REVOKER_ROLES for role in roles)


def _refused(why: str, code: str = "revocation_malformed") -> EvidenceError:
    return EvidenceError(why, code=code, next_step="bywire approvals revoke ID --as PERSON --reason TEXT")
