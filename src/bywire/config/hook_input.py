"""What coding agents' hosts hand to a hook on standard input: Claude Code, Codex and Cursor, in one shape.

Only what says which tool is about to run, with what, is taken from it. Who asks, where the workspace is and what
decides stand on the hook's own command line: an input that names another agent or directory changes none of it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.config.json_document import load
from bywire.model.errors import ConfigError

# What was done comes back with the whole of the file as it was, twice escaped: far more than what was asked.
BYTES_MAX = 32 * 2**20
SESSION_CHARS_MAX = 256
BEFORE, AFTER, FAILED, OTHER = "before", "after", "failed", "other"
PATH_CHARS_MAX = 8_192
CLAUDE_CODE, CODEX, CURSOR = "claude-code", "codex", "cursor"
_CLAUDE = {"PreToolUse": BEFORE, "PostToolUse": AFTER, "PostToolUseFailure": FAILED}
_EVENTS: Mapping[str, Mapping[str, str]] = {
    CLAUDE_CODE: _CLAUDE,
    CODEX: _CLAUDE,
    CURSOR: {
        "preToolUse": BEFORE,
        "beforeMCPExecution": BEFORE,
        "beforeShellExecution": BEFORE,
        "postToolUse": AFTER,
        "postToolUseFailure": FAILED,
    },
}
# Events after which the host runs no tool that it has not asked about; any other that is not known here blocks.
_HARMLESS: Mapping[str, frozenset[str]] = {
    CLAUDE_CODE: frozenset({
        "SessionStart", "SessionEnd", "UserPromptSubmit", "Notification", "Stop", "SubagentStart", "SubagentStop",
        "PreCompact", "PostCompact",
    }),
    CODEX: frozenset({"SessionStart", "UserPromptSubmit", "Stop"}),
    CURSOR: frozenset({
        "sessionStart", "sessionEnd", "beforeSubmitPrompt", "afterShellExecution", "afterMCPExecution", "afterFileEdit",
        "afterAgentResponse", "afterAgentThought", "preCompact", "subagentStop", "stop",
    }),
}  # fmt: skip
_HOST_TOOL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_MCP_TOOL = re.compile(r"[A-Za-z0-9_./-]{1,95}")
_UPSTREAM = re.compile(r"[a-z][a-z0-9-]{0,31}")
MCP_PREFIX, CURSOR_MCP_PREFIX = "mcp__", "MCP:"


class HookCall(msgspec.Struct, frozen=True):
    """One call that a host is about to make, or has made.

    `event` is before, after, failed or other. `tool` is the host's own tool, or empty for an MCP server's; then
    `candidates` are the (server, tool) that its name may mean and a contract may hold, and `servers` every server that
    it may mean in the host's settings, which name servers as they like; or `server` is how the host reaches it (a URL
    or a command) and `mcp_tool` its name there. `elsewhere`: another event of the host asks about the same call.
    `call` tells calls of one session apart; empty where the host does not. `cwd` is what relative paths start from, by
    the host's own word: it can only make a call be refused.
    """

    event: str
    tool: str = ""
    candidates: tuple[tuple[str, str], ...] = ()
    servers: tuple[str, ...] = ()
    server: str = ""
    mcp_tool: str = ""
    parameters: dict[str, Any] = {}
    session: str = ""
    call: str = ""
    elsewhere: bool = False
    cwd: str = ""

    def run(self, host: str) -> str:
        """The run that the host's session is: its integrity is one."""
        return f"{host}-{hashlib.sha256(self.session.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def key(self, host: str) -> str:
        """The idempotency key of this call; empty when the host names no call.

        Another hook may have exchanged the parameters after they were permitted; the host says so in the event after
        it. Then the key is another one, and nothing is reported of what was permitted.
        """
        if not self.call:
            return ""
        said = f"{host}\0{self.session}\0{self.call}"
        if host != CURSOR:
            said += f"\0{json.dumps(self.parameters, sort_keys=True)}"
        return f"hook-{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def parse_hook_input(data: bytes, host: str) -> HookCall:
    """The call that `data` describes. Raises ConfigError `hook_input_invalid`, `json_invalid`."""
    document = load(data, "the hook's input", bytes_max=BYTES_MAX)
    if not isinstance(document, dict):
        raise _invalid("it is no JSON object")
    named = _text(document, "hook_event_name")
    if named in _HARMLESS[host]:
        return HookCall(OTHER)
    event = _EVENTS[host].get(named)
    if event is None:
        raise _invalid("its event is none that is known here")
    session = _text(document, "conversation_id" if host == CURSOR else "session_id")
    call = _optional(document, "tool_use_id")
    if host == CURSOR:
        return _cursor(document, event, session, call)
    name, parameters, cwd = _text(document, "tool_name"), _object(document.get("tool_input", {})), _cwd(document)
    if name.startswith(MCP_PREFIX):
        cuts = _cuts(name)
        return HookCall(
            event, candidates=_named(cuts), servers=tuple(server for server, _ in cuts), parameters=parameters,
            session=session, call=call, cwd=cwd,
        )  # fmt: skip
    return HookCall(event, tool=_host_tool(name), parameters=parameters, session=session, call=call, cwd=cwd)


