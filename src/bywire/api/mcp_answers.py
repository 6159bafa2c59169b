"""What MCP clients are answered: results with their label, refusals with the one payload, lists of what is offered."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bywire import __version__
from bywire.adapters import mcp_message as rpc
from bywire.gateway.contract import Contract
from bywire.gateway.executing import label as label_of
from bywire.model.ask import Answered
from bywire.wiring import payload

LABEL, CALL, KEY = "bywire/label", "bywire/call", "bywire/key"
OWN_PREFIX = "bywire/"
# Outside of what JSON-RPC and MCP reserve.
REFUSED = -31_403
_REPLAYED = (
    "bywire: this very call was carried out before, in this run. That was its answer; nothing was done again. Retry"
    f" keys keep one call from having two effects: for a second effect, the client sends another `_meta` {KEY}."
)
_REDACTED = {"text", "secrets"}
_LITERAL = {"literal"}
# Requests whose results a client may keep; for how long says `ttlMs`.
CACHED = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
_KINDS = (("resources", "resources/"), ("prompts", "prompts/"), ("completions", "completion/"))


def server_info(upstream: str) -> dict[str, str]:
    """Who answers."""
    return {"name": f"bywire/{upstream}", "version": __version__}


def capabilities(contracts: Sequence[Contract]) -> dict[str, Any]:
    """What can be asked, as the contracts of an upstream that a principal sees have it."""
    own = [contract.name.partition(".")[2] for contract in contracts]
    found: dict[str, Any] = {"tools": {"listChanged": True}, "logging": {}}
    for name, prefix in _KINDS:
        if any(one.startswith(prefix) for one in own):
            found[name] = {} if name == "completions" else {"listChanged": True}
    if "resources/subscribe" in own:
        found.setdefault("resources", {})["subscribe"] = True
    return found


def completed(method: str, result: dict[str, Any], upstream: str, *, modern: bool) -> dict[str, Any]:
    """A result as its version wants it."""
    if not modern:
        return result
    meta = {rpc.META_SERVER: server_info(upstream), **result.get("_meta", {})}
    cached = {"ttlMs": 0, "cacheScope": "private"} if method in CACHED else {}
    return {**result, "resultType": "complete", **cached, "_meta": meta}


def tool_result(answered: Answered, contract: Contract | None, *, modern: bool) -> dict[str, Any]:
    """A CallToolResult: what the tool said, labelled, or the payload that says why it was not asked."""
    if answered.payload:
        return refused_result(answered.payload)
    said = plain(answered.outcome.result or {})
    if not isinstance(said.get("content"), list):
        # A dry run, or an answer that was too large to keep.
        said = {"content": [_text(said)], "structuredContent": said}
    if not modern and not isinstance(said.get("structuredContent", {}), dict):
        del said["structuredContent"]
    if answered.outcome.replayed:
        # Models are shown the content and nothing of `_meta`: without this, one order looks like two.
        said = {**said, "content": [*said["content"], {"type": "text", "text": _REPLAYED}]}
    return {**said, "_meta": labelled(said, answered, contract)}


def refused_result(said: dict[str, Any]) -> dict[str, Any]:
    """A CallToolResult that is an error: the payload, for programs and as text."""
    return {"content": [_text(said)], "structuredContent": said, "isError": True}


def request_result(answered: Answered, contract: Contract | None) -> dict[str, Any]:
    """The result of a request that is no tool; one that says nothing stays empty, as clients expect."""
    said = plain(answered.outcome.result or {})
    return {} if not said else {**said, "_meta": labelled(said, answered, contract)}


def labelled(said: dict[str, Any], answered: Answered, contract: Contract | None) -> dict[str, Any]:
    """`_meta`: what a reader must know of the result, which no upstream can say in its own name."""
    given = said.get("_meta")
    kept = {name: item for name, item in given.items() if not _is_ours(name)} if isinstance(given, dict) else {}
    outcome = answered.outcome
    label = outcome.label or (label_of(contract) if contract is not None else None)
    call = {
        "status": str(outcome.status),
        "decision_id": outcome.decision.id if outcome.decision is not None else "",
        "call_id": payload.call_id(outcome),
        "replayed": outcome.replayed,
    }
    return {**kept, CALL: call, **({LABEL: label} if label else {})}


def input_required(said: dict[str, Any], state: str, *, by_url: bool, upstream: str) -> dict[str, Any]:
    """A call that waits for a person, for a client that can show where."""
    url = said["approval"]["url"]
    message = f"{said['reason']}. A person decides at {url}"
    asked = (
        {"mode": "url", "message": message, "url": url, "elicitationId": said["approval"]["id"]}
        if by_url
        else {"mode": "form", "message": message, "requestedSchema": {"type": "object", "properties": {}}}
    )
    return {
        "resultType": "input_required",
        "inputRequests": {"approval": {"method": "elicitation/create", "params": asked}},
        "requestState": state,
        "_meta": {rpc.META_SERVER: server_info(upstream), "bywire/payload": said},
    }


def plain(value: Any) -> Any:
    """A redacted value in its own shape: what is secret is a mark in the text, as protocols need text to stay text."""
    if isinstance(value, dict):
        if value.keys() == _REDACTED and isinstance(value["text"], str):
            return value["text"]
        if value.keys() == _LITERAL and isinstance(value["literal"], dict):
            return {name: plain(item) for name, item in value["literal"].items()}
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _is_ours(name: Any) -> bool:
    return not isinstance(name, str) or name.startswith((OWN_PREFIX, "io.modelcontextprotocol/"))


def _text(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": msgspec.json.encode(value).decode()}
