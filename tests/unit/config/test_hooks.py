"""Hooks: what hosts send, what they are answered, and their configuration files."""

import json
import tomllib

import pytest

from bywire.config.hook_answers import ALLOW, DENY, Verdict, answer, blocked
from bywire.config.hook_files import EVENTS, managed, with_hook, without_hook
from bywire.config.hook_input import AFTER, BEFORE, BYTES_MAX, FAILED, OTHER, parse_hook_input
from bywire.config.hook_places import touches_hooks
from bywire.model.errors import ConfigError

CLAUDE = {
    "session_id": "s-1",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "ls"},
    "tool_use_id": "toolu_1",
    "cwd": "/work",
    "transcript_path": "/t",
}
CURSOR = {"conversation_id": "c-1", "generation_id": "g", "hook_event_name": "preToolUse", "tool_use_id": "t-1"}


def read(document, host="claude-code"):
    return parse_hook_input(json.dumps(document).encode(), host)


def test_a_call_is_read():
    call = read(CLAUDE)
    assert (call.event, call.tool, call.parameters, call.call) == (BEFORE, "Bash", {"command": "ls"}, "toolu_1")
    assert read({**CLAUDE, "hook_event_name": "PostToolUse"}).event == AFTER
    assert read({**CLAUDE, "hook_event_name": "PostToolUseFailure"}).event == FAILED
    assert read({**CLAUDE, "hook_event_name": "Stop"}).event == OTHER


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("mcp__github__merge_pull_request", (("github", "merge_pull_request"),)),
        ("mcp__a__b__c", (("a", "b__c"),)),
        ("mcp__a-b__c__d__e", (("a-b", "c__d__e"),)),
        ("mcp__a__", ()),
        ("mcp____b", ()),
        ("mcp__GitHub__x", ()),
        ("mcp__a.b__x", ()),
        ("mcp__x", ()),
    ],
)
def test_servers_and_tools_are_told_apart(name, candidates):
    assert read({**CLAUDE, "tool_name": name}).candidates == candidates


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("mcp__bywire__buy", ("bywire",)),
        ("mcp__bywire__evil__drop_db", ("bywire", "bywire__evil")),
        ("mcp__bywire___evil__x", ("bywire", "bywire_", "bywire___evil")),
        ("mcp__Evil__bywire__x", ("Evil", "Evil__bywire")),
        ("mcp__x", ()),
    ],
)
def test_every_server_that_a_name_can_mean_is_told(name, servers):
    assert read({**CLAUDE, "tool_name": name}).servers == servers


@pytest.mark.parametrize("host", EVENTS)
@pytest.mark.parametrize(
    "event", ["PreToolUse2", "pretooluse", "PermissionRequest", "ConfigChange", "beforeReadFile", "WorktreeCreate", "x"]
)
def test_an_event_that_nobody_knows_blocks(host, event):
    """Attack: a host's next version asks about tools by another name."""
    document = {**CLAUDE, **CURSOR, "hook_event_name": event}
    with pytest.raises(ConfigError, match="event is none that is known"):
        read(document, host)


@pytest.mark.parametrize(
    ("host", "event"),
    [("claude-code", "SessionStart"), ("claude-code", "Notification"), ("codex", "Stop"), ("cursor", "afterFileEdit")],
)
def test_events_after_which_nothing_runs_are_let_through(host, event):
    assert read({"hook_event_name": event}, host).event == OTHER


