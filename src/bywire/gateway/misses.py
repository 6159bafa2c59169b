"""What the intent transaction's refusals say to people: the world moved between the decision and its commit."""

_TOLD = {
    "state.freeze_all": ("everything is frozen, retreats too", "bywire resume, by whoever froze it"),
    "state.stopped": ("bywire was stopped after this was decided", "bywire resume, by whoever stopped it"),
    "state.deadline_passed": ("the action's deadline passed before it could begin", "run the same command again"),
    "state.bundle_changed": ("another policy became active after this was decided", "run the same command again"),
    "state.session_changed": ("the agent's session was revoked or lost its integrity", "run the same command again"),
    "state.fenced": ("another bywire process took over this workspace", "bywire status; that process goes on"),
    "state.budget_spent": ("this agent used up its actions for the hour", "wait, or raise limits.actions_per_hour"),
    "approval.used_or_expired": (
        "the approval was used up, revoked or has expired",
        "run the same command for a new one",
    ),
}
_UNKNOWN = ("the intent could not be committed", "bywire status")


def told(rule: str) -> dict[str, str]:
    """`message` and `next_step` of a refusal's rule."""
    message, next_step = _TOLD.get(rule, _UNKNOWN)
    return {"message": message, "next_step": next_step}
