"""What hosts hand to hooks, what ships in packs, and what servers say that drafts are made of."""

from registry import Parser, parser

PRE = {
    "session_id": "s",
    "hook_event_name": "PreToolUse",
    "tool_name": "mcp__a__b__c",
    "tool_input": {"command": "ls"},
    "tool_use_id": "t",
    "cwd": "/",
}
MCP = {
    "conversation_id": "c",
    "hook_event_name": "beforeMCPExecution",
    "tool_name": "merge",
    "tool_input": '{"a": [1]}',
    "url": "http://localhost:1",
}
DRAFT = {"name": "x", "category": "unknown_write", "risk": "high", "reviewed": False, "schema": {"type": "object"}}


@parser("config/hook_input.py:parse_hook_input")
def _() -> Parser:
    from bywire.config.hook_input import parse_hook_input

    def both(data: bytes) -> None:
        host = "cursor" if b"conversation_id" in data else "claude-code"
        call = parse_hook_input(data, host)
        call.key(host)
        call.run(host)

    return Parser(both, (PRE, MCP), "json")


@parser("config/packs.py:parse_pack")
def _() -> Parser:
    from bywire.config.packs import parse_pack

    document = {"version": 1, "upstream": "github", "tools": [DRAFT]}
    return Parser(lambda value: parse_pack(value, "pack github", name="github"), (document,), "value")


@parser("config/contract_drafts.py:parse_draft")
def _() -> Parser:
    from bywire.config.contract_drafts import draft, parse_draft

    def drafted(value: object) -> None:
        if isinstance(value, dict):
            entry = draft(value, "sha256:" + "a" * 64, None).entry
            if entry is not None:
                parse_draft(entry, "up")

    definition = {
        "name": "x",
        "description": "Reads.",
        "inputSchema": DRAFT["schema"],
        "annotations": {"readOnlyHint": 1},
    }
    return Parser(drafted, (definition,), "value")


@parser("wiring/hooks_here.py:server_of")
def _() -> Parser:
    from bywire.model.gateway import Upstream
    from bywire.wiring.hooks_here import server_of

    known = (Upstream(name="a", kind="mcp", command=("npx", "a")), Upstream(name="b", kind="mcp", url="http://h/mcp"))
    return Parser(lambda text: server_of(text, known), ("npx a", "http://h/mcp/"), "text")