DEEP: dict = {"a": "x"}
for _ in range(80):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("tool", "parameters", "cwd", "denied"),
    [
        ("Write", {"file_path": "/w/.claude/./settings.json"}, "/w", True),
        ("Write", {"file_path": "/w/.claude/x/../settings.local.json"}, "/w", True),
        ("Write", {"file_path": "x/../settings.local.json"}, "/w/.claude", True),
        ("Write", {"file_path": "../settings.json"}, "/w/.claude/commands", True),
        ("Write", {"file_path": "/w/.CLAUDE/Settings.JSON"}, "", True),
        ("Write", {"file_path": "/w/.cl\u200daude/settings.json"}, "", True),
        ("Write", {"file_path": "\\w\\.claude\\settings.json"}, "", True),
        ("Write", {"file_path": "/w/.claude./settings.json "}, "", True),
        ("Write", {"file_path": "/w/.claude"}, "", True),
        ("Write", {"file_path": "/w/" + "x/../" * 3000 + ".claude/settings.json"}, "", True),
        ("Delete", {"file_path": "/w/.cursor/hooks/ours.sh"}, "", True),
        ("Write", {"file_path": "/home/d/.codex/config.toml"}, "", True),
        ("MultiEdit", {"edits": [{"file_path": ".claude/settings.json"}]}, "/w", True),
        ("Bash", {"command": "cd .claude && echo {} > settings.json"}, "/w", True),
        ("Bash", {"command": "rm -r .claude"}, "/w", True),
        ("Bash", {"command": "mv .claude .c2"}, "/w", True),
        ("Bash", {"command": "rm -r .cl''au\\de"}, "/w", True),
        ("Bash", {"command": ["sh", "-c", "rm -r ~/.codex"]}, "/w", True),
        ("Bash", {"command": "echo {} > settings.json"}, "/w/.claude/", True),
        ("Bash", {"command": "echo {} > settings.json", "workdir": "/w/.claude"}, "/w", True),
        ("Tomorrow", {"anything": "x .cursor y"}, "/w", True),
        ("Tomorrow", DEEP, "/w", True),
        ("Write", {"file_path": "/w/.claude/skills/x/SKILL.md", "content": "hooks:"}, "/w", True),
        ("Write", {"file_path": "/w/.claude/commands/a.md", "content": "hooks:"}, "/w", True),
        ("Write", {"file_path": "a.md", "content": "hooks:"}, "/w/.claude/agents", True),
        ("Write", {"file_path": "/w/.mcp.json", "content": "{}"}, "/w", True),
        ("Write", {"file_path": "/home/d/.claude.json", "content": "{}"}, "/w", True),
        ("Bash", {"command": "echo {} > .mcp.json"}, "/w", True),
        ("", {"path": "/w/.mcp.json"}, "", True),
        ("", {"path": "/w/.claude/./settings.json"}, "", True),
        ("", {"source": "/w/.claude", "destination": "/w/.c2"}, "", True),
        ("", {"uri": "file:///w/%2Eclaude/settings.json"}, "", True),
        ("", {"files": [{"where": "a\nb/../.claude/settings.json"}]}, "", True),
        ("", {"files": {".claude/settings.json": "{}"}}, "", True),
        ("", {"command": "rm -r .claude"}, "", True),
        ("Read", {"file_path": "/w/.claude/settings.json"}, "/w/.claude", False),
        ("Grep", {"path": ".claude", "pattern": "x"}, "/w", False),
        ("Task", {"prompt": "look at .claude/settings.json"}, "/w", False),
        ("Write", {"file_path": "/w/.claude/rules/a.md", "content": "rm -r .claude"}, "/w", False),
        ("Write", {"file_path": "/w/mcp.json", "content": "{}"}, "/w", False),
        ("Write", {"file_path": "/w/a.claude/settings.json"}, "/w", False),
        ("Write", {"file_path": "settings.json"}, "/w", False),
        ("Bash", {"command": "cat claude.py CLAUDE.md; curl https://api.claude.ai"}, "/w", False),
        ("Bash", {"command": "make"}, "/w/.claude/worktrees/one", False),
        ("", {"body": "what .claude/settings.json says", "path": "src/a.py"}, "/w", False),
    ],
)
def test_what_the_hook_stands_in_is_not_written(tool, parameters, cwd, denied):
    assert touches_hooks(tool, parameters, cwd) is denied


def test_session_and_call_name_the_run_and_the_key_and_nothing_else_does():
    plain = read(CLAUDE)
    claimed = read({**CLAUDE, "agent_id": "agent:admin", "agent_type": "root", "principal": "person:dana"})
    assert claimed == plain
    assert plain.key("codex") == read({**CLAUDE, "cwd": "/etc"}).key("codex")
    assert plain.key("claude-code") == claimed.key("claude-code")
    broken = read({**CLAUDE, "session_id": "\ud800"})  # JSON can say so, and no UTF-8 can
    assert len({one.run("codex") for one in (plain, broken)} | {one.key("codex") for one in (plain, broken)}) == 4
    assert plain.key("claude-code") != read({**CLAUDE, "session_id": "s-2"}).key("claude-code")
    assert plain.key("claude-code") != plain.key("codex")
    assert plain.run("claude-code") != read({**CLAUDE, "session_id": "s-2"}).run("claude-code")
    assert "|" not in read({**CLAUDE, "session_id": "a|b|c", "tool_use_id": "x|y"}).key("codex")


