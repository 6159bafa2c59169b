"""What happens to intents that a crash left open: settled as their contract allows, never blindly repeated.

`native`: the target knows the key, so the call is sent again. `queryable`: the target is asked, then the intent is
settled or carried out. `none`: it stays unknown until a person settles it (RULES 12). A target that cannot be fenced is
left alone until the old call's deadline has passed (RULES 13). After a stop, or when its session or approval was
revoked, only exposure-reducing calls go out again, after freeze-all none (RULES 16). A row goes out again only as the
log's own key signed that it may (RULES 4). What was permitted to its caller is the caller's to report, and never sent.
"""

from collections.abc import Callable, Mapping

import msgspec

from bywire.gateway.contract import Catalogue, Contract, Idempotency
from bywire.gateway.door import Door
from bywire.gateway.ports import Clock, Executor, IntentRow, Journal
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import BywireError, EvidenceError


def recover(
    door: Door,
    journal: Journal,
    catalogue: Catalogue,
    executors: Mapping[str, Executor],
    clock: Clock,
    stopped: Callable[[IntentRow], bool],
) -> tuple[tuple[IntentRow, Outcome], ...]:
    """Settle every open intent of the door's own that may be settled now; the rest are returned as unknown.

    What was permitted to a caller is not among them: however many of those nobody reported, nothing here gets slower.
    """
    settled = []
    for row in journal.recoverable_intents():
        contract = catalogue.find(row.tool)

        def may_send(row: IntentRow = row, contract: Contract | None = contract) -> bool:
            free = contract is not None and (contract.exposure_reducing or not (stopped(row) or journal.withdrawn(row)))
            return free and not door.frozen() and door.was_decided(row)

        settled.append((row, _settle(door, row, contract, executors, clock.now_ms(), may_send)))
    return tuple(settled)


def _settle(
    door: Door,
    row: IntentRow,
    contract: Contract | None,
    executors: Mapping[str, Executor],
    now_ms: int,
    may_send: Callable[[], bool],
) -> Outcome:
    unknown = Outcome(
        status=OutcomeStatus.UNKNOWN, action_digest=row.action_digest, decision=row.decision, sanitized=row.sanitized
    )
    if contract is None or contract.idempotency is Idempotency.NONE or not row.mediated:
        return unknown
    if not contract.fenced and now_ms < row.deadline_ms:
        return unknown
    executor = executors.get(contract.executor)
    if executor is None:
        return unknown
    if contract.idempotency is Idempotency.QUERYABLE:
        try:
            result = executor.query(row)
        except (BywireError, OSError):
            return unknown  # a target that does not answer tells nothing, and must not keep the other intents waiting
        if result is not None:
            done = msgspec.structs.replace(unknown, status=OutcomeStatus.COMMITTED, result=door.redacted(result))
            return door.settle(row, done, {"recovered": "asked the target"}, None)
    if not may_send():
        return unknown
    try:
        raw = door.raw_parameters(row)
    except EvidenceError:
        return unknown
    if raw is None:  # redacted parameters stand for secrets that are gone: nothing can be sent again
        return unknown
    return door.carry_out(row, raw, {"recovered": "sent again under the same key"}, None)
