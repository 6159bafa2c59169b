"""Carrying an intent out, and answering a read: the only place where the door meets an executor.

A credential is issued after the decision, for this one action, recorded before it is used, and taken out of whatever
comes back (RULES 23). What an executor answers is data with a label, never an instruction (RULES 22).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from bywire.gateway.asking import Asked, Entrance
from bywire.gateway.contract import Contract
from bywire.gateway.credential_forms import tallied, without
from bywire.gateway.ports import Credential, CredentialedExecutor, Credentials, Executor, IntentRow, Journal
from bywire.model.decision import Decision, Outcome, OutcomeStatus
from bywire.model.errors import BywireError, TargetError


def carried_out(
    row: IntentRow,
    raw: dict[str, Any],
    contract: Contract,
    executors: Mapping[str, Executor],
    credentials: Credentials,
    journal: Journal,
    entrance: Entrance,
    now_ms: int,
) -> Outcome:
    """Execute a journalled intent; how it ended is in the outcome, whatever happened."""
    executor, credential = executors[contract.executor], None
    status, result, error = OutcomeStatus.COMMITTED, None, None
    with tallied() as counts:
        try:
            if contract.credential:
                credential = credentials.issue(contract.credential, row, now_ms)
                issued = _issued(credential, row.key, row.action_digest)
                journal.record_document("credential", issued, row.change, now_ms)
                result = cast("CredentialedExecutor", executor).execute_with(row, raw, credential)
            else:
                result = executor.execute(row, raw)
        except TargetError as failure:
            status, error = OutcomeStatus.FAILED, failure.as_json()
        except (TimeoutError, OSError) as failure:
            # Nobody knows whether it happened: that is an outcome of its own, settled by recovery.
            status = OutcomeStatus.UNKNOWN
            error = {"code": "no_answer", "message": str(failure), "next_step": "bywire doctor"}
        except BywireError as failure:
            # It says why it stopped and not how far it came.
            status, error = OutcomeStatus.UNKNOWN, failure.as_json()
        kept = None
        if result is not None:
            kept, replaced = entrance.kept(without(result, credential))
            counts.update(replaced)
        told = _told(without(error, credential), entrance, counts) if error else None
    return Outcome(
        status=status,
        action_digest=row.action_digest,
        decision=row.decision,
        result=kept,
        error=told,
        label=label(contract) if contract.tells_others_words else None,
        sanitized=row.sanitized,
        redacted=dict(counts),
    )


def answered(
    asked: Asked,
    decision: Decision,
    contract: Contract,
    executor: Executor,
    credentials: Credentials,
    journal: Journal,
    entrance: Entrance,
) -> Outcome:
    """Answer an allowed read, with the label that its text carries."""
    credential, request = None, asked.request
    result, error = None, None
    with tallied() as counts:
        try:
            if contract.credential:
                credential = credentials.for_read(
                    contract.credential, asked.now_ms, tool=request.tool, environment=request.environment
                )
                issued = _issued(credential, "", asked.action.digest)
                journal.record_document("credential", issued, request.change, asked.now_ms)
                reading = cast("CredentialedExecutor", executor)
                answer = without(reading.read_with(request.tool, request.parameters, credential), credential)
            else:
                answer = executor.read(request.tool, request.parameters)
            # Redacted, and whole: no statement has to carry it.
            result, replaced = entrance.redactor.counted(answer)
            counts.update(replaced)
        except TargetError as failure:
            # A read that fails is an answer, too: whoever watches holds, and asks again.
            error = _told(without(failure.as_json(), credential), entrance, counts)
        except (TimeoutError, OSError) as failure:
            said = {"code": "no_answer", "message": str(failure), "next_step": "ask again, or look at what was asked"}
            error = _told(without(said, credential), entrance, counts)
    return Outcome(
        status=OutcomeStatus.COMMITTED if error is None else OutcomeStatus.FAILED,
        action_digest=asked.action.digest,
        decision=decision,
        result=result,
        error=error,
        label=label(contract),
        sanitized=asked.sanitized,
        redacted=dict(counts),
    )


def label(contract: Contract) -> dict[str, Any]:
    """What a reader must know of a tool's output before it reads it (seed 001, 19.2)."""
    return {
        "source": contract.name,
        "trust_level": "untrusted_runtime_output" if contract.tells_others_words else "typed_platform_data",
        "contains_user_controlled_text": contract.tells_others_words,
        "instruction_authority": "none",
        "redaction_applied": True,
    }


def _told(error: dict[str, str], entrance: Entrance, counts: Counter[str]) -> dict[str, str]:
    """An error as it may be shown: what a target says of a failure may hold a secret as well."""
    return {name: entrance.redactor.display(text, counts) for name, text in error.items()}


def _issued(credential: Credential, intent: str, action: str) -> dict[str, Any]:
    return {
        "credential": credential.name,
        "origin": credential.origin,
        "expires_at_ms": credential.expires_at_ms,
        "minted": credential.minted,
        "intent": intent,
        "action": action,
    }
