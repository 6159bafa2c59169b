"""From sealed envelopes to statements one may believe: signature, role, validity at the log index, in that order."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bywire.evidence.roles import SIGNERS, Signer, may_sign
from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import Statement
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import unverified_statement, verify_statement

STATEMENTS_MAX = 512
_ROLES = (KeyRole.AGENT, KeyRole.BUILDER)


class SealedStatement(msgspec.Struct, frozen=True):
    """Envelope bytes as stored, the ledger index of its entry and the time of that entry (ms since the epoch)."""

    envelope: bytes
    entry: int
    at_ms: int


class Believed(msgspec.Struct, frozen=True):
    """A statement whose signature, role and key validity were verified."""

    statement: Statement
    digest: str
    key_id: str
    signer: Signer
    entry: int
    at_ms: int

    def is_about(self, sha256: str) -> bool:
        """Whether `sha256` is among the subjects."""
        return any(item.sha256 == sha256 for item in self.statement.subject)


def believe(sealed: SealedStatement, trust: TrustRoot) -> Believed:
    """Verify one envelope.

    1. Its signature fits a key that `trust` holds for agents or builders and that was valid at its log index; all such
    keys are tried, so nothing in the envelope chooses one. 2. That key's principal may sign this predicate type.
    Raises EvidenceError: the codes of `verify_statement`, and `signer_role`.
    """
    keys = [key for role in _ROLES for key in trust.keys_for(role, index=sealed.entry)]
    verified = verify_statement(sealed.envelope, keys)
    holder = trust.entry(verified.key_id)
    signer = (holder.role, holder.principal) if holder else None
    if signer is None or not may_sign(verified.statement.predicateType, signer):
        raise EvidenceError(
            f"{signer[1] if signer else 'nobody'} may not sign statements of type {verified.statement.predicateType}",
            code="signer_role",
            next_step="the role whose deliverable this is must sign it with its own key",
        )
    return Believed(
        statement=verified.statement,
        digest=sha256_hex(sealed.envelope),
        key_id=verified.key_id,
        signer=signer,
        entry=sealed.entry,
        at_ms=sealed.at_ms,
    )


def examine(
    statements: Sequence[SealedStatement], trust: TrustRoot, now_ms: int
) -> tuple[tuple[Believed, ...], list[dict[str, Any]]]:
    """What may be believed, and the line of `facts.statements` for every envelope, unverified ones included.

    Statements of a kind that carries no facts (decisions, recourse, verdicts) are skipped and not counted.
    Raises EvidenceError `too_many_statements`.
    """
    claims = [(sealed, _claimed_type(sealed)) for sealed in sorted(statements, key=lambda item: item.entry)]
    relevant = [(sealed, claimed) for sealed, claimed in claims if not claimed or claimed in SIGNERS]
    if len(relevant) > STATEMENTS_MAX:
        raise EvidenceError(
            f"{len(relevant)} statements for one change; at most {STATEMENTS_MAX} are read",
            code="too_many_statements",
            next_step="start a new delivery for this change",
        )
    believed = []
    lines = []
    for sealed, claimed in relevant:
        age = max(0, now_ms - sealed.at_ms) // 1000
        try:
            item = believe(sealed, trust)
        except EvidenceError:
            lines.append(_unverified_line(sealed, claimed, age))
        else:
            believed.append(item)
            lines.append(_line(item, age))
    return tuple(believed), lines


def _line(item: Believed, age_seconds: int) -> dict[str, Any]:
    return {
        "digest": item.digest,
        "predicate_type": item.statement.predicateType,
        "signer": {"keyid": item.key_id, "role": str(item.signer[0]), "name": item.signer[1]},
        "verified": True,
        "subjects": sorted(subject.sha256 for subject in item.statement.subject),
        "entry": item.entry,
        "age_seconds": age_seconds,
    }


def _claimed_type(sealed: SealedStatement) -> str:
    """What the envelope says it is, before anything is believed; empty when it cannot be read."""
    try:
        return unverified_statement(sealed.envelope).predicateType
    except EvidenceError:
        return ""


def _unverified_line(sealed: SealedStatement, claimed: str, age_seconds: int) -> dict[str, Any]:
    return {
        "digest": sha256_hex(sealed.envelope),
        "predicate_type": claimed,
        "signer": {"keyid": "", "role": "", "name": ""},
        "verified": False,
        "subjects": [],
        "entry": sealed.entry,
        "age_seconds": age_seconds,
    }
