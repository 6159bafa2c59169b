"""The door of a workspace, with what it knows of deliveries."""

from collections.abc import Mapping
from typing import Any

from bywire.adapters.credentials import NamedCredentials
from bywire.adapters.destinations import ConnectionExecutor
from bywire.adapters.documents import GitIntents
from bywire.adapters.envelope_executor import EnvelopeExecutor
from bywire.adapters.found_credentials import FoundCredentials
from bywire.adapters.repository_executor import RepositoryExecutor
from bywire.adapters.sqlite_deliveries import StatementRow
from bywire.adapters.target_executor import TargetExecutor
from bywire.delivery.machine import DeliveryMachine
from bywire.delivery.state import DeliveryState, Phase
from bywire.evidence import facts
from bywire.evidence.verification import SealedStatement, believe
from bywire.gateway.door import Door
from bywire.gateway.egress_contracts import EGRESS
from bywire.gateway.ports import Executor, IntentRow
from bywire.gateway.recovery import recover
from bywire.model.change import Change
from bywire.model.decision import Outcome
from bywire.model.errors import BywireError, EvidenceError, TargetError
from bywire.model.gateway import GatewayConfig
from bywire.model.intent import ServiceIntent
from bywire.model.principal import KeyRole
from bywire.seal.dsse import verify_statement
from bywire.wiring.catalogue import BUILT_IN, connected_tools
from bywire.wiring.connecting import connected
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.mcp_upstreams import close_upstreams, join_mcp
from bywire.wiring.standing import WorkspaceStanding
from bywire.wiring.stopwatch import Stopwatch, TimedEngine, TimedSteps
from bywire.wiring.upstreams import upstream_executors
from bywire.wiring.workspace import Workspace

ASSETS_CHANGE = "assets"
CONTROLLER = "agent:release-controller"
EARLIER_MAX = 5
ASSET_STATEMENTS_MAX = 256
# Kinds that are evidence about a change; decisions, verdicts and recourse are consequences of it.
EVIDENCE_KINDS = frozenset({"plan", "change-set", "test-report", "evaluation", "sbom", "provenance", "vsa"})
CATALOGUE = BUILT_IN


