"""Where hosts keep what makes them ask: settings, hooks and servers, which an agent that may write takes out first.

Skills, commands and agents bring hooks of their own, and plugins bring servers. Claude Code 2.1 runs such a hook beside
ours, and lets it exchange the parameters that ours has permitted.

Text is compared as it is written: a link or a shell's variable that leads to these places is not seen.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

FOLDERS = frozenset({".claude", ".cursor", ".codex"})
FILES = frozenset({".claude.json", ".mcp.json"})
DEPTH_MAX = 64
_SETTINGS = re.compile(r"(?s)(?:settings|hooks|config|mcp|cli|agents|commands|plugins|skills|workflows)(?:\..*)?")
_MENTION = re.compile(r"(?<![\w-])\.(?:claude|cursor|codex|mcp\.json)(?![\w-])")
_QUOTES = str.maketrans("", "", "\"'`\\")
# Hosts' own tools that change no file. Any other, one of tomorrow's too, is looked at.
_CHANGE_NOTHING = frozenset({
    "Agent", "AskUserQuestion", "BashOutput", "EnterPlanMode", "ExitPlanMode", "Glob", "Grep", "KillShell", "LS",
    "ListMcpResourcesTool", "NotebookRead", "Read", "ReadLints", "ReadMcpResourceTool", "SemanticSearch", "Task",
    "TodoWrite", "WebFetch", "WebSearch", "update_plan", "view_image",
})  # fmt: skip
# Parameters that hold what is written, and not where.
_CONTENTS = frozenset({"content", "old_string", "new_string", "new_source", "prompt", "todos", "description"})
_PATHS = frozenset({"file_path", "notebook_path", "path", "target_file"})
_SCRIPTS = frozenset({"args", "argv", "cmd", "code", "command", "commands", "input", "script", "shell"})


def touches_hooks(tool: str, parameters: Mapping[str, Any], cwd: str) -> bool:
    """Whether a call may change what a host asks. `tool` is the host's own, or empty for an MCP server's.

    A path is denied when it is one of the folders, or their settings or hooks; a script when it names a folder at all.
    Of an MCP server's tool every text is taken for a path, since only its server knows which are.
    """
    if tool in _CHANGE_NOTHING:
        return False
    for name, text in _texts("", parameters, DEPTH_MAX):
        if (name in _SCRIPTS or tool) and name not in _PATHS:
            if _mentions(text) or _is_own(cwd, ""):
                return True
        elif _is_own(text, cwd):
            return True
    return False


def _texts(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if name in _CONTENTS:
        return
    if isinstance(value, str):
        yield name, value
    elif depth <= 0:
        yield name, ".claude"  # deeper than anybody looks: taken for the worst
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield "", str(key)
            yield from _texts(str(key), inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(name, inner, depth - 1)


def _mentions(text: str) -> bool:
    plain = _plain(text)
    return any(_MENTION.search(one) is not None for one in (plain, plain.translate(_QUOTES)))


def _is_own(path: str, cwd: str) -> bool:
    return any(
        _leads_there(posixpath.normpath(posixpath.join(_slashed(cwd), _slashed(one)))) for one in {path, unquote(path)}
    )


def _leads_there(path: str) -> bool:
    parts = path.split("/")
    return any(
        part in FILES or (part in FOLDERS and (at + 1 == len(parts) or _SETTINGS.fullmatch(parts[at + 1]) is not None))
        for at, part in enumerate(parts)
    )


def _slashed(path: str) -> str:
    """Separators of every system, and no dots or spaces at an end that some file systems drop."""
    parts = _plain(path).replace("\\", "/").split("/")
    return "/".join(part if part in {".", ".."} else part.rstrip(". ") for part in parts).strip()


def _plain(text: str) -> str:
    """Case and marks that cannot be seen make no other name."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(one for one in folded if one.isprintable() or one.isspace())
