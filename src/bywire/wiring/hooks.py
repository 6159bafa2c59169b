"""Hooks of coding agents: what a host is about to do, asked of the gateway; how it went, reported.

Advice with teeth: the host carries the tool out, so a write is permitted durably before the host hears of it, and what
the policy would change is refused, since no host is trusted to change it. An outcome that nobody reports stays unknown.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from bywire import __version__
from bywire.adapters.key_files import draw_id
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.config.hook_answers import ALLOW, DENY, Verdict
from bywire.config.hook_input import AFTER, HookCall
from bywire.config.hook_places import touches_hooks
from bywire.config.packs import HOSTS
from bywire.model.ask import Ask
from bywire.model.errors import BywireError, ConfigError, TargetError
from bywire.wiring import payload

SURFACE = "hook"
TIMEOUT_SECONDS = 30.0
# A long list of what is allowed would push out what to do next.
REASON_CHARS_MAX = 1_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
REPORTED = {AFTER: "committed"}
UNPERMITTED = "intent_unknown"


class Told(msgspec.Struct, frozen=True):
    """What a gateway said: the payload (empty when it is permitted), and the parameters it permitted."""

    payload: Mapping[str, Any]
    parameters: Mapping[str, Any] = {}
    intent: str = ""


class Way(Protocol):
    """How a hook reaches a gateway: in this process, or over HTTP."""

    def permit(self, ask: Ask) -> Told:
        """Ask for a permit."""
        ...

    def report(self, intent: str, status: str) -> None:
        """Say how it ended. Raises BywireError when nobody wants to know."""
        ...

    def knows(self, upstream: str, tool: str) -> bool:
        """Whether the agent may ever be allowed this tool."""
        ...

    def server(self, reached: str) -> str:
        """The upstream that a host reaches so, by URL or command; empty when none is."""
        ...

    def may_read(self, tool: str) -> bool:
        """Whether a tool only reads, which leaves nothing open to report, or may do so for all that is known here."""
        ...


class There:
    """A gateway that serves at a URL, with a token of the agent's own."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._client = PinnedHttp(
            parse_origin(f"{parts.scheme}://{parts.netloc}", private=parts.hostname in LOOPBACK),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        self._front = parts.path.rstrip("/")
        self._token = token

    def permit(self, ask: Ask) -> Told:
        """`/v1/permit`; other parameters than those asked for are none that the host would send."""
        body = self._send("POST", "/v1/permit", {"tool": ask.tool, "parameters": ask.parameters, "key": ask.key})
        if "error" in body:
            return Told(body["error"] if isinstance(body["error"], dict) else {"code": payload.ENGINE_ERROR})
        if body.get("status") != "permitted":
            return Told({"code": payload.ENGINE_ERROR, "reason": "the gateway's answer is no permit"})
        return Told({}, body.get("parameters") or {}, str(body.get("intent", "")))

    def report(self, intent: str, status: str) -> None:
        """`/v1/report`."""
        body = self._send("POST", "/v1/report", {"intent": intent, "status": status, "result": {"surface": SURFACE}})
        if "error" in body:
            raise refused_by(body["error"])

    def knows(self, upstream: str, tool: str) -> bool:
        """`/v1/tools`."""
        body = self._send("GET", f"/v1/tools?upstream={quote(upstream)}", None)
        tools = body.get("tools")
        names = [one.get("name") for one in tools if isinstance(one, dict)] if isinstance(tools, list) else []
        return f"{upstream}.{tool}" in names

    def server(self, reached: str) -> str:
        """A gateway tells nobody how its upstreams are reached."""
        return ""

    def may_read(self, tool: str) -> bool:
        """A gateway does not tell what its tools do."""
        return True

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {
            "authorization": f"Bearer {self._token}",
            "user-agent": f"bywire-hook/{__version__}",
            "accept": "application/json",
        }
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers["content-type"] = "application/json"
        try:
            found = self._client.send(method, self._front + path, headers, data)
            decoded = msgspec.json.decode(found.body)
        except (OSError, msgspec.MsgspecError) as error:
            raise TargetError(
                f"the gateway gave no answer that can be read: {error}",
                code="gateway_unanswered",
                next_step="check that `bywire serve` runs at --url",
            ) from error
        return decoded if isinstance(decoded, dict) else {"error": {"code": payload.ENGINE_ERROR}}


