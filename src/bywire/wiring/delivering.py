"""A delivery on real parts: creates or resumes the machine, ticks it, and says what happened."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from bywire.adapters.documents import ServiceDocuments
from bywire.adapters.worktrees import GitWorktrees
from bywire.delivery.machine import DeliveryMachine, start
from bywire.delivery.state import Ask, Asked, DeliveryState, Phase, Request, Work, WorkDone
from bywire.delivery.workers import Product, Workers
from bywire.gateway.inputs import operator_facts
from bywire.gateway.redaction import Redactor
from bywire.model.action import ActionRequest
from bywire.model.change import Change
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import BywireError, ConfigError, ConflictError, EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutStep
from bywire.release.judge_policy import ERRORS, SLOW, JudgePolicy
from bywire.release.rollout_state import RolloutLimits
from bywire.runtime.tick import Runtime
from bywire.seal import jcs
from bywire.seal.dsse import unverified_statement
from bywire.seal.keys import SigningKey
from bywire.wiring.door import CONTROLLER, Joined
from bywire.wiring.workspace import LOG_PRINCIPAL, Workspace

ATTEMPTS_MAX = 1_000
_ASKS_AS = {"create_fix_branch": "agent:recourse"}


class WrittenPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rollout plan that a person wrote: its steps and whether to warm up first. `origin` labels who wrote it."""

    version: int
    steps: tuple[RolloutStep, ...]
    warm: bool = False
    origin: str = "written by hand"


