"""Waiting for people: one packet for one question, asked once, with what changed since they were asked before."""

from collections.abc import Callable
from typing import Any

import msgspec

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.grant import Grant
from bywire.approvals.packet import TARGET_FIELDS, Packet, differences
from bywire.approvals.windows import next_opening_ms
from bywire.gateway import packets
from bywire.gateway.asking import Asked
from bywire.gateway.contract import Contract
from bywire.gateway.ports import ApprovalStore, Journal
from bywire.identity.trust import TrustRoot
from bywire.model.decision import Decision
from bywire.model.operator import OperatorConfig

SCHEDULED = "scheduled"
OUTSIDE_WINDOW = "approval.outside_window"


class Waits(msgspec.Struct, frozen=True):
    """Whom it waits for: the recorded decision that says so, and the request; `entry` -1 when that was there before."""

    decision: Decision
    approval_id: str = ""
    entry: int = -1


class Pending:
    """What was approved, what waits, and what to ask next."""

    def __init__(
        self, approvals: ApprovalStore, journal: Journal, trust: Callable[[], TrustRoot], operator: OperatorConfig
    ) -> None:
        self._approvals = approvals
        self._journal = journal
        self._trust = trust
        self._operator = operator

    def grant(self, asked: Asked) -> tuple[Grant | None, int, bool]:
        """(grant, uses left, revoked): the newest verified approval that this action may use."""
        if asked.contract is None:
            return None, 0, False
        for candidate in self._approvals.find(action_digest=asked.action.digest, plan_digest=asked.request.plan):
            if candidate.packet.requester != asked.action.principal:
                continue  # a plan is for the agent that asked: its owner was kept from approving, not another's
            if candidate.revoked and _asks_anew(candidate, asked, asked.contract):
                continue
            grant = verify_approvals(candidate, self._trust())
            if grant is not None and grant.verdict == "approved" and _same_target(grant, asked):
                return grant, candidate.uses_left, candidate.revoked
        return None, 0, False

    def ask(
        self,
        asked: Asked,
        contract: Contract,
        decision: Decision,
        policy_input: dict[str, Any],
        envelope: bytes,
        *,
        grant: Grant | None = None,
        repeated: tuple[str, ...] = (),
    ) -> Waits:
        """Record the decision and ask people, unless both was done; `envelope` is the decision's statement."""
        change, now_ms = asked.request.change, asked.now_ms
        if asked.request.dry_run:
            # A person who signed here would have approved the real action.
            return Waits(decision, entry=self._journal.record("decision", envelope, change, now_ms))
        if grant is not None and {reason.rule for reason in decision.reasons} == {OUTSIDE_WINDOW}:
            # People have agreed; only the hour is wrong, and asking them again would not change it.
            return self._still(asked, decision, envelope, grant.id)
        packet, new = self.packet(asked, contract, decision, policy_input, repeated)
        if not new:
            return self._still(asked, decision, envelope, packet.id)
        self._journal.record("decision", envelope, change, now_ms, packet.id)
        return Waits(decision, packet.id, self._approvals.pending(packet))

    def _still(self, asked: Asked, decision: Decision, envelope: bytes, approval_id: str) -> Waits:
        """The recorded decision that says the same, or this one, recorded now.

        Each call is decided anew (RULES 12); whoever comes back to see whether people have answered fills no ledger.
        """
        # One approval of a plan is for many actions, and each of them has a decision of its own.
        said = self._journal.decision_on(approval_id, asked.action.digest)
        if said is None or not _same_answer(said, decision):
            said = decision
            self._journal.record("decision", envelope, asked.request.change, asked.now_ms, approval_id)
        return Waits(said, approval_id)

    def packet(
        self,
        asked: Asked,
        contract: Contract,
        decision: Decision,
        policy_input: dict[str, Any],
        repeated: tuple[str, ...] = (),
    ) -> tuple[Packet, bool]:
        """(packet, new): the one that waits for exactly this already, or a new one that says what changed.

        `repeated` is told with it: which values repeat untrusted output.
        """
        now_ms = asked.now_ms
        packet = packets.build_packet(
            asked.action, contract, decision, policy_input, expires_at_ms=now_ms, repeated=repeated
        )
        # A request that a gate holds until its window opens must still be alive then.
        opens_ms = next_opening_ms(self._operator.change_windows, now_ms) if packet.gate == SCHEDULED else None
        lives_ms = self._operator.limits.approval_ttl_seconds * 1000
        packet = msgspec.structs.replace(packet, expires_at_ms=(opens_ms or now_ms) + lives_ms)
        earlier = self._approvals.find(action_digest=asked.action.digest, plan_digest=packet.plan_digest)
        waiting = _waiting(earlier, packet)
        if waiting is not None:
            return waiting, False
        namesake = next((one.packet for one in earlier if one.packet.id == packet.id), None)
        if namesake is not None:
            packet = packets.renamed(packet, namesake)
        for candidate in (*earlier, *self._approvals.decided_before(packet)):
            previous = verify_approvals(candidate, self._trust()) if candidate.envelopes else None
            if previous is not None:
                return packets.superseding(packet, previous, revoked=candidate.revoked), True
        return packet, True


def _same_answer(one: Decision, other: Decision) -> bool:
    """Whether two decisions differ in nothing but the input that they were made on."""
    names = ("effect", "reasons", "obligations", "engine", "bundle_digest", "entrypoint")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _asks_anew(candidate: Candidate, asked: Asked, contract: Contract) -> bool:
    """Whether a revoked approval is as good as none.

    It is for a retreat, which it must not block (RULES 16), and for the approved action itself, which a person may be
    asked about again. The steps of a revoked plan are denied.
    """
    return contract.exposure_reducing or candidate.packet.action_digest == asked.action.digest


def _same_target(grant: Grant, asked: Asked) -> bool:
    """Whether the target still serves what it did when the person was asked (RULES 18).

    Asked of the approved action alone: the steps of an approved plan change the target themselves.
    """
    packet = grant.packet
    if packet.action_digest != asked.action.digest:
        return True
    return all(packet.target.get(name, "") == asked.target.get(name, "") for name in TARGET_FIELDS)


def _waiting(earlier: tuple[Candidate, ...], wanted: Packet) -> Packet | None:
    for candidate in earlier:
        alive = candidate.waiting and candidate.packet.expires_at_ms > wanted.requested_at_ms
        if (
            alive
            and not differences(candidate.packet, wanted)
            and _told_against(candidate.packet) >= _told_against(wanted)
        ):
            return candidate.packet
    return None


def _told_against(packet: Packet) -> frozenset[str]:
    """What speaks against it: whoever is asked already must have been told all of it (RULES 18)."""
    return frozenset((*packet.missing, *packet.contrary, *packet.uncertain))
