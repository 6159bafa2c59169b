"""What a hook answers, in the shape that each host takes.

Claude Code: an explicit `allow` would pass over its own permission prompts, so that silence lets it go on as ever.
Codex refuses `allow` and `ask` and then runs the tool: it is told nothing, or `deny`. Cursor takes `allow` and `deny`.
No host is ever told `ask`: whoever sits before it may be the requester, the owner or the author, and signs nothing.
Exit code 2 blocks in all three; any other failure lets the tool run, which is why this never ends in one. Claude Code
and Codex are told `deny` with it, and the reason on standard error: anything else on standard output before the JSON
would make them overlook it, and Codex runs the tool after an exit code 2 that says nothing there.
"""

import json
from typing import Any

import msgspec

from bywire.config.hook_input import CODEX, CURSOR

ALLOW, DENY = "allow", "deny"
BLOCKED = 2
REASON_CHARS_MAX = 2_000


class Verdict(msgspec.Struct, frozen=True):
    """What was decided; `reason` is what the agent and its person are told."""

    effect: str
    reason: str = ""


class Reply(msgspec.Struct, frozen=True):
    """What the hook writes on standard output and standard error, and its exit code."""

    out: str = ""
    err: str = ""
    code: int = 0


def answer(host: str, verdict: Verdict, *, decide: bool) -> Reply:
    """The reply before a tool runs. `decide`: also say `allow`, where the host takes it."""
    reason = printable(verdict.reason)
    if host == CURSOR:
        said: dict[str, Any] = {"permission": ALLOW if verdict.effect == ALLOW else DENY}
        if verdict.effect != ALLOW:
            said |= {"user_message": reason, "agent_message": reason}
        return Reply(json.dumps(said))
    if verdict.effect == ALLOW and (host == CODEX or not decide):
        return Reply()
    if verdict.effect == ALLOW:
        return Reply(_decision(ALLOW))
    refusal = blocked(reason)
    return Reply(_decision(DENY, permissionDecisionReason=reason), refusal.err, refusal.code)


def blocked(reason: str) -> Reply:
    """The reply that stops a tool in every host, also when this itself failed."""
    return Reply(err=f"bywire: {printable(reason)}", code=BLOCKED)


def printable(text: str) -> str:
    """One line without control characters: it is shown in terminals and to models."""
    flat = " ".join(text.split())
    return "".join(one if one.isprintable() else "?" for one in flat)[:REASON_CHARS_MAX]


def _decision(effect: str, **more: str) -> str:
    decision = {"hookEventName": "PreToolUse", "permissionDecision": effect, **more}
    return json.dumps({"hookSpecificOutput": decision})