def test_what_hosts_send_today_is_read():
    """Claude Code 2.1.330 and Codex 0.169.0, as they sent it; a tool of a script (`exec`) has its own id."""
    claude = read({
        **CLAUDE, "prompt_id": "p", "permission_mode": "default", "effort": {"level": "medium"}, "agent_id": "a9",
        "agent_type": "general-purpose",
    })  # fmt: skip
    assert claude == read(CLAUDE)
    failed = {"error": "Exit code 3", "is_interrupt": False, "duration_ms": 9}
    assert read({**CLAUDE, **failed, "hook_event_name": "PostToolUseFailure"}).event == FAILED
    codex = {
        "session_id": "01a1", "turn_id": "01a2", "transcript_path": "/t", "cwd": "/w/.codex", "model": "m",
        "permission_mode": "bypassPermissions", "hook_event_name": "PreToolUse", "tool_name": "Bash",
        "tool_input": {"command": "echo x > hooks.json"}, "tool_use_id": "exec-fc7b8883-e5de-433a-a4d8-9ff7cc71e924",
    }  # fmt: skip
    call = read(codex, "codex")
    assert (call.tool, call.parameters, call.cwd) == ("Bash", {"command": "echo x > hooks.json"}, "/w/.codex")
    assert touches_hooks(call.tool, call.parameters, call.cwd)
    after = read({**codex, "hook_event_name": "PostToolUse", "tool_response": ""}, "codex")
    assert (after.event, after.key("codex")) == (AFTER, call.key("codex"))


def test_what_an_edit_of_a_large_file_brings_back_is_still_read():
    """Claude Code sends the file as it was, and what changed, with the event after: five times what was written."""
    told = {"originalFile": 'x"' * 2**20, "structuredPatch": [{"lines": ['y"' * 2**20] * 3}]}
    assert read({**CLAUDE, "hook_event_name": "PostToolUse", "tool_response": told}).event == AFTER


@pytest.mark.parametrize(("host", "same"), [("claude-code", False), ("codex", False), ("cursor", True)])
def test_other_parameters_are_another_call_where_a_host_says_what_it_ran(host, same):
    one = read(CLAUDE).key(host)
    assert (one == read({**CLAUDE, "tool_input": {"command": "ls -a"}}).key(host)) is same
    assert one == read({**CLAUDE, "hook_event_name": "PostToolUse"}).key(host)


def test_cursor_s_events():
    shell = read({**CURSOR, "hook_event_name": "beforeShellExecution", "command": "ls", "cwd": "/w"}, "cursor")
    assert (shell.tool, shell.parameters, shell.call) == ("Shell", {"command": "ls", "cwd": "/w"}, "")
    server = {**CURSOR, "hook_event_name": "beforeMCPExecution", "tool_name": "merge", "tool_input": '{"a": 1}'}
    call = read({**server, "command": "npx server"}, "cursor")
    assert (call.server, call.mcp_tool, call.parameters) == ("npx server", "merge", {"a": 1})
    assert read({**CURSOR, "tool_name": "MCP:merge", "tool_input": {}}, "cursor").elsewhere
    assert read({**CURSOR, "tool_name": "Shell", "tool_input": {"command": "ls"}}, "cursor").tool == "Shell"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no json", b"[]", b'"x"', b"null", b"{}", b'{"hook_event_name": 1}', b"\xff\xfe", b"{" * 100,
        b'{"hook_event_name": "PreToolUse", "hook_event_name": "Stop"}',
        b" " * (BYTES_MAX + 1),
        *(json.dumps({**CLAUDE, **change}).encode() for change in (
            {"tool_name": "github.merge"}, {"tool_name": "a b"}, {"tool_name": ""}, {"tool_name": None},
            {"tool_name": "x" * 300}, {"tool_name": "../Bash"}, {"tool_input": []}, {"tool_input": "ls"},
            {"tool_input": None}, {"tool_input": 3}, {"tool_input": '"x"'}, {"tool_input": '{\ud800"a": 1}'},
            {"session_id": ""}, {"session_id": 1}, {"session_id": "s" * 300}, {"tool_use_id": 7},
        )),
    ],
)  # fmt: skip
def test_what_is_no_input_of_a_hook_is_refused(data):
    with pytest.raises(ConfigError):
        parse_hook_input(data, "claude-code")


