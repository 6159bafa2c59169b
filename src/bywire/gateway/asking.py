"""The first steps at the door: who asks, under which contract, and for exactly what.

A session is looked up, never believed; the parameters are checked and copied, so that nobody changes them later;
secrets are replaced once, and everything after this decides on the canonical action. A built-in tool acts at the
operator's service and environment; where a connected one acts, its contract reads from the parameters, and no caller
says otherwise.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from bywire.gateway.canonical import canonicalise
from bywire.gateway.condition import unmet
from bywire.gateway.connected import costs, meaning
from bywire.gateway.contract import Catalogue, Contract, ContractError, check_names
from bywire.gateway.inspection import inspect
from bywire.gateway.ports import Clock, DefinedExecutor, Executor, NamedState, Sessions, StateSnapshot
from bywire.gateway.redaction import Redactor
from bywire.gateway.time_window import check_window
from bywire.model.action import ActionRequest, CanonicalAction
from bywire.model.connected import Cost
from bywire.model.decision import Sanitized
from bywire.model.errors import BywireError, EvidenceError
from bywire.model.gateway_inspection import Finding, InspectionSettings
from bywire.model.operator import OperatorConfig
from bywire.seal import jcs
from bywire.seal.digest import same_digest

RESULT_BYTES_MAX = 1_048_576
NAMES_REMEMBERED = 1_024
CURRENT, CHANGED, UNKNOWN, NO_DEFINITION = "current", "changed", "unknown", "none"
DEFAULT_INSPECTION = InspectionSettings()


class Connected(msgspec.Struct, frozen=True):
    """What a connected tool's call holds and means; `definition` is current, changed, unknown or none."""

    findings: tuple[Finding, ...]
    meaning: dict[str, Any]
    definition: str


