"""What the intent transaction's refusals say to people: the world moved between the decision and its commit."""

_TOLD = {
    "state.freeze_all": ("everything is frozen, retreats too", "bywire resume, by whoever froze it"),
    "state.stopped": ("bywire was stopped after this was decided", "bywire resume, by whoever stopped it"),
    "state.deadline_passed": ("the action's deadline passed before it could begin", "run the same command again"),
    "state.bundle_changed": ("another policy became active after this was decided", "run the same command again"),
    "state.session_changed": ("the agent's session was revoked or lost its integrity", "run the same command again"),
    "state.witness_overdue": (
        "too few witnesses have seen the log lately, so nothing new is exposed",
        "bywire log witnesses; retreats stay possible",
    ),
    "break_glass.used_or_expired": (
        "the broken glass was used up, closed or has expired",
        "bywire break-glass list",
    ),
    "state.fenced": ("another bywire process took over this workspace", "bywire status; that process goes on"),
    "state.budget_spent": (
        "a count of actions for the hour is used up",
        "wait for the next hour, or raise the limit it names",
    ),
    "state.second_budget_spent": (
        "what may be done in a second is used up",
        "send it again after `retry.after_seconds`, or have the operator raise the limit it names",
    ),
    "state.minute_budget_spent": (
        "what may be done in a minute is used up",
        "send it again after `retry.after_seconds`, or have the operator raise the limit it names",
    ),
    "state.hour_budget_spent": (
        "what may be spent in an hour is used up",
        "wait for the next hour, or raise the budget it names",
    ),
    "state.day_budget_spent": (
        "what may be spent in a day is used up",
        "wait for the next day (UTC), or raise the budget it names",
    ),
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
