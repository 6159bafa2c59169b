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
from bywire.gateway.ports import ApprovalStore
from bywire.identity.trust import TrustRoot
from bywire.model.decision import Decision
from bywire.model.operator import OperatorConfig

SCHEDULED = "scheduled"


class Pending:
    """What was approved, what waits, and what to ask next."""

    def __init__(self, approvals: ApprovalStore, trust: Callable[[], TrustRoot], operator: OperatorConfig) -> None:
        self._approvals = approvals
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

    def packet(
        self,
        asked: Asked,
        contract: Contract,
        decision: Decision,
        policy_input: dict[str, Any],
        repeated: tuple[str, ...] = (),
    ) -> tuple[Packet, bool]:
        """(packet, new): the one that waits for exactly this already, or a new one that says what changed.

        `repeated` are the places of parameters that hold words of untrusted output.
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
        for candidate in (*earlier, *self._approvals.decided_before(packet)):
            previous = verify_approvals(candidate, self._trust()) if candidate.envelopes else None
            if previous is not None:
                return packets.superseding(packet, previous, revoked=candidate.revoked), True
        return packet, True


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
        if alive and not differences(candidate.packet, wanted):
            return candidate.packet
    return None
