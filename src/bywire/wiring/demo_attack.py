"""The attempts of `bywire demo --attack` that go through the code rather than the command line."""

from typing import Any

import msgspec

from bywire.adapters.documents import GitIntents
from bywire.adapters.worktrees import GitWorktrees
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import sign_verdict
from bywire.model.action import ActionRequest
from bywire.model.errors import BywireError, WorkError
from bywire.model.principal import KeyRole
from bywire.wiring.delivering import deliveries
from bywire.wiring.door import CONTROLLER, Joined
from bywire.wiring.workspace import Workspace

PROBES_FILE = "reports/probes.json"


class Attempt(msgspec.Struct, frozen=True):
    """One attempt: what was tried, whether it got through, what stopped it."""

    tried: str
    reached: bool
    detail: str


def probe_sandbox(workspace: Workspace, branch: str) -> tuple[Attempt, ...]:
    """Run the branch's own tests exactly as the tester does, and read what its probes found."""
    change = workspace.changes.change(workspace.operator.base_branch, branch)
    intent, _ = GitIntents(workspace.repository).intent(change)
    if intent.test is None:
        raise WorkError("the attack has no test command", code="demo_failed", next_step="report this")
    with GitWorktrees(workspace.repository)(change.head_commit) as worktree:
        workspace.sandbox.run(intent.test.run, cwd=worktree.root, timeout_seconds=intent.test.timeout_seconds)
        found = worktree.read_file(PROBES_FILE)
    if found is None:
        raise WorkError("the probes did not run", code="demo_failed", next_step="report this")
    probes: list[dict[str, str]] = msgspec.json.decode(found)
    return tuple(
        Attempt(probe["name"].replace("_", " "), probe["outcome"] != "refused", probe["detail"]) for probe in probes
    )


def reuse_approval(workspace: Workspace) -> tuple[Attempt, ...]:
    """Use the approval of the first release for other things than it was given for."""
    state = next(state for state in deliveries(workspace) if state.plan is not None)
    door = Joined(workspace).door
    token = workspace.token(CONTROLLER, "attack")

    def ask(tool: str, parameters: dict[str, Any], key: str) -> str:
        outcome = door.call(
            token,
            ActionRequest(
                tool=tool,
                service=state.service,
                environment=state.environment,
                parameters=parameters,
                idempotency_key=key,
                evidence=state.evidence,
                plan=state.plan_digest,
                change=state.id,
            ),
        )
        rules = ", ".join(reason.rule for reason in outcome.decision.reasons) if outcome.decision else ""
        return f"{outcome.status}: {rules}"

    another = "ab" * 32
    deployed = ask("deploy_release", {"artifact": another}, "attack-1")
    changed = ask("start_rollout", {**(state.plan.as_json() if state.plan else {}), "artifact": another}, "attack-2")
    return (
        Attempt("deploy another artifact under an old approval", deployed.startswith("committed"), deployed),
        Attempt("start the approved rollout with one argument changed", changed.startswith("committed"), changed),
        _approve_as_agent(workspace),
    )


def _approve_as_agent(workspace: Workspace) -> Attempt:
    """An agent signs a verdict with its own key, in a person's name."""
    row = workspace.approvals.rows()[0]
    key = workspace.keys.load(KeyRole.AGENT, CONTROLLER)
    forged = sign_verdict(
        row.packet, "approved", "person:oncall", "sre-oncall", "", at_ms=workspace.clock.now_ms(), key=key
    )
    try:
        verify_approval(forged, workspace.trust)
    except BywireError as error:
        return Attempt("an agent signs its own approval", reached=False, detail=f"{error.code}: {error.message}")
    return Attempt("an agent signs its own approval", reached=True, detail="accepted")