class Hook:
    """One host's hook, for one agent. `through`: MCP servers of the host that lead through the gateway already."""

    def __init__(self, host: str, principal: str, way: Way, through: Iterable[str] = ()) -> None:
        self._host = host
        self._principal = principal
        self._way = way
        self._through = frozenset(through)

    def before(self, call: HookCall) -> Verdict:
        """Whether the host may go on."""
        if call.elsewhere or self._is_mediated(call):
            return Verdict(ALLOW)
        tool = self._tool(call)
        if not tool:
            return Verdict(DENY, "no contract is this server's tool. Next: bywire connect NAME, for the server")
        if touches_hooks(call.tool, call.parameters, call.cwd):
            return Verdict(DENY, "this would change what hooks the host runs, which is for its person to do")
        key = call.key(self._host) or f"hook-{draw_id()}"
        asked = Ask(tool=tool, parameters=call.parameters, key=key, surface=SURFACE)
        told = self._way.permit(asked)
        if not told.payload and dict(told.parameters) != call.parameters:
            self._settle(told.intent, "failed")
            return Verdict(DENY, "the policy allows this with other parameters only")
        return _verdict(told.payload)

    def after(self, call: HookCall) -> None:
        """Report how it went; what has no name is nobody's to report.

        Raises BywireError for what was not permitted: also where the host ran other parameters than those permitted.
        """
        key, tool = call.key(self._host), "" if call.elsewhere or self._is_mediated(call) else self._tool(call)
        if not key or not tool:
            return
        try:
            self._settle(f"{self._principal}|{tool}|{key}", REPORTED.get(call.event, "failed"))
        except BywireError as error:
            if error.code != UNPERMITTED or not self._way.may_read(tool):
                raise

    def _settle(self, intent: str, status: str) -> None:
        if intent:
            self._way.report(intent, status)

    def _is_mediated(self, call: HookCall) -> bool:
        """Only when every server that the name can mean, whatever the host's settings hold, leads there."""
        return bool(call.candidates) and all(server in self._through for server in call.servers)

    def _tool(self, call: HookCall) -> str:
        """The full name of the tool; empty when no contract is it, or more than one could be."""
        if call.tool:
            return f"{self._host}.{call.tool}"
        if call.mcp_tool:
            server = self._way.server(call.server)
            return f"{server}.{call.mcp_tool}" if server else ""
        # A server may be named like a host, and is never taken for it.
        named = [one for one in call.candidates if one[0] not in HOSTS]
        found = named if len(named) == 1 else [one for one in named if self._way.knows(*one)]
        return ".".join(found[0]) if len(found) == 1 else ""


def _verdict(said: Mapping[str, Any]) -> Verdict:
    if not said:
        return Verdict(ALLOW)
    words = [f"{str(said.get('reason') or said.get('code') or 'refused')[:REASON_CHARS_MAX].rstrip('.')}."]
    approval = said.get("approval")
    if said.get("code") == payload.APPROVAL_NEEDED:
        where = f" ({approval['url']})" if isinstance(approval, dict) and approval.get("url") else ""
        words.append(f"It waits for a person{where}; ask again once it is approved.")
    elif said.get("next_step"):
        words.append(f"Next: {said['next_step']}")
    return Verdict(DENY, " ".join(words))


def refused_by(said: Any) -> BywireError:
    """A payload as an error."""
    known = said if isinstance(said, dict) else {}
    rules = known.get("rules")
    why = rules[0].get("rule") if isinstance(rules, list) and rules and isinstance(rules[0], dict) else None
    return ConfigError(
        str(known.get("reason", "the gateway refused")),
        code=str(why or known.get("code", "refused")),
        next_step=str(known.get("next_step", "")),
    )