class Shelf:
    """`delivery.ports.StatementShelf`: a delivery's evidence and the service's newest asset provenance.

    Assets are attested again for years, and what reads them is bounded: a retreat must not fail because there are many.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._deliveries = workspace.deliveries

    def statements(self, change: str) -> tuple[SealedStatement, ...]:
        """Sealed statements in ledger order."""
        rows = [
            row
            for row in (
                *self._deliveries.statements(ASSETS_CHANGE)[-ASSET_STATEMENTS_MAX:],
                *self._deliveries.statements(change),
            )
            if row.kind in EVIDENCE_KINDS
        ]
        return self._sealed(rows)

    def named(self, digests: tuple[str, ...]) -> tuple[SealedStatement, ...]:
        """The sealed statements of any delivery under these digests, in ledger order."""
        return self._sealed([row for row in self._deliveries.named(digests) if row.kind in EVIDENCE_KINDS])

    def _sealed(self, rows: list[StatementRow]) -> tuple[SealedStatement, ...]:
        sealed = ((row, self._deliveries.envelope(row.digest)) for row in sorted(rows, key=lambda row: row.entry))
        return tuple(
            SealedStatement(envelope, row.entry, row.at_ms) for row, envelope in sealed if envelope is not None
        )


class DeliveryFacts:
    """`gateway.ports.ChangeFacts`: facts of a delivery, derived again from verified statements for every write."""

    def __init__(self, workspace: Workspace, shelf: Shelf) -> None:
        self._workspace = workspace
        self._shelf = shelf
        self._machine = DeliveryMachine()

    def facts_for(self, change: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """(change, facts, retreat); empty for an action outside every delivery."""
        state = self.state(change)
        if state is None:
            return {}, {}, None
        derived = facts.derive(
            self._shelf.statements(change),
            self._workspace.trust,
            commit=state.head_commit,
            artifact=state.artifact,
            now_ms=self._workspace.clock.now_ms(),
        )
        derived.facts["earlier_rollouts"] = self._earlier(state)
        authorised = state.phase is Phase.ROLLING and state.plan is not None and bool(state.plan.last_good)
        if not state.last_good:
            return derived.change, derived.facts, None
        vsa = derived.facts.get("vsa") or {}
        steps = state.plan.steps if state.plan is not None else ()
        retreat = {
            "last_good": state.last_good,
            "authorised": authorised,
            "artifact_available": self._workspace.releases.holds(state.last_good),
            "irreversible_migrations": [
                item["path"] for item in derived.change.get("migrations", ()) if item.get("reversible") is not True
            ],
            # The gate weighed the change's migrations before anything was exposed.
            "compatibility_checked": vsa.get("passed") is True,
            "blast_radius": f"at most {max((step.weight for step in steps), default=0)}% of {state.service}'s traffic",
        }
        return derived.change, derived.facts, retreat

    def recorded(self, evidence: tuple[str, ...]) -> bool:
        """Whether one of these digests is of evidence in the ledger that may be believed."""
        return any(map(self._is_believed, self._shelf.named(evidence)))

    def _is_believed(self, sealed: SealedStatement) -> bool:
        try:
            believe(sealed, self._workspace.trust)
        except EvidenceError:
            return False
        return True

    def _earlier(self, state: DeliveryState) -> list[str]:
        """What the signed ends of other deliveries say of the same artifact, when it was rolled back."""
        told = []
        for row in self._workspace.deliveries.ends(state.artifact) if state.artifact else ():
            keys = self._workspace.trust.keys_for(KeyRole.AGENT, principal=CONTROLLER, index=row.entry)
            try:
                predicate = verify_statement(row.envelope, keys).statement.predicate
            except EvidenceError:
                # What a person is only told must not keep a retreat from being decided.
                told.append(f"ledger entry #{row.entry} ended an earlier rollout; its signature is not valid any more")
                continue
            if predicate["phase"] == Phase.ROLLED_BACK and predicate["delivery"] != state.id:
                told.append(f"{predicate['delivery']}: {predicate['says']}")
        return told[-EARLIER_MAX:]

    def state(self, change: str) -> DeliveryState | None:
        """The delivery named `change`."""
        stored = self._workspace.machines.load(change) if change else None
        return None if stored is None else self._machine.decode(stored.state, stored.outbox)[0]


class Joined:
    """A door with its executors, ready to be called and to recover.

    Without `settings`, gateway.yaml and the contract files are read as far as they can be: `faults` are what is wrong
    with them, and what they would connect does not exist.
    """

    def __init__(self, workspace: Workspace, settings: GatewayConfig | None = None) -> None:
        self._workspace = workspace
        self.settings, unread = (settings, ()) if settings is not None else _settings(workspace)
        tools = connected_tools(workspace, self.settings)
        self.catalogue = tools.catalogue
        upstreams, unmade = upstream_executors(self.settings, tools.contracts)
        self.intents = GitIntents(workspace.repository)
        self.target = TargetExecutor(workspace.target, workspace.releases, workspace.operator.judge, self._intent)
        connections, found = connected(workspace.operator)
        credentials, unissued = _credentials(found, self.settings)
        join_mcp(upstreams.values(), workspace, credentials)
        self.faults: tuple[BywireError, ...] = (*unread, *tools.faults, *unmade, *unissued)
        self.executors: Mapping[str, Executor] = {
            "target": self.target,
            "repository": RepositoryExecutor(workspace.repository, workspace.deliveries.envelope),
            "envelope": EnvelopeExecutor(),
            EGRESS: ConnectionExecutor(),
            **connections,
            **upstreams,
        }
        self.shelf = Shelf(workspace)
        self.facts = DeliveryFacts(workspace, self.shelf)
        workspace.bundle()
        self.standing = WorkspaceStanding(workspace)
        self.watch = Stopwatch()
        self.door = Door(
            catalogue=self.catalogue,
            engine=lambda: TimedEngine(workspace.engine(), self.watch),
            trust=lambda: workspace.trust,
            sessions=workspace.sessions,
            operator=workspace.operator,
            journal=workspace.journal,
            approvals=workspace.approvals,
            state=workspace.state,
            standing=self.standing,
            facts=self.facts,
            executors=self.executors,
            credentials=credentials,
            clock=workspace.clock,
            steps=TimedSteps(workspace.steps, self.watch),
            workspace_key=workspace.workspace_key,
            log_key=workspace.log_key,
            budgets=self.settings.budgets,
            budgets_fault=unread[0].as_json() if unread else None,
            inspection=self.settings.inspection,
            one_moment=workspace.reader.one_moment,
        )

    def close(self) -> None:
        """Give back what upstreams hold: connections and child processes."""
        close_upstreams(self.executors.values())

    def _intent(self, change: str) -> ServiceIntent:
        """The intent a delivery started with: branches may have moved since, an approved rollout has not."""
        state = self.facts.state(change)
        if state is None:
            raise TargetError(
                "this action belongs to no delivery", code="intent_missing", next_step="bywire deliver --goal GOAL"
            )
        started = Change(
            branch=state.branch,
            base_branch=state.base_branch,
            base_commit=state.base_commit,
            head_commit=state.head_commit,
            files=(),
            authors=(),
            messages=(),
        )
        return self.intents.intent(started)[0]

    def recover(self, *, reducing_only: bool = False) -> tuple[tuple[IntentRow, Outcome], ...]:
        """Settle what a crash left open, as the contracts allow; `reducing_only` sends nothing but retreats again."""
        state = self._workspace.state
        return recover(
            self.door,
            self._workspace.journal,
            self.catalogue,
            self.executors,
            self._workspace.clock,
            lambda row: reducing_only or state.stopped(row.service, row.principal),
        )


def _settings(workspace: Workspace) -> tuple[GatewayConfig, tuple[BywireError, ...]]:
    try:
        return read_gateway(workspace), ()
    except BywireError as error:
        return GatewayConfig(), (error,)


def _credentials(
    connections: FoundCredentials, settings: GatewayConfig
) -> tuple[NamedCredentials, tuple[BywireError, ...]]:
    try:
        return NamedCredentials(connections, settings.credentials), ()
    except BywireError as error:
        return NamedCredentials(connections, ()), (error,)
