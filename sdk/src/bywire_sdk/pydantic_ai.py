"""pydantic-ai: a toolset whose every call runs only under a permit (extra `pydantic-ai`).

A call that needs a person becomes pydantic-ai's own deferred approval, `ApprovalRequired`: a run ends with
`DeferredToolRequests` and resumes with `DeferredToolResults`. The metadata holds the parameters that will execute,
after validation and hooks (pydantic-ai#6968). Saying yes in pydantic-ai alone permits nothing: the gateway decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.messages import ToolReturn
from pydantic_ai.tools import AgentDepsT
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import to_json, to_jsonable_python

from bywire_sdk.async_client import AsyncClient, face_of
from bywire_sdk.client import Client
from bywire_sdk.effects import Deed, abegin, afinish, recorded
from bywire_sdk.errors import ApprovalNeeded, Denied, Invalid, UpstreamFailed
from bywire_sdk.protocol import Answer, Ask
from bywire_sdk.values import as_json, key_of

# After these the tool itself says that it stopped before it did what it was asked.
_NOTHING_DONE = (ModelRetry, ToolFailed)


def _same(name: str) -> str:
    return name


@dataclass
class GovernedToolset(WrapperToolset[AgentDepsT]):
    """`wrapped`, governed by the gateway that `client` asks.

    `tool_name` maps a tool's name here to its name at the gateway, such as `lambda name: f"ops.{name}"`. `wait_seconds`
    waits for people that long before a call is deferred. A call happens once in a conversation: its key is made of the
    conversation, the tool call's id and the parameters, so that a run that resumes or is replayed repeats no effect.

    The model hears a deny or an earlier failure (`ToolFailed`) and wrong parameters (`ModelRetry`). Every other error
    ends the run: a model that was told of an unknown outcome would try again.
    """

    client: Client | AsyncClient = field(kw_only=True)
    tool_name: Callable[[str], str] = field(default=_same, kw_only=True)
    wait_seconds: float = field(default=0, kw_only=True)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[AgentDepsT], tool: ToolsetTool[AgentDepsT]
    ) -> Any:
        """Ask, run with the permitted parameters, report."""
        client = self.client if isinstance(self.client, AsyncClient) else face_of(self.client)
        ask = self._ask(client.blocking, name, tool_args, ctx)
        deed = Deed(
            ask=ask,
            accept=partial(_validated, tool, ctx),
            kept=_kept,
            wait_seconds=self.wait_seconds,
            nothing_done=_NOTHING_DONE,
        )
        try:
            begun = await abegin(client, deed)
        except ApprovalNeeded as needed:
            raise ApprovalRequired(metadata={"bywire": _for_approver(needed, ask)}) from needed
        except (Denied, UpstreamFailed) as refused:
            raise ToolFailed(str(refused)) from refused
        except Invalid as invalid:
            raise ModelRetry(str(invalid)) from invalid
        if isinstance(begun, Answer):
            return recorded(begun)
        return await afinish(client, deed, begun, lambda args: self._perform(name, args, ctx, tool))

    def _ask(self, client: Client, name: str, tool_args: dict[str, Any], ctx: RunContext[AgentDepsT]) -> Ask:
        parameters = to_jsonable_python(tool_args)
        tool = self.tool_name(name)
        run = ctx.conversation_id or ctx.run_id or client.run
        # Without an id a call could not be told from the next one like it, so it is one with it.
        return client.ask(tool, parameters, key=key_of(run, tool, parameters, ctx.tool_call_id or ""))

    async def _perform(
        self, name: str, args: dict[str, Any], ctx: RunContext[AgentDepsT], tool: ToolsetTool[AgentDepsT]
    ) -> Any:
        try:
            return await self.wrapped.call_tool(name, args, ctx, tool)
        except (ApprovalRequired, CallDeferred) as deferred:
            raise TypeError(
                f"{name} defers itself after it was permitted; declare it with requires_approval=True instead"
            ) from deferred


def governed_toolset(
    toolset: AbstractToolset[AgentDepsT],
    client: Client | AsyncClient,
    *,
    tool_name: Callable[[str], str] = _same,
    wait_seconds: float = 0,
) -> GovernedToolset[AgentDepsT]:
    """`toolset`, governed."""
    return GovernedToolset(toolset, client=client, tool_name=tool_name, wait_seconds=wait_seconds)


def _validated(tool: ToolsetTool[Any], ctx: RunContext[Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The tool's own types of exactly what was permitted; whatever happened to the arguments meanwhile is gone."""
    args: dict[str, Any] = tool.args_validator.validate_json(to_json(parameters), context=ctx.validation_context)
    return args


def _kept(value: Any) -> Any:
    """What is recorded of a tool's value: what the model is told of it."""
    return to_jsonable_python(value.return_value if isinstance(value, ToolReturn) else value)


def _for_approver(needed: ApprovalNeeded, ask: Ask) -> dict[str, Any]:
    """What a person is shown: the parameters that will execute, and where to decide."""
    return {
        "tool": ask.tool,
        "parameters": as_json(ask.parameters),
        "approval": {"id": needed.approval_id, "url": needed.approval_url},
        "key": ask.key,
        "reason": needed.reason,
        "rules": list(needed.rules),
    }
