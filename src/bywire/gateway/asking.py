"""The first steps at the door: who asks, under which contract, and for exactly what.

A session is looked up, never believed; the parameters are checked and copied, so that nobody changes them later;
secrets are replaced once, and everything after this decides on the canonical action.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.gateway.canonical import canonicalise
from bywire.gateway.condition import unmet
from bywire.gateway.contract import Catalogue, Contract, ContractError, check_names
from bywire.gateway.ports import Clock, Executor, NamedState, Sessions, StateSnapshot
from bywire.gateway.redaction import Redactor
from bywire.model.action import ActionRequest, CanonicalAction
from bywire.model.errors import BywireError, EvidenceError
from bywire.model.operator import OperatorConfig
from bywire.seal import jcs

RESULT_BYTES_MAX = 1_048_576


class Asked(msgspec.Struct, frozen=True):
    """One call on its way through the door.

    `unmet` names the contract's preconditions that the target does not meet; `first_digest` is the digest of the action
    as it was asked first, before the policy replaced any of its parameters.
    """

    request: ActionRequest
    action: CanonicalAction
    contract: Contract | None
    snapshot: StateSnapshot
    target: dict[str, Any]
    now_ms: int
    key: str
    unmet: tuple[str, ...]
    first_digest: str


class Entrance:
    """Turns a token and a request into an `Asked`."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        state: NamedState,
        executors: Mapping[str, Executor],
        operator: OperatorConfig,
        sessions: Sessions,
        clock: Clock,
        workspace_key: bytes,
    ) -> None:
        self.catalogue = catalogue
        self.redactor = Redactor(workspace_key)
        self._state = state
        self._executors = executors
        self._operator = operator
        self._clock = clock
        self._sessions = sessions

    def ask(self, token: str, request: ActionRequest) -> Asked:
        """Raises EvidenceError (not authenticated), ContractError (malformed call)."""
        session_id = self._sessions.session_of(token, self._clock.now_ms())
        contract = self.catalogue.find(request.tool)
        self._check_request(request)
        request = msgspec.structs.replace(request, parameters=self.catalogue.check(contract, request.parameters))
        request = self._keyed(contract, request)
        return self._asked(request, contract, self._state.snapshot(session_id, request.service))

    def replaced(self, asked: Asked, values: Mapping[str, Any]) -> Asked:
        """The same call with other parameters: a new action, which is decided anew (RULES 6)."""
        merged = self.catalogue.check(asked.contract, {**asked.request.parameters, **values})
        request = msgspec.structs.replace(asked.request, parameters=merged)
        again = self._asked(request, asked.contract, asked.snapshot)
        return msgspec.structs.replace(again, first_digest=asked.first_digest)

    def observe(self, contract: Contract) -> dict[str, Any]:
        """The target's state now, redacted; `{"unavailable": code}` when it does not say."""
        executor = self._executors.get(contract.executor)
        if executor is None:
            return {"unavailable": "executor_missing"}
        try:
            return self.redacted(executor.observe())
        except BywireError as error:
            return {"unavailable": error.code}
        except OSError:
            return {"unavailable": "no_answer"}

    def redacted(self, result: dict[str, Any]) -> dict[str, Any]:
        """What may be kept of an executor's answer."""
        kept: dict[str, Any] = self.redactor.canonical(result)
        try:
            size = len(jcs.canonical(kept))
        except EvidenceError as error:
            return {"omitted": error.code}
        # An answer that no statement could carry must not keep its own outcome from being recorded.
        return kept if size <= RESULT_BYTES_MAX else {"omitted": "too large", "bytes": size}

    def check_unchanged(self, asked: Asked) -> None:
        """The digest again, from the raw request that would be executed (RULES 4). Raises EvidenceError."""
        if canonicalise(asked.request, asked.snapshot.session.principal, self.redactor).digest != asked.action.digest:
            raise EvidenceError(
                "the request changed while it was decided", code="action_changed", next_step="call again"
            )

    def _asked(self, request: ActionRequest, contract: Contract | None, snapshot: StateSnapshot) -> Asked:
        principal = snapshot.session.principal
        action = canonicalise(request, principal, self.redactor)
        target = {} if contract is None or contract.read else self.observe(contract)
        return Asked(
            request=request,
            action=action,
            contract=contract,
            snapshot=snapshot,
            target=target,
            now_ms=self._clock.now_ms(),
            key=f"{principal.id}|{request.tool}|{request.idempotency_key}",
            unmet=() if contract is None else unmet(contract.preconditions, request.parameters, target),
            first_digest=action.digest,
        )

    def _keyed(self, contract: Contract | None, request: ActionRequest) -> ActionRequest:
        """A contract's key template decides the idempotency key; a caller may repeat it, not change it."""
        if contract is None or contract.read:
            return request
        derived = contract.key_for(request.parameters)
        if derived and request.idempotency_key not in {"", derived}:
            raise ContractError(
                f"{contract.name} derives its idempotency key from its parameters",
                next_step=f"send none, or {derived}",
            )
        if not derived and not request.idempotency_key:
            raise ContractError("a write needs an idempotency key", next_step="send one, stable across retries")
        return msgspec.structs.replace(request, idempotency_key=derived or request.idempotency_key)

    def _check_request(self, request: ActionRequest) -> None:
        """Names are kept as they are, so they hold no secret; and this door leads to one service in one environment."""
        check_names(request)
        for name in (request.tool, request.service, request.environment, request.change, request.idempotency_key):
            if self.redactor.display(name) != name:
                raise ContractError("a name or key looks like a secret", next_step="secrets belong in no name or key")
        here = (self._operator.service, self._operator.environment)
        if (request.service, request.environment) != here:
            raise ContractError(
                f"this door leads to {here[0]} in {here[1]}, not to {request.service} in {request.environment}",
                next_step="use the operator directory of that service: --operator DIR",
            )
