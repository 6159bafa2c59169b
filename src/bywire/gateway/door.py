"""The door. `Door.call` is the whole path from a request to its effect; read it top to bottom.

authenticate -> contract -> canonical form -> decide -> approve? -> journal intent -> execute -> journal outcome.
The intent is durable before the effect, so a crash leaves a visible open intent for `recovery`, never a blind retry.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from bywire.approvals.grant import Grant, verify_approval
from bywire.approvals.packet import TARGET_FIELDS, Packet, differences
from bywire.gateway import inputs, packets, records
from bywire.gateway.canonical import canonicalise
from bywire.gateway.contract import Catalogue, Contract, ContractError, check_names
from bywire.gateway.misses import told
from bywire.gateway.ports import (
    INTENT_EXISTS,
    ApprovalStore,
    ChangeFacts,
    Clock,
    Executor,
    Intent,
    IntentRow,
    Journal,
    Miss,
    NamedState,
    StateSnapshot,
    Steps,
)
from bywire.gateway.redaction import Redactor
from bywire.identity.session import session_id_of
from bywire.identity.trust import TrustRoot
from bywire.model.action import ActionRequest, CanonicalAction
from bywire.model.decision import Decision, Effect, Outcome, OutcomeStatus, Reason
from bywire.model.errors import BywireError, ConflictError, EvidenceError, TargetError
from bywire.model.operator import OperatorConfig
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

# What the door does for every call anyway: packets name roles and tier, answers are redacted, outcomes carry the target
# before and after, and a fix is a branch that nothing merges.
OBLIGATIONS = frozenset({"approval", "no_auto_merge", "record_telemetry", "redact", "tier"})
RESULT_BYTES_MAX = 1_048_576
ENTRYPOINT = "data.bywire.action.decision"
# (change, facts, retreat) of the policy input.
Delivered: TypeAlias = tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]
NOTHING_DELIVERED: Delivered = ({}, {}, None)


class Engine(Protocol):
    """The policy engine as the door needs it."""

    def decide(self, entrypoint: str, policy_input: dict[str, Any]) -> Decision:
        """Decide; never raise for a bad policy or input, deny instead."""
        ...


def unknown_obligations(decision: Decision) -> dict[str, str] | None:
    """The error for an obligation that this door cannot meet: then an allow is none (AuthZEN 1.0)."""
    unknown = sorted({str(item.get("kind")) for item in decision.obligations} - OBLIGATIONS)
    if not unknown:
        return None
    return {
        "code": "obligation_unknown",
        "message": f"the policy asks for {', '.join(unknown)}, which this door cannot do",
        "next_step": "remove the obligation from the policy, or use a bywire that knows it",
    }


class Asked(msgspec.Struct, frozen=True):
    """One call on its way through the door."""

    request: ActionRequest
    action: CanonicalAction
    contract: Contract | None
    snapshot: StateSnapshot
    target: dict[str, Any]
    now_ms: int
    key: str


class Door:
    """One workspace's door. Thread-safe as far as its ports are; holds no state of its own."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        engine: Callable[[], Engine],
        trust: TrustRoot,
        operator: OperatorConfig,
        journal: Journal,
        approvals: ApprovalStore,
        state: NamedState,
        facts: ChangeFacts,
        executors: Mapping[str, Executor],
        clock: Clock,
        steps: Steps,
        workspace_key: bytes,
        log_key: SigningKey,
    ) -> None:
        self._catalogue = catalogue
        self._engine = engine
        self._trust = trust
        self._operator = operator
        self._operator_facts = inputs.operator_facts(operator, trust)
        self._journal = journal
        self._approvals = approvals
        self._state = state
        self._facts = facts
        self._executors = executors
        self._clock = clock
        self._steps = steps
        self._workspace_key = workspace_key
        self._redactor = Redactor(workspace_key)
        self._log_key = log_key

    def call(self, token: str, request: ActionRequest) -> Outcome:
        """Ask for one action. Every answer is an `Outcome`; errors are for broken calls and machines.

        Raises EvidenceError (not authenticated), ContractError (malformed call), ConflictError (key reused).
        """
        asked = self._ask(token, request)  # 1-3 authenticate, contract, canonical form
        if asked.contract is not None and asked.contract.read:
            return self._read(asked, asked.contract)
        known = self._journal.find(asked.key)  # 4 idempotency: the same key means the same action
        if known is not None and asked.contract is not None:
            return self._repeat(asked, known)
        grant, uses_left, revoked = self._grant(asked)  # 5 what was approved
        policy_input = self._input(asked, self._facts.facts_for(request.change), grant, uses_left, revoked=revoked)
        decision = self._engine().decide(ENTRYPOINT, policy_input)  # 6 decide: pure
        envelope = records.decision_statement(decision, asked.action, policy_input, self._log_key)
        self._steps.reached("door.decided")
        if decision.effect is Effect.APPROVAL_NEEDED and asked.contract is not None:
            return self._pend(asked, asked.contract, decision, envelope, policy_input)
        unmet = unknown_obligations(decision)
        if decision.effect is not Effect.ALLOW or asked.contract is None or unmet is not None:
            entry = self._journal.record("decision", envelope, request.change, asked.now_ms)
            return self._outcome(OutcomeStatus.DENIED, asked.action, decision, entry=entry, error=unmet)
        if request.dry_run:
            entry = self._journal.record("decision", envelope, request.change, asked.now_ms)
            return self._outcome(OutcomeStatus.COMMITTED, asked.action, decision, result={"dry_run": True}, entry=entry)
        row = self._commit(asked, asked.contract, decision, envelope, grant)  # 7 durable before the effect
        if isinstance(row, Miss):
            return self._missed(asked, row, decision, envelope)
        self._steps.reached("door.intent_committed")
        return self.carry_out(row, asked.request.parameters, asked.target, grant)  # 8-9 effect, outcome

    def carry_out(self, row: IntentRow, raw: dict[str, Any], before: dict[str, Any], grant: Grant | None) -> Outcome:
        """Execute a journalled intent and journal its outcome. Also the last half of recovery."""
        contract = self._catalogue.find(row.tool)
        if contract is None:
            raise ContractError(f"{row.tool} has no contract any more", next_step="settle the intent by hand")
        executor = self._executors[contract.executor]
        status, result, error = OutcomeStatus.COMMITTED, None, None
        try:
            result = executor.execute(row, raw)
        except TargetError as failure:
            status, error = OutcomeStatus.FAILED, failure.as_json()
        except (TimeoutError, OSError) as failure:
            # Nobody knows whether it happened: that is an outcome of its own, settled by recovery.
            status = OutcomeStatus.UNKNOWN
            error = {"code": "no_answer", "message": str(failure), "next_step": "bywire doctor"}
        self._steps.reached("door.executed")
        outcome = Outcome(
            status=status,
            action_digest=row.action_digest,
            decision=row.decision,
            result=self.redacted(result) if result is not None else None,
            error={name: self._redactor.display(text) for name, text in error.items()} if error else None,
        )
        return self.settle(row, outcome, before, grant)

    def settle(self, row: IntentRow, outcome: Outcome, before: dict[str, Any], grant: Grant | None) -> Outcome:
        """Journal how an intent ended."""
        contract = self._catalogue.find(row.tool)
        after = self._observe(contract) if contract else {}
        approval = {"approver": grant.approver, "reason": grant.reason, "id": grant.id} if grant else {}
        envelope = records.outcome_statement(
            outcome, row.key, {"before": before, "after": after}, approval, self._log_key
        )
        entry = self._journal.settle(row.key, outcome, envelope, self._clock.now_ms())
        self._steps.reached("door.outcome_recorded")
        return msgspec.structs.replace(outcome, entry=entry)

    def redacted(self, result: dict[str, Any]) -> dict[str, Any]:
        """What may be kept of an executor's answer."""
        kept: dict[str, Any] = self._redactor.canonical(result)
        try:
            size = len(jcs.canonical(kept))
        except EvidenceError as error:
            return {"omitted": error.code}
        # An answer that no statement could carry must not keep its own outcome from being recorded.
        return kept if size <= RESULT_BYTES_MAX else {"omitted": "too large", "bytes": size}

    def frozen(self) -> bool:
        """Whether nothing at all may be sent now, retreats included."""
        return self._state.frozen()

    def _ask(self, token: str, request: ActionRequest) -> Asked:
        session_id = session_id_of(token, self._workspace_key)
        contract = self._catalogue.find(request.tool)
        self._check_request(request)
        request = msgspec.structs.replace(request, parameters=self._catalogue.check(contract, request.parameters))
        if contract is not None and not contract.read and not request.idempotency_key:
            raise ContractError("a write needs an idempotency key", next_step="send one, stable across retries")
        snapshot = self._state.snapshot(session_id, request.service)
        principal = snapshot.session.principal
        return Asked(
            request=request,
            action=canonicalise(request, principal, self._redactor),
            contract=contract,
            snapshot=snapshot,
            target={} if contract is None or contract.read else self._observe(contract),
            now_ms=self._clock.now_ms(),
            key=f"{principal.id}|{request.tool}|{request.idempotency_key}",
        )

    def _check_request(self, request: ActionRequest) -> None:
        """Names are kept as they are, so they hold no secret; and this door leads to one service in one environment."""
        check_names(request)
        for name in (request.tool, request.service, request.environment, request.change, request.idempotency_key):
            if self._redactor.display(name) != name:
                raise ContractError("a name or key looks like a secret", next_step="secrets belong in no name or key")
        here = (self._operator.service, self._operator.environment)
        if (request.service, request.environment) != here:
            raise ContractError(
                f"this door leads to {here[0]} in {here[1]}, not to {request.service} in {request.environment}",
                next_step="use the operator directory of that service: --operator DIR",
            )

    def _input(
        self, asked: Asked, about: Delivered, grant: Grant | None = None, uses_left: int = 0, *, revoked: bool = False
    ) -> dict[str, Any]:
        change, facts, retreat = about
        return {
            "version": inputs.INPUT_VERSION,
            "now_ms": asked.now_ms,
            "principal": inputs.principal_facts(asked.snapshot),
            "action": inputs.action_facts(asked.action, asked.contract, dry_run=asked.request.dry_run),
            "operator": self._operator_facts,
            "change": change,
            "facts": facts,
            "grant": inputs.grant_input(grant, asked.action, self._operator, uses_left, revoked=revoked),
            "retreat": retreat,
            "state": inputs.state_facts(asked.snapshot, self._operator, asked.now_ms, asked.target),
        }

    def _grant(self, asked: Asked) -> tuple[Grant | None, int, bool]:
        if asked.contract is None:
            return None, 0, False
        candidates = self._approvals.find(action_digest=asked.action.digest, plan_digest=asked.request.plan)
        for _, envelope, uses_left, revoked in candidates:
            grant = self._verdict(envelope)
            if grant is not None and grant.verdict == "approved" and self._same_target(grant, asked):
                return grant, uses_left, revoked
        return None, 0, False

    @staticmethod
    def _same_target(grant: Grant, asked: Asked) -> bool:
        """Whether the target still serves what it did when the person was asked (RULES 18).

        Asked of the approved action alone: the steps of an approved plan change the target themselves.
        """
        packet = grant.packet
        if packet.action_digest != asked.action.digest:
            return True
        return all(packet.target.get(name, "") == asked.target.get(name, "") for name in TARGET_FIELDS)

    def _verdict(self, envelope: bytes | None) -> Grant | None:
        """A stored verdict that still verifies. One that does not (its key was retired) permits and blocks nothing."""
        if envelope is None:
            return None
        try:
            return verify_approval(envelope, self._trust)
        except EvidenceError:
            return None

    def _repeat(self, asked: Asked, row: IntentRow) -> Outcome:
        if row.action_digest != asked.action.digest:
            raise ConflictError(
                "this idempotency key was used for another action",
                code="idempotency_conflict",
                next_step="use a new key for a new action; the recorded one stands",
            )
        if row.outcome is None:
            return self._outcome(OutcomeStatus.UNKNOWN, asked.action, row.decision)
        return msgspec.structs.replace(row.outcome, replayed=True)

    def _read(self, asked: Asked, contract: Contract) -> Outcome:
        """A read has no effect: it repeats freely, needs no grant, rests on no evidence, and shares a later commit."""
        policy_input = self._input(asked, NOTHING_DELIVERED)
        decision = self._engine().decide(ENTRYPOINT, policy_input)
        self._journal.note_read({"decision": msgspec.to_builtins(decision), "input": policy_input}, asked.now_ms)
        unmet = unknown_obligations(decision)
        if decision.effect is not Effect.ALLOW or unmet is not None:
            return self._outcome(OutcomeStatus.DENIED, asked.action, decision, error=unmet)
        try:
            answer = self._executors[contract.executor].read(asked.request.tool, asked.request.parameters)
        except TargetError as failure:
            # A read that fails is an answer, too: whoever watches holds, and asks again.
            return self._outcome(OutcomeStatus.FAILED, asked.action, decision, error=failure.as_json())
        # Redacted, and whole: no statement has to carry it.
        result = self._redactor.canonical(answer)
        return self._outcome(OutcomeStatus.COMMITTED, asked.action, decision, result=result)

    def _pend(
        self, asked: Asked, contract: Contract, decision: Decision, envelope: bytes, policy_input: dict[str, Any]
    ) -> Outcome:
        if asked.request.dry_run:
            # A person who signed here would have approved the real action.
            return self._outcome(OutcomeStatus.PENDING, asked.action, decision)
        packet = packets.build_packet(
            asked.action, contract, decision, policy_input, ttl_seconds=self._operator.limits.approval_ttl_seconds
        )
        earlier = self._approvals.find(action_digest=asked.action.digest, plan_digest=packet.plan_digest)
        waiting = self._waiting(earlier, packet)
        if waiting is not None:
            return self._outcome(OutcomeStatus.PENDING, asked.action, decision, approval_id=waiting.id)
        verdicts = (*(envelope for _, envelope, _, _ in earlier), self._approvals.decided_before(packet))
        previous = next(filter(None, map(self._verdict, verdicts)), None)
        if previous is not None:
            packet = packets.superseding(packet, previous)
        self._journal.record("decision", envelope, asked.request.change, asked.now_ms)
        entry = self._approvals.pending(packet)
        self._steps.reached("door.pending")
        return self._outcome(OutcomeStatus.PENDING, asked.action, decision, approval_id=packet.id, entry=entry)

    @staticmethod
    def _waiting(earlier: tuple[tuple[Packet, bytes | None, int, bool], ...], wanted: Packet) -> Packet | None:
        for packet, verdict, _, revoked in earlier:
            alive = verdict is None and not revoked and packet.expires_at_ms > wanted.requested_at_ms
            if alive and not differences(packet, wanted):
                return packet
        return None

    def _commit(
        self, asked: Asked, contract: Contract, decision: Decision, envelope: bytes, grant: Grant | None
    ) -> IntentRow | Miss:
        raw = asked.request.parameters
        if canonicalise(asked.request, asked.snapshot.session.principal, self._redactor).digest != asked.action.digest:
            raise EvidenceError(
                "the request changed while it was decided", code="action_changed", next_step="call again"
            )
        return self._journal.commit_intent(
            Intent(
                key=asked.key,
                action_digest=asked.action.digest,
                principal=asked.action.principal,
                tool=contract.name,
                service=asked.action.service,
                environment=asked.action.environment,
                change=asked.action.change,
                session_id=asked.snapshot.session.id,
                integrity=asked.snapshot.session.integrity,
                stop_epoch=asked.snapshot.stop_epoch,
                bundle_digest=decision.bundle_digest,
                grant_id=grant.id if grant and not contract.exposure_reducing else "",
                budget_limit=self._operator.limits.actions_per_hour,
                exposure_reducing=contract.exposure_reducing,
                now_ms=asked.now_ms,
                deadline_ms=asked.now_ms + contract.deadline_seconds * 1000,
                precondition={"version": asked.target.get("version")},
                request={
                    "parameters": asked.action.parameters,
                    "evidence": list(asked.action.evidence),
                    "redacted": asked.action.parameters != raw,
                },
                decision=decision,
                decision_envelope=envelope,
                grant_uses=1 if contract.uses_grant else 0,
            )
        )

    def _missed(self, asked: Asked, miss: Miss, decision: Decision, decided: bytes) -> Outcome:
        known = self._journal.find(asked.key) if miss.rule == INTENT_EXISTS else None
        if known is not None:
            return self._repeat(asked, known)
        self._journal.record("decision", decided, asked.request.change, asked.now_ms)
        reason = Reason(rule=miss.rule, facts={**miss.facts, **told(miss.rule)}, hard=True)
        late = msgspec.structs.replace(decision, effect=Effect.DENY, reasons=(reason,))
        outcome = self._outcome(OutcomeStatus.DENIED, asked.action, late, error={"code": miss.rule})
        envelope = records.outcome_statement(outcome, asked.key, {"miss": miss.facts}, {}, self._log_key)
        entry = self._journal.record("outcome", envelope, asked.request.change, self._clock.now_ms())
        return msgspec.structs.replace(outcome, entry=entry)

    def _observe(self, contract: Contract) -> dict[str, Any]:
        try:
            return self.redacted(self._executors[contract.executor].observe())
        except BywireError as error:
            return {"unavailable": error.code}
        except OSError:
            return {"unavailable": "no_answer"}

    @staticmethod
    def _outcome(status: OutcomeStatus, action: CanonicalAction, decision: Decision, **more: Any) -> Outcome:
        return Outcome(status=status, action_digest=action.digest, decision=decision, **more)
