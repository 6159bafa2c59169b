"""LangChain and LangGraph: agent middleware whose every tool call runs only under a permit (extra `langchain`).

A call that needs a person interrupts the graph with what will execute. LangGraph resumes by running the interrupted
step again from its start (langgraph#7780); here that repeats a question and never an effect, because every call has
one key, made of the thread, the tool call's id and its arguments.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, interrupt

from bywire_sdk.async_client import AsyncClient, face_of
from bywire_sdk.client import Client
from bywire_sdk.effects import Deed, NothingDone, abegin, afinish, begin, finish, recorded
from bywire_sdk.errors import ApprovalNeeded, Denied, GatewayError, Invalid, UpstreamFailed
from bywire_sdk.protocol import Answer, Ask
from bywire_sdk.values import key_of

ToolAnswer = ToolMessage | Command[Any]
# What a model may hear: nothing was done, and asking for the same again is answered the same.
_TOLD = (Denied, Invalid, UpstreamFailed)


class _FailedError(Exception):
    """The tool's own node said that it failed, and its message is the answer. What it did until then, nobody knows."""

    def __init__(self, message: ToolMessage) -> None:
        super().__init__(str(message.content))
        self.message = message


class _DidNothingError(_FailedError, NothingDone):
    """It did nothing: its arguments are none of the tool's, or its author says so."""


def _same(name: str) -> str:
    return name


class GovernedTools(AgentMiddleware[Any, Any, Any]):
    """`create_agent(..., middleware=[GovernedTools(client)])`, or `ToolNode(..., wrap_tool_call=it.wrap_tool_call)`.

    Last in the list: a middleware inside this one could change what was permitted. `tool_name` maps a tool's name here
    to its name at the gateway. `wait_seconds` waits for people that long before the
    graph is interrupted. Without a checkpointer nothing can be interrupted; ApprovalNeeded is then raised.

    The model hears a deny, wrong parameters and an earlier failure as an error message. Every other error ends the
    run: a model that was told of an unknown outcome would try again. A tool whose error is handled into a message is
    `unknown`, for it may have raised after its effect, unless `errors_did_nothing` says that none of them does.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        tool_name: Callable[[str], str] = _same,
        wait_seconds: float = 0,
        errors_did_nothing: bool = False,
    ) -> None:
        super().__init__()
        self._errors_did_nothing = errors_did_nothing
        self._client = client if isinstance(client, AsyncClient) else face_of(client)
        self._tool_name, self._wait_seconds = tool_name, wait_seconds

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolAnswer]) -> ToolAnswer:
        """Ask, run with the permitted arguments, report."""
        client, deed = self._client.blocking, self._deed(request)

        def perform(args: dict[str, Any]) -> Any:
            try:
                return self._checked(request, args, handler(_with(request, args)))
            except GraphBubbleUp as paused:
                raise _paused_inside(request) from paused

        for _ in range(client.limits.resumes_max):
            try:
                begun = begin(client, deed)
            except ApprovalNeeded as needed:
                _pause(request, needed)
                continue
            except _TOLD as refused:
                return _told(request, refused)
            if isinstance(begun, Answer):
                return _recorded(request, begun)
            try:
                answer: ToolAnswer = finish(client, deed, begun, perform)
            except _FailedError as failed:
                return failed.message
            return answer
        raise RuntimeError("resumed too often while people have not decided")

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolAnswer]]
    ) -> ToolAnswer:
        """As `wrap_tool_call`."""
        client, deed = self._client, self._deed(request)

        async def perform(args: dict[str, Any]) -> Any:
            try:
                return self._checked(request, args, await handler(_with(request, args)))
            except GraphBubbleUp as paused:
                raise _paused_inside(request) from paused

        for _ in range(client.blocking.limits.resumes_max):
            try:
                begun = await abegin(client, deed)
            except ApprovalNeeded as needed:
                _pause(request, needed)
                continue
            except _TOLD as refused:
                return _told(request, refused)
            if isinstance(begun, Answer):
                return _recorded(request, begun)
            try:
                answer: ToolAnswer = await afinish(client, deed, begun, perform)
            except _FailedError as failed:
                return failed.message
            return answer
        raise RuntimeError("resumed too often while people have not decided")

    def _checked(self, request: ToolCallRequest, args: dict[str, Any], answer: Any) -> Any:
        """Raises _FailedError for a tool that says it failed."""
        if isinstance(answer, ToolMessage) and answer.status == "error":
            nothing = self._errors_did_nothing or not _fit(request, args)
            raise (_DidNothingError if nothing else _FailedError)(answer)
        return answer

    def _ask(self, request: ToolCallRequest) -> Ask:
        call, client = request.tool_call, self._client.blocking
        tool = self._tool_name(call["name"])
        key = key_of(_thread(request) or client.run, tool, call["args"], call["id"] or "")
        return client.ask(tool, call["args"], key=key)

    def _deed(self, request: ToolCallRequest) -> Deed:
        return Deed(
            ask=self._ask(request),
            accept=lambda parameters: parameters,
            kept=_kept,
            wait_seconds=self._wait_seconds,
        )


def _with(request: ToolCallRequest, args: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": args})


def _thread(request: ToolCallRequest) -> str:
    """The thread that a checkpointer keeps; empty where nothing could be resumed."""
    config = getattr(request.runtime, "config", None) or {}
    return str(config.get("configurable", {}).get("thread_id", ""))


def _pause(request: ToolCallRequest, needed: ApprovalNeeded) -> None:
    """Interrupt the graph; returns when it was resumed. What it is resumed with decides nothing: the gateway does."""
    if not _thread(request):
        raise needed
    shown = {
        "tool": request.tool_call["name"],
        "parameters": request.tool_call["args"],
        "approval": {"id": needed.approval_id, "url": needed.approval_url},
        "reason": needed.reason,
        "rules": list(needed.rules),
    }
    interrupt({"bywire": shown})


def _fit(request: ToolCallRequest, args: dict[str, Any]) -> bool:
    """Whether the tool takes these arguments; also when that cannot be told."""
    shape = getattr(request.tool, "tool_call_schema", None)
    check = getattr(shape, "model_validate", None)
    try:
        if check is not None:
            check(args)
    except ValueError:  # pydantic's, in both of its versions
        return False
    return True


def _paused_inside(request: ToolCallRequest) -> TypeError:
    return TypeError(
        f"{request.tool_call['name']} interrupts the graph after it was permitted, and would begin again on resume; "
        "interrupt before the governed call"
    )


def _kept(answer: Any) -> Any:
    """What is recorded of a tool's message. A Command is not: what it would do to the state is not its to repeat."""
    if not isinstance(answer, ToolMessage):
        raise TypeError("only a message can be kept")
    return {"content": answer.content}


def _recorded(request: ToolCallRequest, answer: Answer) -> ToolMessage:
    """The message that was recorded of an earlier time. Raises ResultNotKept."""
    value, call = recorded(answer), request.tool_call
    content = value.get("content", "") if isinstance(value, dict) else ""
    return ToolMessage(content=content, name=call["name"], tool_call_id=call["id"] or "")


def _told(request: ToolCallRequest, refused: GatewayError) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(content=str(refused), name=call["name"], tool_call_id=call["id"] or "", status="error")
