"""MCP requests, whatever carries them: listed by one rule, called by another, and everything through the gateway.

What is listed are the approved definitions of what this principal could ever be allowed; what is called goes to the
door as it came. Resources, prompts and completion are reads of pseudo-tools that a contract lists, or do not exist.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_followed import Follower
from bywire.adapters.mcp_headers import Headers, disagreement, parameter_disagreement
from bywire.adapters.mcp_message import HANDSHAKE, MODERN, VERSIONS, Message
from bywire.adapters.mcp_relay import LEVELS, RELAY, Relay
from bywire.adapters.mcp_upstream import REQUESTS, SUBSCRIPTIONS, McpExecutor
from bywire.api import mcp_answers as answers
from bywire.api.declared import UndeclarableError, from_meta, text_of
from bywire.api.mcp_keys import derived_key, key_of_state, sign_state
from bywire.gateway.contract import Contract, ContractError
from bywire.gateway.redaction import Redactor
from bywire.model.ask import Answered, Ask
from bywire.model.errors import BywireError, EvidenceError
from bywire.wiring import payload
from bywire.wiring.call_pool import OWN, BusyError
from bywire.wiring.gateway import Gateway, lane_of_upstream, refused_busy

# How long a client that came back waits for the person, and how often it is looked.
APPROVAL_SECONDS, LOOK_SECONDS, LOOK_SECONDS_MAX = 20.0, 0.5, 4.0
NAME_CHARS_MAX = 95
_TRACES = ("traceparent", "tracestate")


class UnauthenticatedError(Exception):
    """Nobody vouches for the caller; carries the payload."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said["code"])
        self.said = said


