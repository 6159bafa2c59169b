"""The actions a rollout can ask for, with the idempotency keys that make asking twice harmless."""

from bywire.release.rollout_state import Request, RolloutState


def deploy(state: RolloutState) -> Request:
    """Start the artifact beside the stable version, without traffic."""
    return _request(state, "deploy_release", {"artifact": state.plan.artifact}, "deploy")


def warm(state: RolloutState) -> Request:
    """Run the release's warm-up before any exposure."""
    return _request(state, "warm_release", {"artifact": state.plan.artifact}, "warm")


def set_weight(state: RolloutState, step: int) -> Request:
    """Expose step number `step` of the plan, under a lease."""
    target = state.plan.steps[step]
    parameters = {
        "artifact": state.plan.artifact,
        "weight": target.weight,
        "segments": list(target.segments),
        "lease_seconds": state.limits.lease_seconds,
    }
    return _request(state, "set_canary_weight", parameters, f"step/{step}")


def renew_lease(state: RolloutState, now_ms: int) -> Request:
    """Keep the present weight for another lease; one key for each third of a lease."""
    period = max(int(state.limits.lease_seconds * 1000 / 3), 1)
    parameters = {
        "artifact": state.plan.artifact,
        "weight": state.weight,
        "lease_seconds": state.limits.lease_seconds,
    }
    return _request(state, "renew_canary_lease", parameters, f"lease/{state.step}/{now_ms // period}")


def promote(state: RolloutState) -> Request:
    """Make the artifact the stable version."""
    return _request(state, "promote_release", {"artifact": state.plan.artifact}, "promote")


def rollback(state: RolloutState) -> Request:
    """Give all traffic back to the last good digest; the retreat that the plan authorises in advance."""
    return _request(state, "rollback_release", {"artifact": state.plan.last_good, "reason": state.reason}, "rollback")


def read_telemetry(state: RolloutState, since_interval: int, now_ms: int) -> Request:
    """Ask for the whole intervals since one index up to the last that has ended."""
    through = state.limits.interval_at(now_ms) - 1
    parameters: dict[str, object] = {"since_interval": since_interval, "through_interval": through}
    return _request(state, "read_telemetry", parameters, f"telemetry/{since_interval}-{through}")


def _request(state: RolloutState, tool: str, parameters: dict[str, object], what: str) -> Request:
    return Request(tool=tool, parameters=parameters, key=f"{state.object}:{state.generation}:{what}")