@pytest.mark.parametrize(
    ("host", "effect", "decide", "said"),
    [
        ("claude-code", ALLOW, False, ""),
        ("claude-code", ALLOW, True, "allow"),
        ("claude-code", "ask", True, "deny"),
        ("claude-code", DENY, False, "deny"),
        ("codex", ALLOW, False, ""),
        ("codex", ALLOW, True, ""),
        ("codex", "ask", False, "deny"),
        ("codex", DENY, True, "deny"),
        ("cursor", ALLOW, False, "allow"),
        ("cursor", "ask", False, "deny"),
        ("cursor", DENY, False, "deny"),
    ],
)
def test_each_host_is_answered_in_its_own_words(host, effect, decide, said):
    reply = answer(host, Verdict(effect, "why\x1b[31m\nnot"), decide=decide)
    refused = host != "cursor" and said == "deny"
    assert (reply.code, reply.err) == ((2, "bywire: why?[31m not") if refused else (0, ""))
    if not said:
        assert reply.out == ""
        return
    document = json.loads(reply.out)
    if host == "cursor":
        assert document["permission"] == said
        assert ("agent_message" in document) == (said != "allow")
    else:
        inner = document["hookSpecificOutput"]
        assert (inner["hookEventName"], inner["permissionDecision"]) == ("PreToolUse", said)
        assert inner.get("permissionDecisionReason", "why?[31m not") == "why?[31m not"


def test_a_failure_of_our_own_blocks():
    assert blocked("broken").code == 2


OTHERS = {
    "model": "x",
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./lint.sh"}]}],
        "Stop": [{"hooks": [{"type": "command", "command": "say 'bywire hook claude-code'"}]}],
    },
}
COMMAND = "/usr/bin/bywire --repo /r hook claude-code --as bot"


def test_other_hooks_and_settings_stay():
    once = with_hook(OTHERS, "claude-code", COMMAND)
    assert once["model"] == "x"
    assert once["hooks"]["Stop"] == OTHERS["hooks"]["Stop"]
    assert once["hooks"]["PreToolUse"][0] == OTHERS["hooks"]["PreToolUse"][0]
    assert with_hook(once, "claude-code", COMMAND) == once
    moved = with_hook(once, "claude-code", COMMAND.replace("bot", "other"))
    assert json.dumps(moved).count("hook claude-code --as") == len(EVENTS["claude-code"])
    assert without_hook(moved, "claude-code") == OTHERS


@pytest.mark.parametrize(
    "command",
    [
        f"/bin/sh -c '{COMMAND}'",
        f"/bin/sh -c '{COMMAND} || true'",
        "/bin/sh -c",
        "/bin/sh -c 'x' y",
        "/bin/sh -c \"it's",
    ],
)
def test_a_shell_that_is_not_the_one_we_put_in_is_somebody_else_s(command):
    theirs = {"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": command}]}]}}
    assert without_hook(with_hook(theirs, "claude-code", COMMAND), "claude-code") == theirs


def test_one_that_was_put_in_before_is_replaced():
    old = {"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": COMMAND}]}]}}
    found = with_hook(old, "claude-code", COMMAND)["hooks"]["PreToolUse"]
    assert len(found) == 1
    assert found[0]["hooks"][0]["command"].startswith("/bin/sh -c ")


def test_one_of_ours_beside_another_s_in_one_entry_goes_alone():
    shared = {"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"command": COMMAND}, {"command": "x"}]}]}}
    assert without_hook(shared, "claude-code") == {
        "hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"command": "x"}]}]}
    }


@pytest.mark.parametrize("host", EVENTS)
def test_put_in_and_taken_out_nothing_is_left(host):
    found = with_hook({}, host, COMMAND.replace("claude-code", host))
    assert set(found["hooks"]) == set(EVENTS[host])
    left = without_hook(found, host)
    assert left == ({"version": 1} if host == "cursor" else {})
    if host == "cursor":
        assert all(entry["failClosed"] is True for entries in found["hooks"].values() for entry in entries)


def test_what_a_machine_s_owner_adds_says_the_same():
    """Claude Code reads it as JSON, Codex as TOML; no other host's is known."""
    command = "/opt/it's/bywire --repo '/r \"x\"' hook codex --as bot"
    for host, read_text in (("claude-code", json.loads), ("codex", tomllib.loads)):
        assert read_text(managed(host, command))["hooks"] == with_hook({}, host, command)["hooks"]
    assert tomllib.loads(managed("codex", command))["features"] == {"hooks": True}
    with pytest.raises(ConfigError, match="no file of cursor"):
        managed("cursor", command)


@pytest.mark.parametrize("document", [[], "x", {"hooks": []}, {"hooks": {"PreToolUse": {}}}, None])
def test_a_layout_that_nobody_knows_is_left_alone(document):
    with pytest.raises(ConfigError):
        with_hook(document, "claude-code", COMMAND)