def _cursor(document: dict[str, Any], event: str, session: str, call: str) -> HookCall:
    name, cwd = document["hook_event_name"], _cwd(document)
    if name == "beforeShellExecution":
        shell: dict[str, Any] = {key: document[key] for key in ("command", "cwd") if key in document}
        return HookCall(event, tool="Shell", parameters=shell, session=session, cwd=cwd)
    tool, parameters = _text(document, "tool_name"), _object(document.get("tool_input", {}))
    if name == "beforeMCPExecution":
        server = _optional(document, "url") or _optional(document, "command")
        if _MCP_TOOL.fullmatch(tool) is None:
            raise _invalid("tool_name is no name of a tool")
        return HookCall(event, server=server, mcp_tool=tool, parameters=parameters, session=session, cwd=cwd)
    if tool.startswith(CURSOR_MCP_PREFIX):
        return HookCall(event, mcp_tool=tool, session=session, elsewhere=True)
    return HookCall(event, tool=_host_tool(tool), parameters=parameters, session=session, call=call, cwd=cwd)


def _cuts(name: str) -> tuple[tuple[str, str], ...]:
    """Every (server, tool) that `mcp__SERVER__TOOL` can mean: both may hold the separator, or begin or end in it."""
    rest = name.removeprefix(MCP_PREFIX)
    return tuple((rest[:at], rest[at + 2 :]) for at in range(len(rest)) if rest.startswith("__", at))


def _named(cuts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Those that a contract can be about."""
    return tuple((server, tool) for server, tool in cuts if _UPSTREAM.fullmatch(server) and _MCP_TOOL.fullmatch(tool))


def _cwd(document: dict[str, Any]) -> str:
    found = _optional(document, "cwd")
    if len(found) > PATH_CHARS_MAX:
        raise _invalid("cwd is too long")
    return found


def _host_tool(name: str) -> str:
    if _HOST_TOOL.fullmatch(name) is None:
        raise _invalid("tool_name is no name of a tool")
    return name


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = load(value.encode("utf-8", "surrogatepass"), "tool_input", bytes_max=BYTES_MAX)
    if not isinstance(value, dict):
        raise _invalid("tool_input is no JSON object")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= SESSION_CHARS_MAX:
        raise _invalid(f"{key} must be text of 1 to {SESSION_CHARS_MAX} characters")
    return value


def _optional(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > BYTES_MAX:
        raise _invalid(f"{key} must be text")
    return value


def _invalid(problem: str) -> ConfigError:
    return ConfigError(
        f"this is no input of a hook: {problem}",
        code="hook_input_invalid",
        next_step="check that the host is the one that the hook was installed for",
    )
