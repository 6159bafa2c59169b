"""Whether a connected tool's upstream shows an effect: the read that its contract names, right after it (RULES 15).

It is a read as any other: checked, decided for the session that acted, recorded and redacted. Only the fields that the
contract compares are kept, and none of it is told to whoever acted. What cannot be asked for is `unavailable`, and the
outcome then says what is unverified: an effect is never forgotten because nobody could look at it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bywire.gateway import records
from bywire.gateway.asking import Entrance
from bywire.gateway.condition import Condition
from bywire.gateway.contract import Contract
from bywire.gateway.deciding import Decider
from bywire.gateway.executing import answered
from bywire.gateway.ports import Credentials, Executor, IntentRow, Journal
from bywire.model.action import ActionRequest
from bywire.model.connected import value_at
from bywire.model.decision import Effect, Outcome, OutcomeStatus
from bywire.model.errors import BywireError
from bywire.seal import jcs

SEEN_BYTES_MAX = 65_536


class Verifier:
    """Asks upstreams. `raw` gives the parameters of an intent, or None when a secret in them is gone."""

    def __init__(
        self,
        entrance: Entrance,
        decider: Decider,
        executors: Mapping[str, Executor],
        credentials: Credentials,
        journal: Journal,
        raw: Callable[[IntentRow], dict[str, Any] | None],
    ) -> None:
        self._entrance = entrance
        self._decider = decider
        self._executors = executors
        self._credentials = credentials
        self._journal = journal
        self._raw = raw

    def after(self, row: IntentRow, contract: Contract | None, outcome: Outcome) -> dict[str, Any]:
        """What the target shows after an action that ended so: by its contract's read, else by its own state."""
        if contract is None or contract.verification is None:
            return self._entrance.observe(contract) if contract and row.mediated else {}
        return self.seen(row, contract) if outcome.status is OutcomeStatus.COMMITTED else {}

    def seen(self, row: IntentRow, contract: Contract) -> dict[str, Any]:
        """What the answer says of each field that `contract` expects; `{"unavailable": code}` when there is none."""
        try:
            found = self._answer(row, contract)
            seen = fields_of(contract.postconditions, found) if "unavailable" not in found else found
            return seen if len(jcs.canonical(seen)) <= SEEN_BYTES_MAX else {"unavailable": "too_large"}
        except BywireError as error:
            return {"unavailable": error.code}
        except OSError:
            return {"unavailable": "no_answer"}

    def _answer(self, row: IntentRow, contract: Contract) -> dict[str, Any]:
        look, raw = contract.verification, self._raw(row)
        reading = self._entrance.catalogue.find(look.tool) if look is not None else None
        if look is None or reading is None or reading.place is None or raw is None:
            return {"unavailable": "verification_impossible"}
        executor = self._executors.get(reading.executor)
        if executor is None:
            return {"unavailable": "executor_missing"}
        values = {**look.fixed, **{name: value_at(raw, parameter) for name, parameter in look.taken.items()}}
        service, environment = reading.place.of(values)
        request = ActionRequest(reading.name, service, environment, values, "")
        judged = self._decider.judge_read(self._entrance.within(row.request["session"], request))
        asked, decision = judged.asked, judged.decision
        document = {"decision": decision, "input": judged.policy_input, **records.how(asked.sanitized)}
        self._journal.note_read({**document, "verifies": row.key}, asked.now_ms)
        if decision.effect is not Effect.ALLOW or judged.error is not None:
            return {"unavailable": "verification_denied"}
        outcome = answered(asked, decision, reading, executor, self._credentials, self._journal, self._entrance)
        if outcome.status is not OutcomeStatus.COMMITTED or outcome.result is None:
            return {"unavailable": (outcome.error or {}).get("code", "no_answer")}
        return outcome.result


def fields_of(conditions: tuple[Condition, ...], answer: dict[str, Any]) -> dict[str, Any]:
    """The fields that conditions speak of, by their paths, where the answer says exactly one thing of them."""
    found = {}
    for condition in conditions:
        said = list(_said(answer, tuple(condition.observed.split("."))))
        if len(said) == 1:
            found[condition.observed] = said[0]
    return found


def _said(at: Any, parts: tuple[str, ...]) -> Iterator[Any]:
    """Everything that a path could mean: somebody else chose the names, so that one of them may hold dots."""
    if not isinstance(at, dict):
        return
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if name in at and end == len(parts):
            yield at[name]
        elif name in at:
            yield from _said(at[name], parts[end:])