class Delivering:
    """Deliveries of one workspace. `show` receives the redacted end of a failing command's output, untrusted text."""

    def __init__(self, workspace: Workspace, show: Callable[[str], None] = lambda _: None) -> None:
        self._workspace = workspace
        self._show = show
        self._redactor = Redactor(workspace.workspace_key)
        self._joined = Joined(workspace)
        self._intents = self._joined.intents
        self._workers = self._build_workers()
        self.runtime: Runtime[DeliveryState, Request] = Runtime(
            DeliveryMachine(), workspace.machines, self, workspace.clock, workspace.steps
        )

    def begin(self, goal: str, branch: str, *, dry_run: bool, plan: WrittenPlan | None) -> DeliveryState:
        """The delivery of this goal and branch head: the unfinished one, the one in place, or a new attempt.

        A rollout under way is finished first, whatever its branches have become since. Raises ConflictError
        `rollout_unfinished`, ConfigError: goal_missing, branch_missing, intent_missing, branch_behind.
        """
        if not goal.strip():
            raise ConfigError("no goal was given", code="goal_missing", next_step='say what for: --goal "..."')
        self._joined.recover()
        rolling = None if dry_run else next((one for one in self.deliveries() if one.phase is Phase.ROLLING), None)
        if rolling is not None:
            started = _name(goal, branch, rolling.base_commit, rolling.head_commit, dry_run=dry_run, plan=plan)
            if rolling.id.partition(".")[0] == started:
                return rolling
            raise ConflictError(
                f"delivery {rolling.id} ({rolling.goal}) is still rolling out {rolling.branch}",
                code="rollout_unfinished",
                next_step=f"finish it: run `bywire deliver --change {rolling.branch}` with its goal and plan again",
            )
        operator = self._workspace.operator
        change = self._workspace.changes.change(operator.base_branch, branch)
        intent, _ = self._intents.intent(change)
        if intent.service != operator.service:
            raise ConfigError(
                f"bywire.yaml names service {intent.service}, the operator directory is for {operator.service}",
                code="service_mismatch",
                next_step="use the operator directory of this service: --operator DIR",
            )
        name = _name(goal, branch, change.base_commit, change.head_commit, dry_run=dry_run, plan=plan)
        for attempt in range(1, ATTEMPTS_MAX):
            object_id = name if attempt == 1 else f"{name}.{attempt}"
            known = self.runtime.load(object_id)
            if known is not None and (not known.terminal or self._in_place(known)):
                return known
            if known is None:
                return self._create(object_id, attempt, goal, change, dry_run=dry_run, plan=plan)
        raise ConfigError("too many attempts at the same change", code="attempts", next_step="change something first")

    def recover(self) -> None:
        """Settle what a crash left open."""
        self._joined.recover()

    def tick(self, object_id: str) -> tuple[DeliveryState, tuple[Request, ...]]:
        """Settle what a crash left open, then advance once."""
        self._joined.recover()
        return self.runtime.tick(object_id)

    def send(self, object_id: str, request: Request) -> WorkDone | Asked:
        """`runtime.ports.Sender`: work goes to a role, an action to the door."""
        state = self.runtime.load(object_id)
        if state is None:
            raise ConfigError(f"there is no delivery {object_id}", code="not_found", next_step="bywire status")
        if isinstance(request, Work):
            return self._work(state, request)
        return self._ask(state, request)

    def deliveries(self) -> list[DeliveryState]:
        """Every delivery, oldest first."""
        return deliveries(self._workspace)

    def _in_place(self, state: DeliveryState) -> bool:
        """Whether this delivery ended well and what it released still serves: then there is nothing to do again."""
        done = state.phase is Phase.SUCCESSFUL and not state.dry_run
        return done and self._joined.target.observe()["stable"] == state.artifact

    def _create(
        self, object_id: str, attempt: int, goal: str, change: Change, *, dry_run: bool, plan: WrittenPlan | None
    ) -> DeliveryState:
        operator = self._workspace.operator
        intent, _ = self._intents.intent(change)
        observed = self._joined.target.observe()
        ceiling = operator.limits.rollout_ceiling
        steps = (
            plan.steps if plan else tuple(RolloutStep(weight) for weight in intent.rollout_steps if weight <= ceiling)
        )
        state = DeliveryState(
            id=object_id,
            goal=goal,
            service=intent.service,
            environment=operator.environment,
            branch=change.branch,
            base_branch=change.base_branch,
            base_commit=change.base_commit,
            head_commit=change.head_commit,
            generation=attempt,
            dry_run=dry_run,
            steps=tuple(msgspec.to_builtins(steps)),
            warm=plan.warm if plan else False,
            plan_origin=plan.origin if plan else "bywire.yaml",
            ceiling=ceiling,
            last_good=observed["stable"],
            limits=_rollout_limits(self._workspace),
        )
        first, requests = start(state, self._workspace.clock.now_ms())
        self.runtime.create(object_id, first, requests)
        return first

    def _work(self, state: DeliveryState, work: Work) -> WorkDone:
        known = self._workspace.deliveries.result(work.key)
        if known is None:
            try:
                product = self._workers.perform(state, work)
            except BywireError as error:
                return WorkDone(key=work.key, kind=work.kind, result={}, error=error.as_json())
            if product.shown:
                self._show(self._redactor.display(product.shown))
            secret = self._secret_in(product)
            if secret is not None:
                return WorkDone(key=work.key, kind=work.kind, result={}, error=secret.as_json())
            self._workspace.steps.reached(f"work.{work.kind}.done")
            known = self._workspace.deliveries.deliver(
                work.key,
                state.id,
                product.statements,
                product.result,
                self._workspace.clock.now_ms(),
                product.blobs,
                reducing=state.phase in {Phase.ROLLING, Phase.CONCLUDING},
            )
        self._workspace.steps.reached(f"work.{work.kind}.recorded")
        return WorkDone(key=work.key, kind=work.kind, result=known, entries=tuple(known["entries"]))

    def _secret_in(self, product: Product) -> EvidenceError | None:
        """Signed evidence is never edited, so a statement that holds a secret is refused whole (RULES 5)."""
        for kind, envelope, _ in product.statements:
            found = self._redactor.certain(unverified_statement(envelope).predicate)
            if found:
                return EvidenceError(
                    f"the {kind} statement would hold a secret ({', '.join(found)}); nothing was recorded",
                    code="secret_in_evidence",
                    next_step="remove the secret from the change or the command that prints it, and replace it",
                )
        return None

    def _ask(self, state: DeliveryState, ask: Ask) -> Asked:
        request = ActionRequest(
            tool=ask.tool,
            service=state.service,
            environment=state.environment,
            parameters=ask.parameters,
            idempotency_key=ask.key,
            evidence=ask.evidence,
            plan=ask.plan,
            change=state.id,
            dry_run=ask.dry_run,
        )
        token = self._workspace.token(_ASKS_AS.get(ask.tool, CONTROLLER), state.id)
        try:
            outcome = self._joined.door.call(token, request)
        except BywireError as error:
            # What cannot be recorded is not done; a rollout is told so, because it must retreat rather than stop here.
            if error.code != "disk_full" or state.phase is not Phase.ROLLING:
                raise
            return _unrecorded(ask, error)
        return _asked(ask, outcome)

    def _build_workers(self) -> Workers:
        workspace = self._workspace
        return Workers(
            repository=workspace.changes,
            worktrees=GitWorktrees(workspace.repository),
            sandbox=workspace.sandbox,
            documents=ServiceDocuments(),
            intents=self._intents,
            shelf=self._joined.shelf,
            artifacts=workspace.releases,
            engine=workspace.engine(),
            operator=workspace.operator,
            operator_facts=operator_facts(workspace.operator, workspace.trust),
            state_facts=self._state_facts,
            trust=workspace.trust,
            signers=self._signer,
            path_classes=workspace.bundle().tables["path_classes"],
            clock=workspace.clock,
        )

    def _state_facts(self) -> dict[str, Any]:
        state = self._workspace.state
        return {
            "stop": state.stopped(self._workspace.operator.service, "agent:auditor"),
            "freeze_all": False,
            "freeze_window": False,
            "incident_mode": False,
            "bundle_digest": state.active_bundle(),
            "session": {"integrity": "trusted"},
            "target": self._joined.target.observe(),
        }

    def _signer(self, principal: str) -> SigningKey:
        if principal == LOG_PRINCIPAL:
            return self._workspace.log_key
        role = KeyRole.BUILDER if principal.startswith("workload:") else KeyRole.AGENT
        return self._workspace.keys.load(role, principal)


