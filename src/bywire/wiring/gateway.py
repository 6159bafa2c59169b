"""The gateway of one workspace: what every surface calls, with the same answer for all of them.

Surfaces hand over a token and an `Ask` and get an `Answered`; they neither know the door nor what a refusal looks like.
Nothing raises: what went wrong is in the payload, and nothing that went wrong was allowed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from bywire.adapters.clock import elapsed_ns
from bywire.adapters.trace_ids import begun
from bywire.gateway.contract import Catalogue, Contract, encoded_size
from bywire.identity.session import Session
from bywire.model.action import ActionRequest
from bywire.model.ask import Answered, Ask, Observer
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import EvidenceError
from bywire.model.gateway import GatewayConfig
from bywire.model.principal import Principal
from bywire.model.trace_context import PASSED_ON
from bywire.wiring import payload
from bywire.wiring.call_pool import OWN, BusyError, CallPool
from bywire.wiring.catalogue import place_of
from bywire.wiring.channels import ApprovalChannels
from bywire.wiring.config_in_force import ConfigInForce
from bywire.wiring.door import Joined
from bywire.wiring.listing import Lister
from bywire.wiring.observing import Seen, record_of
from bywire.wiring.pacing import Pacing, Refusals
from bywire.wiring.telemetry import Telemetry
from bywire.wiring.workspace import Workspace

T = TypeVar("T")

PRINCIPALS_MAX = 1_024
# What is asked in more bytes is decided in the pool, even a read.
SOON_BYTES_MAX = 4_096
# Answers to calls that were carried out or permitted, that nobody was known to make, or that found no room.
NOT_REFUSED = frozenset({"", payload.UNAUTHENTICATED, payload.BUSY})
UPSTREAM_FAULTS = frozenset({payload.UPSTREAM_FAILED, payload.OUTCOME_UNKNOWN})


class Gateway:
    """One workspace's gateway. Thread-safe as far as the door is; close it before its workspace.

    Raises ConfigError for the first fault of gateway.yaml or a contract file: what is served is what is written.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: GatewayConfig,
        observers: Sequence[Observer] = (),
        *,
        config: ConfigInForce | None = None,
    ) -> None:
        self.workspace = workspace
        self.config = config or ConfigInForce(workspace.directory.path)
        self.settings = settings
        self.joined = Joined(workspace, settings)
        if self.joined.faults:
            raise self.joined.faults[0]
        self.catalogue: Catalogue = self.joined.catalogue
        self.channels = ApprovalChannels(workspace, settings, self.joined.standing)
        self.telemetry = Telemetry(workspace, settings, self.config)
        self.observers = (*observers, self.telemetry) if self.telemetry.is_on else tuple(observers)
        self._sessions: dict[str, Session] = {}
        self._pacing = Pacing(settings.calls, self.catalogue)
        self._lister = Lister(workspace.operator.service, workspace.operator.environment)
        self._refusals = Refusals(settings.refusals, self.catalogue)
        self.pool = CallPool(settings.limits.calls_in_flight, settings.limits.calls_waiting)

    def call(self, token: str, ask: Ask) -> Answered:
        """Ask for one action; blocks until it was carried out, refused, or waits for a person."""
        return self._answer(token, ask, lambda: self.joined.door.call(token, self._leased(ask)))

    def advise(self, token: str, ask: Ask) -> Answered:
        """What the answer would be; authorises nothing (RULES 10)."""
        return self._answer(token, ask, lambda: self.joined.door.advise(token, self.request(ask)))

    def permit(self, token: str, ask: Ask, *, exact: bool = False) -> Answered:
        """As `call`, but the caller carries it out: the intent is durable, and its outcome unknown until reported.

        `exact`: the caller cannot replace parameters, so what the policy would change is refused instead.
        """
        return self._answer(token, ask, lambda: self.joined.door.permit(token, self._leased(ask), exact=exact))

    async def agrant(self, token: str, ask: Ask, *, exact: bool) -> Answered:
        """`permit` for whoever only hears yes or no: without a payload it is a yes to this call and to no other.

        What was permitted or reported before under this key is a refusal here: one permit is one effect. A read is
        decided where it is asked, because a hop to another thread costs more than it would wait; unless its upstream
        has to be asked what the tool is by now, it says so much that others would wait for it, its agent has a policy
        of its own, for which it waits in a line, or it is a write, which waits for a disk.
        """
        contract = self.catalogue.find(ask.tool)
        soon = contract is not None and contract.read and not contract.definition and not self._has_own_policy(token)
        if soon and encoded_size(ask.parameters) <= SOON_BYTES_MAX:
            return self._granted(self.permit(token, ask, exact=exact), ask)
        try:
            granted = await self.run(lambda: self.permit(token, ask, exact=exact), self.lane_of(ask.tool))
            return self._granted(granted, ask)
        except BusyError:
            return refused_busy(ask)

    def _has_own_policy(self, token: str) -> bool:
        """Whether a policy is known to be about the agent alone, which no short way decides."""
        known = self._sessions.get(token)
        return known is not None and known.principal.id.removeprefix("agent:") in self.workspace.bundle().agents

    @staticmethod
    def _granted(answered: Answered, ask: Ask) -> Answered:
        if answered.payload or payload.permits(answered.outcome):
            return answered
        return msgspec.structs.replace(answered, payload=payload.spent(answered.outcome, ask.key))

    def report(self, token: str, intent: str, status: str, result: dict[str, Any]) -> Answered:
        """How a permitted action ended, from the principal it was permitted to."""
        ask = Ask(tool=tool_of(intent), parameters={}, key=key_of(intent), surface="api")
        return self._answer(token, ask, lambda: self.joined.door.report(token, intent, status, result), paced=False)

    def visible(self, token: str, upstream: str) -> tuple[Contract, ...]:
        """The tools of an upstream (of the built-in ones for "") that this principal could ever be allowed, by name.

        Raises EvidenceError (not authenticated).
        """
        workspace, standing = self.workspace, self.joined.standing
        registration = standing.registration(self.session(token).principal.id)
        if registration is None:
            return ()
        workspace.engine()  # whoever only lists is told of a newer policy, too
        found = (self.catalogue.find(name) for name in self.catalogue.names() if upstream_of(name) == upstream)
        contracts = [contract for contract in found if contract is not None]
        return self._lister.shown(
            contracts, registration, workspace.bundle(), standing.shadows(workspace.clock.now_ms())
        )

    def session(self, token: str) -> Session:
        """The open session that a token stands for. Raises EvidenceError."""
        workspace = self.workspace
        session_id = workspace.sessions.session_of(token, workspace.clock.now_ms())
        return workspace.state.snapshot(session_id, workspace.operator.service).session

    def principal(self, token: str) -> Principal:
        """Whom a token stands for, which never changes: remembered, so that it says nothing of its validity now.

        Raises EvidenceError for one that was never valid.
        """
        return self._remembered(token).principal

    def _remembered(self, token: str) -> Session:
        """The session as it was when its token was first seen: whose it is and of which run never changes."""
        known = self._sessions.get(token)
        if known is None:
            known = self.session(token)
            if len(self._sessions) >= PRINCIPALS_MAX:
                self._sessions.clear()
            self._sessions[token] = known
        return known

    def approval_expires_ms(self, approval_id: str) -> int:
        """Until when an approval can be given or used, in ms since the epoch."""
        row = self.workspace.approvals.row(approval_id)
        return row.expires_ms if row is not None else 0

    def close(self) -> None:
        """Let calls under way end; none begins any more."""
        self.pool.close()
        self.joined.close()
        self.telemetry.close()

    async def acall(self, token: str, ask: Ask) -> Answered:
        """`call` in the pool. When the caller goes away meanwhile, what began is carried out and settled."""
        try:
            return await self.run(lambda: self.call(token, ask), self.lane_of(ask.tool))
        except BusyError:
            return refused_busy(ask)

    async def run(self, work: Callable[[], T], lane: str) -> T:
        """`work` in the pool, where it waits for no other lane's. Raises BusyError."""
        return await self.pool.run(work, lane)

    def lane_of(self, tool: str) -> str:
        """The lane of a tool's calls: its executor's, and beside it that of the retreats (RULES 16)."""
        contract = self.catalogue.find(tool)
        if contract is None:
            return OWN
        return f"{contract.executor}:retreat" if contract.exposure_reducing else contract.executor

    def request(self, ask: Ask) -> ActionRequest:
        """What is asked of the door: service and environment are the contract's or ours, never the agent's."""
        service, environment = place_of(self.catalogue, ask.tool, ask.parameters, self.workspace.operator)
        return ActionRequest(
            tool=ask.tool,
            service=service,
            environment=environment,
            parameters=ask.parameters,
            idempotency_key=ask.key,
            evidence=tuple(sorted(ask.evidence)),
            plan=ask.plan,
            change=ask.change,
            dry_run=ask.dry_run,
            tokens=ask.tokens,
            destination=ask.destination,
        )

    def _leased(self, ask: Ask) -> ActionRequest:
        """As `request`. This process outlives many leases, its own too: a write goes out under the newest."""
        contract = self.catalogue.find(ask.tool)
        if contract is None or not contract.read:
            self.workspace.follow_lease()
        return self.request(ask)

    def _answer(self, token: str, ask: Ask, work: Callable[[], Outcome], *, paced: bool = True) -> Answered:
        is_paced = paced and (bool(self.settings.calls) or self._refusals.remembers)
        asked = (lambda: self._paced(token, ask, work)) if is_paced else work
        answered = self._observed(token, ask, asked) if self.observers else self._answered(ask, asked)
        if paced and self._in_vain(ask, answered):
            self._refused(token, ask)
        return answered

    def _paced(self, token: str, ask: Ask, work: Callable[[], Outcome]) -> Outcome:
        """`work`, unless who asks does so too often; nobody uses up the calls of another with a token that ended."""
        now_ms = self.workspace.clock.now_ms()
        held = self._refusals.look(self._remembered(token).principal.id, ask.tool, now_ms)
        if held is not None:
            self.session(token)
            raise held
        if self.settings.calls:
            self._pacing.check(self.session(token).principal.id, ask.tool, now_ms)
        return work()

    def _in_vain(self, ask: Ask, answered: Answered) -> bool:
        """Whether a call brought nothing about. That a read's upstream failed is no fault of whoever reads."""
        if answered.code in UPSTREAM_FAULTS:
            contract = self.catalogue.find(ask.tool)
            return contract is None or not contract.read
        return answered.outcome.replayed or answered.code not in NOT_REFUSED

    def _refused(self, token: str, ask: Ask) -> None:
        """Count it, unless the session ended meanwhile."""
        with suppress(EvidenceError):
            self._refusals.count(self._remembered(token).principal.id, ask.tool, self.workspace.clock.now_ms())

    def _answered(self, ask: Ask, work: Callable[[], Outcome]) -> Answered:
        try:
            outcome = work()
            said = payload.of_outcome(outcome, key=ask.key, public_url=self.settings.url)
        except Exception as error:  # noqa: BLE001  the rim: whatever broke allowed nothing, and the caller is told so
            outcome = Outcome(status=OutcomeStatus.FAILED, action_digest="", decision=None)
            said = payload.of_error(error, key=ask.key)
        return Answered(outcome=outcome, payload=said, tool=ask.tool)

    def _observed(self, token: str, ask: Ask, work: Callable[[], Outcome]) -> Answered:
        started_ms, began, span = self.workspace.clock.now_ms(), elapsed_ns(), str(begun(ask.trace))
        watch = self.joined.watch
        watch.start()
        passed_on = PASSED_ON.set(span)
        try:
            answered = self._answered(ask, work)
        finally:
            PASSED_ON.reset(passed_on)
        durations = watch.read(elapsed_ns() - began)
        try:
            self._observe(token, ask, answered, started_ms, durations, span)
        except Exception:  # noqa: BLE001  what was answered stands, whether or not it could be told; counted
            self.telemetry.failures += 1
        return answered

    def _observe(
        self, token: str, ask: Ask, answered: Answered, started_ms: int, durations: dict[str, int], span: str
    ) -> None:
        session = None if answered.code == payload.UNAUTHENTICATED else self._remembered(token)
        seen = Seen(
            session=session,
            team=self.settings.budgets.team_of(session.principal.id) if session is not None else "",
            started_ms=started_ms,
            duration_ns=durations,
            span=span,
            arguments=self.telemetry.arguments(ask.parameters),
        )
        record = record_of(ask, answered, seen, self.catalogue, self.workspace.operator)
        for observer in self.observers:
            observer.observed(record)


def refused_busy(ask: Ask) -> Answered:
    """The answer to a call that found no place in the queue."""
    outcome = Outcome(status=OutcomeStatus.FAILED, action_digest="", decision=None, error={"code": payload.BUSY})
    return Answered(outcome=outcome, payload=payload.busy(ask.key), tool=ask.tool)


def lane_of_upstream(upstream: str) -> str:
    """The lane of everything that asks an upstream and is no retreat: the name of its executor."""
    return f"upstream:{upstream}"


def upstream_of(tool: str) -> str:
    """The upstream of a connected tool's name; empty for a built-in one."""
    front, dot, _ = tool.partition(".")
    return front if dot else ""


def tool_of(intent: str) -> str:
    """The tool in an intent's key, `PRINCIPAL|TOOL|KEY`."""
    return intent.split("|", 2)[1] if intent.count("|") >= 2 else ""


def key_of(intent: str) -> str:
    """The caller's part of an intent's key."""
    return intent.split("|", 2)[2] if intent.count("|") >= 2 else ""