class FaultError(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Caller(msgspec.Struct, frozen=True):
    """Who asks over one request: a token, what its client can do, and the headers that the body must agree with.

    `log_level` is the least that it hears; `headers` is None where the transport has none; `session` is the session or
    stream with whose end what it follows ends.
    """

    token: str
    upstream: str
    version: str
    capabilities: Mapping[str, Any] = {}
    log_level: str = ""
    trace: str = ""
    headers: Headers | None = None
    session: str = ""

    @property
    def is_modern(self) -> bool:
        """Whether it speaks the newest version."""
        return self.version == MODERN


class McpServer:
    """The MCP side of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.redactor = Redactor(gateway.workspace.workspace_key, gateway.settings.inspection)

    def executor(self, upstream: str) -> McpExecutor | None:
        """The MCP server behind an upstream's name."""
        found = self.gateway.joined.executors.get(f"upstream:{upstream}")
        return found if isinstance(found, McpExecutor) else None

    async def answer(self, caller: Caller, message: Message, relay: Relay) -> dict[str, Any]:
        """The response to a request. Raises UnauthenticatedError; everything else is in the response."""
        if isinstance(message.id, msgspec.UnsetType) or message.id is None:
            raise TypeError("only a request is answered")
        method = str(message.method)
        try:
            result = await self._result(caller, method, message, relay)
        except FaultError as fault:
            return rpc.failure(message.id, fault.code, fault.message, fault.data)
        except BusyError:
            return rpc.failure(message.id, answers.REFUSED, "the gateway is busy", payload.busy())
        except BywireError as error:
            said = payload.of_error(error)
            if said["code"] == payload.UNAUTHENTICATED:
                raise UnauthenticatedError(said) from error
            return rpc.failure(message.id, answers.REFUSED, error.message, said)
        return rpc.result(message.id, result)

    def relay(self, caller: Caller, message: Message, hear: Callable[[str, dict[str, Any]], None]) -> Relay:
        """The way back for notifications about a request. What an upstream says in them is redacted as answers are."""
        token = message.meta.get("progressToken")
        token = token if isinstance(token, int | str) and not isinstance(token, bool) else None
        meta = {name: str(message.meta[name])[:512] for name in _TRACES if isinstance(message.meta.get(name), str)}

        def redacted(method: str, params: dict[str, Any]) -> None:
            said = answers.plain(self.redactor.canonical({name: params[name] for name in params if name != "_meta"}))
            hear(method, {**said, "progressToken": token} if method == "notifications/progress" else said)

        return Relay(redacted, progress_token=token, log_level=caller.log_level, meta=meta)

    async def _result(self, caller: Caller, method: str, message: Message, relay: Relay) -> dict[str, Any]:
        modern = caller.is_modern
        if method == "tools/call":
            return await self._call(caller, message, relay)
        if method == "tools/list":
            listed = await self.gateway.run(lambda: self._offered(caller), lane_of_upstream(caller.upstream))
            return answers.completed(method, {"tools": listed}, caller.upstream, modern=modern)
        if method == "server/discover" and modern:
            return await self.gateway.run(lambda: self._discovered(caller), OWN)
        if method == "initialize" and not modern:
            return await self.gateway.run(lambda: self._greeted(caller, message), OWN)
        if method == "ping" and not modern:
            self.gateway.session(caller.token)
            return {}
        if method in REQUESTS and not (modern and method == "logging/setLevel"):
            return await self._request(caller, method, message, relay)
        raise FaultError(rpc.METHOD_NOT_FOUND, f"there is no {method[:64]} here")

    def _offered(self, caller: Caller) -> list[dict[str, Any]]:
        """The approved definitions of what this principal sees and nothing quarantined, by name."""
        executor = self.executor(caller.upstream)
        visible = self.gateway.visible(caller.token, caller.upstream)
        if executor is None:
            return []
        shown = (executor.offered(contract) for contract in visible)
        return sorted((one for one in shown if one is not None), key=lambda one: str(one["name"]))

    def _discovered(self, caller: Caller) -> dict[str, Any]:
        seen = self.gateway.visible(caller.token, caller.upstream)
        found = {"supportedVersions": list(VERSIONS), "capabilities": answers.capabilities(seen)}
        return answers.completed("server/discover", found, caller.upstream, modern=True)

    def _greeted(self, caller: Caller, message: Message) -> dict[str, Any]:
        asked = message.arguments.get("protocolVersion")
        if not isinstance(asked, str):
            raise FaultError(rpc.INVALID_PARAMS, "initialize needs protocolVersion")
        seen = self.gateway.visible(caller.token, caller.upstream)
        return {
            "protocolVersion": asked if asked in HANDSHAKE else HANDSHAKE[0],
            "capabilities": answers.capabilities(seen),
            "serverInfo": answers.server_info(caller.upstream),
        }

    async def _call(self, caller: Caller, message: Message, relay: Relay) -> dict[str, Any]:
        name, arguments = message.arguments.get("name"), message.arguments.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or not isinstance(arguments, dict):
            raise FaultError(rpc.INVALID_PARAMS, "tools/call needs a name, and arguments that are an object")
        if name in REQUESTS:
            raise FaultError(rpc.INVALID_PARAMS, f"{name} is no tool")
        tool = f"{caller.upstream}.{name}"
        contract = self.gateway.catalogue.find(tool)
        if contract is not None and caller.headers is not None and caller.is_modern:
            wrong = parameter_disagreement(contract.schema, arguments, caller.headers)
            if wrong:
                raise FaultError(rpc.HEADER_MISMATCH, wrong)
        ask = self._ask(caller, message, tool, arguments)
        returns = caller.is_modern and message.arguments.get("requestState") is not None
        keyed = None
        if contract is None or not contract.read:
            keyed = functools.partial(self._keyed, caller, message, ask, contract)
        ask, answered = await self._asked(caller, ask, relay, keyed)
        if returns and answered.code == payload.APPROVAL_NEEDED and not _declined(message):
            answered = await self._after_approval(caller, ask, relay, answered)
        by = _elicitation(caller)
        if answered.code == payload.APPROVAL_NEEDED and answered.payload["approval"] and by and not _declined(message):
            state = sign_state(ask.key, self._principal(caller), tool, self.gateway.workspace.workspace_key)
            said = {**answered.payload, "retry": {**(answered.payload["retry"] or {}), "key": ask.key}}
            return answers.input_required(said, state, by_url=by == "url", upstream=caller.upstream)
        result = answers.tool_result(answered, contract, modern=caller.is_modern)
        return answers.completed("tools/call", result, caller.upstream, modern=caller.is_modern)

    async def _after_approval(self, caller: Caller, ask: Ask, relay: Relay, answered: Answered) -> Answered:
        """The same call again and again while its client waits, until a person has decided."""
        wait, left = LOOK_SECONDS, APPROVAL_SECONDS
        while answered.code == payload.APPROVAL_NEEDED and left > 0 and not relay.is_cancelled:
            await asyncio.sleep(wait)
            left, wait = left - wait, min(2 * wait, LOOK_SECONDS_MAX)
            _, answered = await self._asked(caller, ask, relay)
        return answered

    async def _request(self, caller: Caller, method: str, message: Message, relay: Relay) -> dict[str, Any]:
        tool = f"{caller.upstream}.{method}"
        contract = self.gateway.catalogue.find(tool)
        if contract is None and method == "logging/setLevel":
            self.gateway.session(caller.token)
            return _level_of(message)
        if contract is None or not contract.read:
            raise FaultError(rpc.METHOD_NOT_FOUND, f"no contract lists {tool}: it is not relayed")
        params = {name: item for name, item in message.arguments.items() if name != "_meta"}
        if method in SUBSCRIPTIONS:
            relay.follower = Follower(self.gateway.principal(caller.token).id, caller.session)
        _, answered = await self._asked(caller, self._ask(caller, message, tool, params), relay)
        if answered.payload:
            refusal = relay.refusal
            if refusal is not None and answered.code == payload.UPSTREAM_FAILED:
                raise FaultError(refusal.code, self.redactor.display(refusal.message), answered.payload)
            raise FaultError(answers.REFUSED, str(answered.payload["reason"]), answered.payload)
        result = answers.request_result(answered, contract)
        return answers.completed(method, result, caller.upstream, modern=caller.is_modern)

    async def _asked(
        self, caller: Caller, ask: Ask, relay: Relay, keyed: Callable[[], Ask] | None = None
    ) -> tuple[Ask, Answered]:
        """The answer, with what was asked: what `keyed` gives, in the pool, where no other client waits for it."""

        def work() -> tuple[Ask, Answered]:
            asked = ask if keyed is None else keyed()
            held = RELAY.set(relay)
            try:
                return asked, self.gateway.call(caller.token, asked)
            finally:
                RELAY.reset(held)

        try:
            ask, answered = await self.gateway.run(work, self.gateway.lane_of(ask.tool))
        except BusyError:
            answered = refused_busy(ask)
        if answered.code == payload.UNAUTHENTICATED:
            raise UnauthenticatedError(answered.payload)
        return ask, answered

    def _ask(self, caller: Caller, message: Message, tool: str, arguments: dict[str, Any]) -> Ask:
        meta = message.meta
        try:
            said, key, trace = from_meta(meta), text_of(meta, answers.KEY), text_of(meta, "traceparent")
        except UndeclarableError as error:
            raise FaultError(rpc.INVALID_PARAMS, str(error)) from error
        return Ask(
            tool=tool,
            parameters=arguments,
            key=key,
            change=said.change,
            plan=said.plan,
            evidence=said.evidence,
            dry_run=said.dry_run,
            surface="mcp",
            trace=trace or caller.trace,
            tokens=said.tokens,
        )

    def _keyed(self, caller: Caller, message: Message, ask: Ask, contract: Contract | None) -> Ask:
        """A write with its key: from the state it comes back with, its own, its contract's, or a derived one."""
        state = message.arguments.get("requestState") if caller.is_modern else None
        if state is not None:
            principal, workspace_key = self._principal(caller), self.gateway.workspace.workspace_key
            key = key_of_state(state, principal, ask.tool, workspace_key) if isinstance(state, str) else None
            if key is None:
                raise FaultError(rpc.INVALID_PARAMS, "requestState is none that was given for this call")
            return msgspec.structs.replace(ask, key=key)
        if ask.key or (contract is not None and contract.key_template):
            return ask
        session = self.gateway.session(caller.token)
        with contextlib.suppress(EvidenceError, ContractError):  # the door says what is wrong with the arguments
            return msgspec.structs.replace(ask, key=derived_key(session, ask.tool, ask.parameters, self.redactor))
        return ask

    def _principal(self, caller: Caller) -> str:
        return self.gateway.session(caller.token).principal.id


def _elicitation(caller: Caller) -> str:
    """How a person can be shown where to decide: by `url`, in a `form`, or not at all."""
    can = caller.capabilities.get("elicitation") if caller.is_modern else None
    if not isinstance(can, dict):
        return ""
    return "url" if "url" in can else "form"


def _declined(message: Message) -> bool:
    """Whether the person at the client would not look."""
    given = message.arguments.get("inputResponses")
    approval = given.get("approval") if isinstance(given, dict) else None
    return isinstance(approval, dict) and approval.get("action") in {"decline", "cancel"}


def _level_of(message: Message) -> dict[str, Any]:
    if message.arguments.get("level") not in LEVELS:
        raise FaultError(rpc.INVALID_PARAMS, f"level is one of {', '.join(LEVELS)}")
    return {}


def modern_fault(message: Message, headers: Headers | None) -> FaultError | None:
    """What is wrong with the envelope of a request of the newest version, in the order in which it is told."""
    meta: dict[str, Any] = message.meta
    missing: Sequence[str] = [name for name in (rpc.META_VERSION, rpc.META_CAPABILITIES) if name not in meta]
    if missing or not isinstance(meta[rpc.META_VERSION], str) or not isinstance(meta[rpc.META_CAPABILITIES], dict):
        return FaultError(rpc.INVALID_PARAMS, f"params._meta needs {rpc.META_VERSION} and {rpc.META_CAPABILITIES}")
    wrong = "" if headers is None else disagreement(message, headers)
    if wrong:
        return FaultError(rpc.HEADER_MISMATCH, wrong)
    if meta[rpc.META_VERSION] != MODERN:
        data = {"supported": list(VERSIONS), "requested": meta[rpc.META_VERSION][:64]}
        return FaultError(rpc.UNSUPPORTED_VERSION, "this version of MCP is not spoken here", data)
    return None