class Asked(msgspec.Struct, frozen=True):
    """One call on its way through the door.

    `unmet` names the contract's preconditions that the target does not meet; `first_digest` is the digest of the action
    as it was asked first, before the policy replaced any of its parameters. `costs` are what it costs beside being one
    action; `connected` is None for a built-in tool. `sanitized` is what the policy had changed to make it this action.
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
    costs: tuple[Cost, ...] = ()
    connected: Connected | None = None
    sanitized: Sanitized | None = None


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
        inspection: InspectionSettings = DEFAULT_INSPECTION,
    ) -> None:
        self.catalogue = catalogue
        self.inspection = inspection
        self.redactor = Redactor(workspace_key, inspection)
        # Names that hold no secret: the same few come with every call.
        self._plain: set[str] = set()
        self._state = state
        self._executors = executors
        self._operator = operator
        self._clock = clock
        self._sessions = sessions

    def ask(self, token: str, request: ActionRequest, *, advice: bool = False) -> Asked:
        """Raises EvidenceError (not authenticated), ContractError (malformed call).

        `advice` is never carried out, so it needs no idempotency key.
        """
        return self.within(self._sessions.session_of(token, self._clock.now_ms()), request, advice=advice)

    def within(self, session_id: str, request: ActionRequest, *, advice: bool = False) -> Asked:
        """As `ask`, for a session that is known already."""
        contract = self.catalogue.find(request.tool)
        self._check_request(request)
        request = msgspec.structs.replace(request, parameters=self._checked(contract, request.parameters))
        self._check_place(contract, request)
        request = self._keyed(contract, request, needed=not advice)
        return self._asked(request, contract, self._state.snapshot(session_id, request.service))

    def again(self, asked: Asked) -> Asked:
        """The same call as its session is now. Raises EvidenceError when that was revoked."""
        snapshot = self._state.snapshot(asked.snapshot.session.id, asked.request.service)
        return self._asked(asked.request, asked.contract, snapshot)

    def replaced(self, asked: Asked, values: Mapping[str, Any]) -> Asked:
        """The same call with other parameters: a new action, which is decided anew (RULES 6)."""
        merged = self._checked(asked.contract, {**asked.request.parameters, **values})
        request = msgspec.structs.replace(asked.request, parameters=merged)
        self._check_place(asked.contract, request)
        again = self._asked(request, asked.contract, asked.snapshot)
        return msgspec.structs.replace(again, first_digest=asked.first_digest)

    def principal(self, token: str) -> str:
        """Whose token this is. Raises EvidenceError (not authenticated)."""
        session_id = self._sessions.session_of(token, self._clock.now_ms())
        return self._state.snapshot(session_id, self._operator.service).session.principal.id

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
        return self.kept(result)[0]

    def kept(self, result: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
        """(what may be kept of an executor's answer, how many of each kind were replaced in it)."""
        kept, counts = self.redactor.counted(result)
        try:
            size = len(jcs.canonical(kept))
        except EvidenceError as error:
            return {"omitted": error.code}, Counter()
        # An answer that no statement could carry must not keep its own outcome from being recorded.
        return (kept, counts) if size <= RESULT_BYTES_MAX else ({"omitted": "too large", "bytes": size}, Counter())

    def check_unchanged(self, asked: Asked) -> None:
        """The digest again, from the raw request that would be executed (RULES 4). Raises EvidenceError."""
        if canonicalise(asked.request, asked.snapshot.session.principal, self.redactor).digest != asked.action.digest:
            raise EvidenceError(
                "the request changed while it was decided", code="action_changed", next_step="call again"
            )

    def _checked(self, contract: Contract | None, values: dict[str, Any]) -> dict[str, Any]:
        """The parameters, copied, of which the contract has nothing to refuse."""
        found = self.catalogue.check(contract, values)
        if contract is not None and contract.window is not None:
            check_window(contract.window, found, self._clock.now_ms())
        return found

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
            costs=costs(contract.cost if contract else (), request.parameters, request.tokens),
            connected=self._connected(request, contract),
        )

    def _connected(self, request: ActionRequest, contract: Contract | None) -> Connected | None:
        if contract is None or not contract.upstream:
            return None
        return Connected(
            findings=inspect(
                request.parameters, commands=contract.commands, meaning=contract.meaning, settings=self.inspection
            ),
            meaning=meaning(contract.meaning, request.environment, request.parameters, self.redactor.display),
            definition=self._definition(contract),
        )

    def _definition(self, contract: Contract) -> str:
        """Whether the upstream still says of the tool what was approved."""
        executor = self._executors.get(contract.executor)
        if not contract.definition or not _is_defined(executor):
            return NO_DEFINITION
        try:
            found = executor.definition(contract.name)
        except (BywireError, OSError):
            return UNKNOWN
        return CURRENT if same_digest(found, contract.definition) else CHANGED

    def _keyed(self, contract: Contract | None, request: ActionRequest, *, needed: bool) -> ActionRequest:
        """A contract's key template decides the idempotency key; a caller may repeat it, not change it."""
        if contract is None or contract.read:
            return request
        connected = bool(contract.upstream)
        # What an upstream's parameters hold is not known here, and a key must hold no secret.
        values = self.redactor.canonical(request.parameters) if connected else request.parameters
        derived = contract.key_for(values)
        if derived and request.idempotency_key not in {"", derived}:
            raise ContractError(
                f"{contract.name} derives its idempotency key from its parameters",
                next_step=f"send none, or {derived}",
            )
        if needed and not derived and not request.idempotency_key:
            raise ContractError("a write needs an idempotency key", next_step="send one, stable across retries")
        return msgspec.structs.replace(request, idempotency_key=derived or request.idempotency_key)

    def _check_request(self, request: ActionRequest) -> None:
        """Names are kept as they are, so they hold no secret."""
        check_names(request)
        for name in (request.tool, request.service, request.environment, request.change, request.idempotency_key):
            if not name or name in self._plain:
                continue
            if self.redactor.holds_secret(name):
                raise ContractError("a name or key looks like a secret", next_step="secrets belong in no name or key")
            if len(self._plain) >= NAMES_REMEMBERED:
                self._plain.clear()
            self._plain.add(name)

    def _check_place(self, contract: Contract | None, request: ActionRequest) -> None:
        """This door leads to one service in one environment, and to each connected tool's own place."""
        here = (self._operator.service, self._operator.environment)
        if contract is not None and contract.upstream:
            here = contract.place.of(request.parameters) if contract.place else ("", "")
        if (request.service, request.environment) != here:
            raise ContractError(
                f"this door leads to {here[0]} in {here[1]}, not to {request.service} in {request.environment}",
                next_step="use the operator directory of that service: --operator DIR; a connected tool's contract says"
                " where it acts",
            )


def _is_defined(executor: object) -> TypeGuard[DefinedExecutor]:
    kind: type = type(executor)
    return _defines(kind)


@functools.cache
def _defines(kind: type) -> bool:
    # Asked for every call of a connected tool, and slow for a protocol.
    return issubclass(kind, DefinedExecutor)
