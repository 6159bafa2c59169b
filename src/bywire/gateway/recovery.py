"""What happens to intents that a crash left open: settled as their contract allows, never blindly repeated.

`native`: the target knows the key, so the call is sent again. `queryable`: the target is asked, then the intent is
settled or carried out. `none`: it stays unknown until a person settles it (RULES 12). A target that cannot be fenced is
left alone until the old call's deadline has passed (RULES 13). After a stop only exposure-reducing calls go out again,
after freeze-all none (RULES 16).
"""

from collections.abc import Callable, Mapping

from bywire.gateway.contract import Catalogue, Contract, Idempotency
from bywire.gateway.door import Door
from bywire.gateway.ports import Clock, Executor, IntentRow, Journal
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import BywireError


def recover(
    door: Door,
    journal: Journal,
    catalogue: Catalogue,
    executors: Mapping[str, Executor],
    clock: Clock,
    stopped: Callable[[IntentRow], bool],
) -> tuple[tuple[IntentRow, Outcome], ...]:
    """Settle every open intent that may be settled now; the rest are returned as unknown."""
    settled = []
    frozen = door.frozen()
    for row in journal.open_intents():
        contract = catalogue.find(row.tool)
        may_send = contract is not None and not frozen and (contract.exposure_reducing or not stopped(row))
        settled.append((row, _settle(door, row, contract, executors, clock.now_ms(), may_send=may_send)))
    return tuple(settled)


def _settle(
    door: Door,
    row: IntentRow,
    contract: Contract | None,
    executors: Mapping[str, Executor],
    now_ms: int,
    *,
    may_send: bool,
) -> Outcome:
    unknown = Outcome(status=OutcomeStatus.UNKNOWN, action_digest=row.action_digest, decision=row.decision)
    if contract is None or contract.idempotency is Idempotency.NONE:
        return unknown
    if not contract.fenced and now_ms < row.deadline_ms:
        return unknown
    executor = executors[contract.executor]
    if contract.idempotency is Idempotency.QUERYABLE:
        try:
            result = executor.query(row)
        except (BywireError, OSError):
            return unknown  # a target that does not answer tells nothing, and must not keep the other intents waiting
        if result is not None:
            done = Outcome(
                status=OutcomeStatus.COMMITTED,
                action_digest=row.action_digest,
                decision=row.decision,
                result=door.redacted(result),
            )
            return door.settle(row, done, {"recovered": "asked the target"}, None)
    # Redacted parameters stand for secrets that are gone: nothing can be sent again.
    if not may_send or row.request["redacted"]:
        return unknown
    return door.carry_out(row, row.request["parameters"], {"recovered": "sent again under the same key"}, None)
