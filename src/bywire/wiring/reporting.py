"""The history of a rollout, from the signed verdicts in the log."""

import msgspec

from bywire.delivery.state import DeliveryState
from bywire.identity.trust import TrustRoot
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.release.report_history import RolloutHistory, VerdictEvent, event_from_verdict, point_from_verdict
from bywire.release.verdict import Verdict
from bywire.seal.dsse import verify_statement
from bywire.wiring.delivering import deliveries
from bywire.wiring.door import CONTROLLER
from bywire.wiring.workspace import Workspace


def rollout_history(workspace: Workspace, delivery: str) -> RolloutHistory:
    """The rollout of one delivery (empty: the newest that was judged). ConfigError `no_rollout` when none was."""
    judged = [state for state in deliveries(workspace) if state.rollout is not None and state.recorded_interval >= 0]
    state = next((state for state in reversed(judged) if delivery in {"", state.id}), None)
    if state is None or state.rollout is None:
        raise ConfigError(
            f"no rollout of {delivery or 'any delivery'} was judged yet",
            code="no_rollout",
            next_step="bywire status shows deliveries; a first release has nothing to compare with",
        )
    verdicts = _verdicts(workspace, state, workspace.trust)
    events: list[VerdictEvent] = []
    for entry, verdict in verdicts:
        event = event_from_verdict(verdict, entry)
        last = events[-1] if events else None
        if last is None or (last.decision, last.reason, last.weight) != (event.decision, event.reason, event.weight):
            events.append(event)
    return RolloutHistory(
        title=state.goal,
        service=state.service,
        environment=state.environment,
        artifact=state.artifact,
        interval_seconds=state.rollout.limits.interval_seconds,
        points=tuple(point_from_verdict(verdict) for _, verdict in verdicts),
        events=tuple(events),
        outcome=str(state.rollout.phase),
        exposure_requests=state.rollout.exposure_requests,
        exposure_bad=state.rollout.exposure_bad,
    )


def _verdicts(workspace: Workspace, state: DeliveryState, trust: TrustRoot) -> list[tuple[int, Verdict]]:
    """Only what the release controller's key signed is drawn."""
    found = []
    for row in workspace.deliveries.statements(state.id):
        envelope = workspace.deliveries.envelope(row.digest) if row.kind == "verdict" else None
        if envelope is None:
            continue
        keys = trust.keys_for(KeyRole.AGENT, principal=CONTROLLER, index=row.entry)
        predicate = dict(verify_statement(envelope, keys).statement.predicate)
        predicate.pop("delivery")
        found.append((row.entry, msgspec.convert(predicate, Verdict)))
    return found