def deliveries(workspace: Workspace) -> list[DeliveryState]:
    """Every delivery of a workspace, oldest first."""
    machine = DeliveryMachine()
    stored = (
        workspace.machines.load(object_id) for object_id in workspace.machines.ids() if object_id.startswith("dl-")
    )
    return [machine.decode(item.state, item.outbox)[0] for item in stored if item is not None]


def run_to_rest(
    delivering: Delivering,
    state: DeliveryState,
    *,
    pause: Callable[[float], None],
    seen: Callable[[DeliveryState], None],
    wait_seconds: float,
    now_ms: Callable[[], int],
) -> DeliveryState:
    """Tick until the delivery ends or waits for a person longer than `wait_seconds`."""
    interval = delivering_interval(delivering)
    waiting_since: int | None = None
    while not state.terminal:
        before = state
        state, requests = delivering.tick(state.id)
        seen(state)
        if state.phase is Phase.APPROVING and state.approval_id:
            waiting_since = waiting_since if waiting_since is not None else now_ms()
            if now_ms() - waiting_since >= wait_seconds * 1000:
                return state
            pause(interval / 4)
        elif state.phase is Phase.ROLLING and _only_watching(requests) and state.events == before.events:
            pause(interval / 4)
    return state


def delivering_interval(delivering: Delivering) -> float:
    """Seconds of one telemetry interval."""
    return float(delivering._workspace.operator.judge.interval_seconds)  # noqa: SLF001


def _only_watching(requests: tuple[Request, ...]) -> bool:
    watching = {"read_telemetry", "renew_canary_lease"}
    return all(isinstance(request, Ask) and request.tool in watching for request in requests)


def _unrecorded(ask: Ask, error: BywireError) -> Asked:
    return Asked(
        key=ask.key,
        tool=ask.tool,
        status=str(OutcomeStatus.DENIED),
        result=None,
        approval_id="",
        entry=-1,
        reasons=({"rule": "journal.disk_full", "facts": error.as_json()},),
        decision_id="",
        error=error.as_json(),
    )


def _asked(ask: Ask, outcome: Outcome) -> Asked:
    decision = outcome.decision
    reasons = [{"rule": reason.rule, "facts": reason.facts} for reason in decision.reasons] if decision else []
    if outcome.status is OutcomeStatus.DENIED and outcome.error and "message" in outcome.error:
        reasons = [{"rule": outcome.error["code"], "facts": dict(outcome.error)}]
    return Asked(
        key=ask.key,
        tool=ask.tool,
        status=str(outcome.status),
        result=outcome.result,
        approval_id=outcome.approval_id,
        entry=outcome.entry,
        reasons=tuple(reasons),
        decision_id=decision.id if decision is not None else "",
        error=outcome.error,
        replayed=outcome.replayed,
    )


def _rollout_limits(workspace: Workspace) -> RolloutLimits:
    judge, limits = workspace.operator.judge, workspace.operator.limits
    errors = msgspec.structs.replace(
        ERRORS,
        budget=judge.error_budget,
        margin_delta=judge.absolute_margin,
        margin_log_ratio=math.log(judge.relative_margin),
        dispersion=judge.dispersion,
    )
    return RolloutLimits(
        judge=JudgePolicy(
            metrics=(errors, SLOW),
            alpha=judge.alpha,
            bake_intervals_min=judge.intervals_min,
            requests_min=judge.requests_min_per_segment,
            hold_intervals_max=judge.intervals_hold_max,
        ),
        interval_seconds=judge.interval_seconds,
        lease_seconds=limits.canary_lease_seconds,
        verify_intervals_min=judge.verify_intervals,
        verify_timeout_intervals=max(15, judge.verify_intervals * 5),
        healthy_rate_delta=judge.error_budget,
    )


def _name(goal: str, branch: str, base: str, head: str, *, dry_run: bool, plan: WrittenPlan | None) -> str:
    """The same intention always has the same name."""
    written = None if plan is None else msgspec.to_builtins(plan)
    return "dl-" + jcs.digest([goal, branch, base, head, dry_run, written])[:10]
