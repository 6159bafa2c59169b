"""The door. `Door.call` is the whole path from a request to its effect; read it top to bottom.

authenticate -> contract -> canonical form -> decide -> approve? -> journal intent -> execute -> journal outcome.
The intent is durable before the effect, so a crash leaves a visible open intent for `recovery`, never a blind retry.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from bywire.approvals.grant import Grant
from bywire.gateway import inputs, permitting, records
from bywire.gateway.asking import DEFAULT_INSPECTION, Asked, Entrance
from bywire.gateway.condition import unmet
from bywire.gateway.contract import Catalogue, Contract, ContractError
from bywire.gateway.deciding import Decider, Engine, Judged
from bywire.gateway.executing import answered, carried_out
from bywire.gateway.intending import intent_of
from bywire.gateway.misses import told
from bywire.gateway.pending import Pending
from bywire.gateway.ports import (
    INTENT_EXISTS,
    ApprovalStore,
    ChangeFacts,
    Clock,
    Credentials,
    Executor,
    IntentRow,
    Journal,
    Miss,
    NamedState,
    Sessions,
    Standing,
    Steps,
)
from bywire.gateway.provenance import Heard
from bywire.gateway.sealing import open_parameters
from bywire.gateway.verifying import Verifier
from bywire.identity.session import TAINTED
from bywire.identity.trust import TrustRoot
from bywire.model.action import ActionRequest
from bywire.model.decision import Decision, Effect, Outcome, OutcomeStatus, Reason
from bywire.model.errors import ConflictError, EvidenceError
from bywire.model.gateway_budgets import Budgets
from bywire.model.gateway_inspection import InspectionSettings
from bywire.model.operator import OperatorConfig
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

SESSION_CHANGED = "state.session_changed"
ANY_MOMENT: AbstractContextManager[None] = nullcontext()


class Door:
    """One workspace's door. Thread-safe as far as its ports are; holds no state but which words its runs have read."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        engine: Callable[[], Engine],
        trust: Callable[[], TrustRoot],
        sessions: Sessions,
        operator: OperatorConfig,
        journal: Journal,
        approvals: ApprovalStore,
        state: NamedState,
        standing: Standing,
        facts: ChangeFacts,
        executors: Mapping[str, Executor],
        credentials: Credentials,
        clock: Clock,
        steps: Steps,
        workspace_key: bytes,
        log_key: SigningKey,
        budgets: Budgets = inputs.NO_BUDGETS,
        budgets_fault: dict[str, str] | None = None,
        inspection: InspectionSettings = DEFAULT_INSPECTION,
        one_moment: AbstractContextManager[None] = ANY_MOMENT,
    ) -> None:
        self._one_moment = one_moment
        self._catalogue = catalogue
        self._journal = journal
        self._trust = trust
        self._state = state
        self._standing = standing
        self._executors, self._credentials = executors, credentials
        self._clock, self._steps = clock, steps
        self._workspace_key = workspace_key
        self._log_key, self._heard = log_key, Heard()
        self._pending = Pending(approvals, journal, trust, operator)
        self._entrance = Entrance(
            catalogue=catalogue,
            state=state,
            executors=executors,
            operator=operator,
            sessions=sessions,
            clock=clock,
            workspace_key=workspace_key,
            inspection=inspection,
        )
        self._decider = Decider(
            engine=engine,
            operator=operator,
            trust=trust,
            state=state,
            standing=standing,
            facts=facts,
            pending=self._pending,
            entrance=self._entrance,
            budgets=budgets,
            budgets_fault=budgets_fault,
        )
        self._verifier = Verifier(self._entrance, self._decider, executors, credentials, journal, self.raw_parameters)

    def call(self, token: str, request: ActionRequest) -> Outcome:
        """Ask for one action. Every answer is an `Outcome`; errors are for broken calls and machines.

        Raises EvidenceError (not authenticated), ContractError (malformed call), ConflictError (key reused).
        """
        asked = self._enter(token, request)  # 1-3 authenticate, contract, canonical form; a read is decided, too
        if isinstance(asked, tuple):
            return self._read(*asked)
        intended = self._intend(asked, mediated=True)  # 4-7 decided, approved, durable; or an answer
        if isinstance(intended, Outcome):
            return intended
        judged, row = intended
        outcome = self.carry_out(row, judged.asked.request.parameters, judged.asked.target, judged.grant)  # 8-9 effect
        return self._told(judged.asked, outcome)

    def permit(self, token: str, request: ActionRequest, *, exact: bool = False) -> Outcome:
        """As `call`, for what the caller carries out itself and reports; see `permitting`. Raises as `call`.

        `exact`: the caller can send what it asked for and nothing else, so that a changed action is refused.
        """
        asked = self._enter(token, request)
        permitting.check_permittable(self._catalogue.find(request.tool))
        if isinstance(asked, tuple):
            return self._read(*asked, mediated=False, exact=exact)
        intended = self._intend(asked, mediated=False, exact=exact)
        if isinstance(intended, Outcome):
            return intended
        judged, row = intended
        return permitting.permit(judged.asked, judged.decision, row.key, row.deadline_ms)

    def report(self, token: str, intent: str, status: str, result: dict[str, Any] | None) -> Outcome:
        """How a permitted action ended, said once by the principal it was permitted to.

        Raises EvidenceError (not authenticated), ContractError `intent_unknown`, ConflictError `already_reported`.
        """
        principal = self._entrance.principal(token)
        row = self._journal.find(intent)
        kept, counts = self._entrance.kept(result) if result is not None else (None, permitting.NOTHING_REDACTED)
        outcome = permitting.reported(row, principal, status, kept, counts)
        known = permitting.said_before(row.outcome if row is not None else None, outcome)
        if known is not None or row is None:
            return known or outcome
        settled = self.settle(row, outcome, {"reported_by": principal}, None)
        now = self._journal.find(intent)
        # Of two reports at once one stands; the other is logged, and its sender told.
        won = now is None or now.outcome is None or now.outcome.entry == settled.entry
        return settled if won or now is None else permitting.said_before(now.outcome, outcome) or settled

    def _enter(self, token: str, request: ActionRequest) -> Asked | tuple[Judged, Contract]:
        """Who asks for what. A read is decided at once, on what was in force at one moment."""
        contract = self._catalogue.find(request.tool)
        # An upstream that is asked what the tool is may take long: what was in force before is not believed after.
        with ANY_MOMENT if contract is not None and contract.definition else self._one_moment:
            asked = self._entrance.ask(token, request)
            if asked.contract is None or not asked.contract.read:
                return asked
            return self._decider.judge_read(asked), asked.contract

    def _intend(
        self, asked: Asked, *, mediated: bool, exact: bool = False, again: bool = False
    ) -> Outcome | tuple[Judged, IntentRow]:
        """Steps 4 to 7: a durable intent, or the answer when there is none."""
        first = asked
        asked, known = self._known(asked)  # 4 idempotency: the same key means the same action
        if known is not None and asked.contract is not None:
            return self._repeat(asked, known)
        judged = self._decider.judge(asked)  # 5-6 what was approved; decide: pure
        asked, decision, request = judged.asked, judged.decision, judged.asked.request
        envelope = records.decided(judged, self._log_key, mediated=mediated)
        self._steps.reached("door.decided")
        if decision.effect is Effect.APPROVAL_NEEDED and asked.contract is not None and judged.error is None:
            return self._pend(judged, asked.contract, envelope)
        error = judged.error or (self._unconnected(asked.contract) if mediated else permitting.inexact(asked, exact))
        if decision.effect is not Effect.ALLOW or asked.contract is None or error is not None:
            entry = self._journal.record("decision", envelope, request.change, asked.now_ms)
            return _outcome(OutcomeStatus.DENIED, asked, decision, entry=entry, error=error)
        if request.dry_run:
            entry = self._journal.record("decision", envelope, request.change, asked.now_ms)
            return _outcome(OutcomeStatus.COMMITTED, asked, decision, result={"dry_run": True}, entry=entry)
        unseen = None if asked.contract.exposure_reducing else self._standing.unwitnessed()
        row = (
            Miss("state.witness_overdue", unseen)
            if unseen
            else self._commit(judged, asked.contract, envelope, mediated=mediated)
        )
        if isinstance(row, Miss):  # 7 durable before the effect, or not at all
            lowered = self._lowered(first) if row.rule == SESSION_CHANGED and not again else None
            if lowered is not None:
                return self._intend(lowered, mediated=mediated, exact=exact, again=True)
            return self._missed(asked, row, decision, envelope)
        self._steps.reached("door.intent_committed")
        self._hear(asked, asked.contract)
        return judged, row

    def advise(self, token: str, request: ActionRequest) -> Outcome:
        """What the answer would be, from a snapshot that it names (RULES 10).

        It authorises nothing: no intent, no packet, no budget, and `call` decides anew. It is recorded as advice.
        """
        asked = self._entrance.ask(token, request, advice=True)
        read = asked.contract is not None and asked.contract.read
        judged = self._decider.judge_read(asked) if read else self._decider.judge(asked)
        decision, snapshot = judged.decision, msgspec.to_builtins(asked.snapshot)
        revision = jcs.digest([decision.bundle_digest, snapshot, asked.target])
        said: dict[str, Any] = {"effect": str(decision.effect), "revision": revision, "authorises": False}
        if judged.asked.action.digest != asked.action.digest:
            # What would be carried out is another action than the one asked about.
            said["parameters"] = judged.asked.action.parameters
            said["effect"] = str(Effect.SANITIZE if decision.effect is Effect.ALLOW else decision.effect)
        how = records.how(judged.asked.sanitized)
        decided = {"decision": msgspec.to_builtins(decision), "input": judged.policy_input}
        document = {**said, **decided, "action": asked.action.digest, **how}
        entry = self._journal.record_document("advised", document, request.change, asked.now_ms)
        return _outcome(OutcomeStatus.ADVISED, judged.asked, decision, result=said, entry=entry, error=judged.error)

    def carry_out(self, row: IntentRow, raw: dict[str, Any], before: dict[str, Any], grant: Grant | None) -> Outcome:
        """Execute a journalled intent and journal its outcome. Also the last half of recovery."""
        contract = self._catalogue.find(row.tool)
        if contract is None:
            raise ContractError(f"{row.tool} has no contract any more", next_step="settle the intent by hand")
        outcome = carried_out(
            row, raw, contract, self._executors, self._credentials, self._journal, self._entrance, self._clock.now_ms()
        )
        self._steps.reached("door.executed")
        return self.settle(row, outcome, before, grant)

    def settle(self, row: IntentRow, outcome: Outcome, before: dict[str, Any], grant: Grant | None) -> Outcome:
        """Journal how an intent ended, with what the target shows afterwards (RULES 15)."""
        contract = self._catalogue.find(row.tool)
        after = self._verifier.after(row, contract, outcome)
        outcome = records.verified(outcome, contract, row, after, recovered="recovered" in before)
        approval = {"approver": grant.approver, "reason": grant.reason, "id": grant.id} if grant else {}
        observed = {"before": before, "after": after}
        envelope = records.outcome_statement(outcome, row.key, observed, approval, self._log_key)
        entry = self._journal.settle(row.key, outcome, envelope, self._clock.now_ms())
        self._steps.reached("door.outcome_recorded")
        return msgspec.structs.replace(outcome, entry=entry)

    def raw_parameters(self, row: IntentRow) -> dict[str, Any] | None:
        """What an interrupted call would send again; None when a secret in it is gone."""
        if not row.request["redacted"]:
            return dict(row.request["parameters"])
        if not row.sealed:
            return None
        return open_parameters(row.sealed, self._workspace_key, row.key, row.action_digest, self._clock.now_ms())

    def was_decided(self, row: IntentRow) -> bool:
        """Whether this door signed that exactly this may happen; a row of the database alone permits nothing."""
        return records.was_decided(row, self._journal.decision_of(row.key), self._trust())

    def redacted(self, result: dict[str, Any]) -> dict[str, Any]:
        """What may be kept of an executor's answer."""
        return self._entrance.redacted(result)

    def frozen(self) -> bool:
        """Whether nothing at all may be sent now, retreats included."""
        return self._state.frozen()

    def _lowered(self, asked: Asked) -> Asked | None:
        """The call of a session that lost its integrity meanwhile, to be decided as what it is now; None when it ended.

        Agents call in parallel: one that reads untrusted text lowers what the others are decided as (RULES 22).
        """
        try:
            return self._entrance.again(asked)
        except EvidenceError:
            return None

    def _known(self, asked: Asked) -> tuple[Asked, IntentRow | None]:
        """The intent under the call's key. A retreat whose key is derived is asked for anew once it is needed again."""
        known = self._journal.find(asked.key)
        while known is not None and known.outcome is not None and asked.contract is not None:
            if not _needed_again(asked, asked.contract, known.outcome):
                break
            # Whoever asks at once derives the same next key, so there is still one effect.
            asked = msgspec.structs.replace(asked, key=f"{asked.key}+{known.outcome.entry}")
            known = self._journal.find(asked.key)
        return asked, known

    def _hear(self, asked: Asked, contract: Contract) -> None:
        """Before somebody else's text is handed over: a crash must not leave a session trusted that has read it."""
        if contract.tells_others_words and asked.snapshot.session.integrity != TAINTED:
            self._state.taint(asked.snapshot.session.id)

    def _repeat(self, asked: Asked, row: IntentRow) -> Outcome:
        if asked.action.digest not in {row.action_digest, row.request.get("asked")}:
            raise ConflictError(
                "this idempotency key was used for another action",
                code="idempotency_conflict",
                next_step="use a new key for a new action; the recorded one stands",
            )
        if row.outcome is None:
            return Outcome(OutcomeStatus.UNKNOWN, row.action_digest, row.decision, sanitized=row.sanitized)
        if asked.contract is not None:
            self._hear(asked, asked.contract)
        return msgspec.structs.replace(row.outcome, replayed=True)

    def _read(self, judged: Judged, contract: Contract, *, mediated: bool = True, exact: bool = False) -> Outcome:
        """A read has no effect: it repeats freely, and its decision shares a later commit."""
        asked, decision = judged.asked, judged.decision
        how = records.how(asked.sanitized)
        document = {"decision": decision, "input": judged.policy_input, **how}
        self._journal.note_read(document, asked.now_ms)
        error = judged.error or (self._unconnected(contract) if mediated else permitting.inexact(asked, exact))
        if decision.effect is not Effect.ALLOW or error is not None:
            return _outcome(OutcomeStatus.DENIED, asked, decision, error=error)
        self._hear(asked, contract)
        if not mediated:
            return permitting.permit(asked, decision, "", 0)
        outcome = answered(
            asked,
            decision,
            contract,
            self._executors[contract.executor],
            self._credentials,
            self._journal,
            self._entrance,
        )
        return self._told(asked, outcome)

    def _told(self, asked: Asked, outcome: Outcome) -> Outcome:
        """Remember what of an answer is somebody else's words, to mark it where it comes back (RULES 22)."""
        if asked.contract is not None and asked.contract.tells_others_words:
            self._heard.note(asked.snapshot.session.run, [outcome.result, outcome.error])
        return outcome

    def _unconnected(self, contract: Contract | None) -> dict[str, str] | None:
        if contract is None or contract.executor in self._executors:
            return None
        return {
            "code": "executor_missing",
            "message": f"nothing here carries out {contract.name}: no {contract.executor} is connected",
            "next_step": "connect one, or do it where it is done today; the decision is recorded",
        }

    def _pend(self, judged: Judged, contract: Contract, envelope: bytes) -> Outcome:
        asked, grant = judged.asked, judged.grant
        repeated = self._heard.marks(asked.snapshot.session.run, asked.action.parameters)
        waits = self._pending.ask(
            asked, contract, judged.decision, judged.policy_input, envelope, grant=grant, repeated=repeated
        )
        if waits.approval_id and waits.entry >= 0:
            self._steps.reached("door.pending")
        return _outcome(OutcomeStatus.PENDING, asked, waits.decision, approval_id=waits.approval_id, entry=waits.entry)

    def _commit(self, judged: Judged, contract: Contract, envelope: bytes, *, mediated: bool) -> IntentRow | Miss:
        asked = judged.asked
        self._entrance.check_unchanged(asked)
        debits, charged = self._decider.debits(asked, judged.decision), self._decider.charge(asked)
        return self._journal.commit_intent(
            intent_of(judged, contract, envelope, debits, charged, self._workspace_key, mediated=mediated)
        )

    def _missed(self, asked: Asked, miss: Miss, decision: Decision, decided: bytes) -> Outcome:
        known = self._journal.find(asked.key) if miss.rule == INTENT_EXISTS else None
        if known is not None:
            return self._repeat(asked, known)
        self._journal.record("decision", decided, asked.request.change, asked.now_ms)
        reason = Reason(rule=miss.rule, facts={**miss.facts, **told(miss.rule)}, hard=True)
        late = msgspec.structs.replace(decision, effect=Effect.DENY, reasons=(reason,))
        outcome = _outcome(OutcomeStatus.DENIED, asked, late, error={"code": miss.rule})
        envelope = records.outcome_statement(outcome, asked.key, {"miss": miss.facts}, {}, self._log_key)
        entry = self._journal.record("outcome", envelope, asked.request.change, self._clock.now_ms())
        return msgspec.structs.replace(outcome, entry=entry)


def _needed_again(asked: Asked, contract: Contract, outcome: Outcome) -> bool:
    """Whether a derived key's answer is no answer any more.

    Of a retreat: it failed, or was carried out and the target no longer shows it (RULES 16). Of a connected tool: its
    upstream refused, so that nothing was done; no caller could ask for it under another key.
    """
    if not contract.key_template:
        return False
    if not contract.exposure_reducing:
        return bool(contract.upstream) and outcome.status is OutcomeStatus.FAILED
    gone = bool(unmet(contract.postconditions, asked.action.parameters, asked.target))
    return outcome.status is OutcomeStatus.FAILED or (outcome.status is OutcomeStatus.COMMITTED and gone)


def _outcome(status: OutcomeStatus, asked: Asked, decision: Decision, **more: Any) -> Outcome:
    digest, sanitized = asked.action.digest, asked.sanitized
    return Outcome(status=status, action_digest=digest, decision=decision, sanitized=sanitized, **more)
