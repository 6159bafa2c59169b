"""The hook in a host's own configuration: put in, taken out, and everybody else's left as it is.

Claude Code and Codex run the tool when a hook's program is missing, is killed or ends in any other code than 2, so that
theirs is started by a shell that ends in 2 then. It is named, since a person's own shell may read the line otherwise.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bywire.config.hook_input import CLAUDE_CODE, CODEX, CURSOR
from bywire.model.errors import ConfigError

TIMEOUT_SECONDS = 60
PROGRAM = "bywire"
SHELL = ("/bin/sh", "-c")
_CLOSED = " || { [ $? -eq 2 ] || echo 'bywire: the hook did not run; nothing was allowed' >&2; exit 2; }"
FILES: Mapping[str, str] = {
    CLAUDE_CODE: ".claude/settings.json",
    CODEX: ".codex/hooks.json",
    CURSOR: ".cursor/hooks.json",
}
# What the machine's owner keeps there is in force for everybody on it, trusted, and turned off by nobody else.
MANAGED: Mapping[str, str] = {
    CLAUDE_CODE: "/etc/claude-code/managed-settings.json",
    CODEX: "/etc/codex/requirements.toml",
}
# Everything is asked about: a tool that no contract knows is refused, not overlooked.
EVENTS: Mapping[str, Sequence[str]] = {
    CLAUDE_CODE: ("PreToolUse", "PostToolUse", "PostToolUseFailure"),
    CODEX: ("PreToolUse", "PostToolUse"),
    CURSOR: ("preToolUse", "beforeMCPExecution", "postToolUse", "postToolUseFailure"),
}


def with_hook(document: Any, host: str, command: str) -> dict[str, Any]:
    """The configuration with the hook for every event, once. Raises ConfigError `hook_config_unknown`."""
    found = without_hook(document, host)
    hooks = found.setdefault("hooks", {})
    for event in EVENTS[host]:
        hooks[event] = [*hooks.get(event, []), _entry(host, event, command)]
    return {"version": 1, **found} if host == CURSOR else found


def without_hook(document: Any, host: str) -> dict[str, Any]:
    """The configuration without any hook of ours. Raises ConfigError `hook_config_unknown`."""
    hooks = document.get("hooks", {}) if isinstance(document, dict) else None
    if not isinstance(hooks, dict) or not all(isinstance(entries, list) for entries in hooks.values()):
        raise ConfigError(
            f"{FILES[host]} is laid out as no version of {host} that is known here lays it out",
            code="hook_config_unknown",
            next_step="correct it, or add the hook by hand",
        )
    left = {event: kept for event, entries in hooks.items() if (kept := _kept(entries, host)) or not entries}
    rest = {key: value for key, value in document.items() if key != "hooks"}
    return {**rest, "hooks": left} if left else rest


def managed(host: str, command: str) -> str:
    """The text that a machine's owner adds to `MANAGED[host]`. Raises ConfigError `hook_not_managed`."""
    if host not in MANAGED:
        raise ConfigError(
            f"no file of {host} is known here that its owner cannot turn off",
            code="hook_not_managed",
            next_step="leave --managed out",
        )
    document = with_hook({}, host, command)
    if host == CLAUDE_CODE:
        return json.dumps(document, indent=2, ensure_ascii=False)
    tables = ["[features]", "hooks = true"]
    for event, entries in document["hooks"].items():
        for entry in entries:
            tables += ["", f"[[hooks.{event}]]", _assigned(entry, "matcher"), "", f"[[hooks.{event}.hooks]]"]
            tables += [_assigned(run, key) for run in entry["hooks"] for key in run]
    return "\n".join(tables)


def _assigned(table: Mapping[str, Any], key: str) -> str:
    return f"{key} = {json.dumps(table[key], ensure_ascii=False)}"


def _entry(host: str, event: str, command: str) -> dict[str, Any]:
    if host == CURSOR:
        return {"command": command, "timeout": TIMEOUT_SECONDS, "failClosed": True}
    asked = shlex.join([*SHELL, f"{command}{_CLOSED}"]) if event == "PreToolUse" else command
    run = {"type": "command", "command": asked, "timeout": TIMEOUT_SECONDS}
    return {"matcher": "*", "hooks": [run]} if host == CLAUDE_CODE else {"matcher": ".*", "hooks": [run]}


def _kept(entries: list[Any], host: str) -> list[Any]:
    found = []
    for entry in entries:
        inner = entry.get("hooks") if isinstance(entry, dict) else None
        if isinstance(inner, list) and inner:
            others = [one for one in inner if not _is_ours(one, host)]
            if others:
                found.append({**entry, "hooks": others})
        elif not _is_ours(entry, host):
            found.append(entry)
    return found


def _is_ours(entry: Any, host: str) -> bool:
    """Whether an entry starts `bywire ... hook HOST`, itself or by the shell that it is put in with."""
    command = entry.get("command") if isinstance(entry, dict) else None
    try:
        words = shlex.split(command) if isinstance(command, str) else []
        if tuple(words[:-1]) == SHELL and words[-1].endswith(_CLOSED):
            words = shlex.split(words[-1].removesuffix(_CLOSED))
    except ValueError:
        return False
    asked = any(words[at : at + 2] == ["hook", host] for at in range(1, len(words)))
    return asked and words[0].rsplit("/", 1)[-1] == PROGRAM
