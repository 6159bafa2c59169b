"""An approval as a store gives it, and what its signed verdicts amount to once each of them was verified again."""

import msgspec

from bywire.approvals.grant import Grant, Verdict, kind_of, uses_of, verify_approval
from bywire.approvals.packet import Packet
from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.seal.digest import same_digest

DENIED, APPROVED = "denied", "approved"


class Candidate(msgspec.Struct, frozen=True):
    """One stored request with its verdicts, oldest first. `settled` is empty while it waits, else how it ended.

    Nothing in it is believed: the envelopes are verified at each use, and the intent transaction checks the row again.
    """

    packet: Packet
    envelopes: tuple[bytes, ...] = ()
    uses_left: int = 0
    revoked: bool = False
    settled: str = ""

    @property
    def waiting(self) -> bool:
        """Whether a person may still answer."""
        return not self.settled and not self.revoked


def verify_approvals(candidate: Candidate, trust: TrustRoot) -> Grant | None:
    """What the verdicts that verify amount to; None when none does.

    One denial denies. A person counts once, with whatever keys and through whatever channels they spoke; a verdict on
    another packet counts for nothing. What does not verify (a retired key, a forged row) permits and blocks nothing.
    """
    verdicts = tuple(filter(None, (_verdict(envelope, candidate, trust) for envelope in candidate.envelopes)))
    denial = next((verdict for verdict in verdicts if verdict.verdict == DENIED), None)
    first: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.verdict == APPROVED:
            first.setdefault(verdict.approver, verdict)
    said = denial or next(iter(first.values()), None)
    if said is None:
        return None
    packet = said.packet
    return Grant(
        id=packet.id,
        kind=kind_of(packet),
        verdict=said.verdict,
        approver=said.approver,
        approver_role=said.approval.role,
        reason=said.reason,
        packet=packet,
        key_id=said.key_id,
        uses=uses_of(packet),
        approvals=tuple(verdict.approval for verdict in first.values()),
    )


def _verdict(envelope: bytes, candidate: Candidate, trust: TrustRoot) -> Verdict | None:
    try:
        verdict = verify_approval(envelope, trust)
    except EvidenceError:
        return None
    return verdict if same_digest(verdict.packet.digest, candidate.packet.digest) else None
