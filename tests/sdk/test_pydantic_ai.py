"""A pydantic-ai agent, unchanged, whose tools run only under permits."""

import asyncio
import datetime as dt

import pytest
from bywire_sdk import AsyncClient, EngineError, OutcomeUnknown, Unreachable
from bywire_sdk.pydantic_ai import GovernedToolset, governed_toolset
from bywire_sdk.testing.gateway import TOKEN
from bywire_sdk.testing.plugin import QUICK
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ModelRetry, RunContext
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse, TextPart, ToolCallPart, ToolReturn
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import ToolApproved
from pydantic_ai.toolsets import FunctionToolset


class Target(BaseModel):
    host: str
    since: dt.date


@pytest.fixture
def ran():
    return []


@pytest.fixture
def tools(ran):
    toolset = FunctionToolset()

    @toolset.tool_plain
    def deploy(image: str, replicas: int = 2) -> str:
        """Deploy an image."""
        ran.append((image, replicas))
        return f"deployed {image}"

    @toolset.tool
    async def inspect(ctx: RunContext[None], target: Target) -> dict:
        ran.append(target)
        return {"host": target.host}

    return toolset


def calls(*parts):
    """A model that makes these calls at once, and says what it was told."""

    def model(messages, info):
        if any(part.part_kind == "tool-return" for part in messages[-1].parts):
            told = [str(part.content) for part in messages[-1].parts if part.part_kind == "tool-return"]
            return ModelResponse(parts=[TextPart("; ".join(told))])
        if any(part.part_kind == "retry-prompt" for part in messages[-1].parts):
            return ModelResponse(parts=[TextPart(str(messages[-1].parts[0].content))])
        return ModelResponse(parts=[ToolCallPart(name, args, f"call-{n}") for n, (name, args) in enumerate(parts)])

    return FunctionModel(model)


def agent_of(model, toolset, client, **more):
    governed = GovernedToolset(toolset, client=client, tool_name=lambda name: f"ops.{name}", **more)
    return Agent(model, toolsets=[governed], output_type=[str, DeferredToolRequests])


def test_a_test_model_calls_every_tool_through_the_gateway(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("ops.deploy")
    bywire_gateway.allow("ops.inspect")
    agent = agent_of(TestModel(), tools, bywire_client)
    result = agent.run_sync("go")
    assert "deployed a" in result.output
    assert {type(one) for one in ran} == {tuple, Target}, "a tool gets its own types"
    paths = [heard.path for heard in bywire_gateway.heard]
    assert sorted(paths) == ["/v1/permit", "/v1/permit", "/v1/report", "/v1/report"]
    assert bywire_gateway.outcomes() == ["committed", "committed"]


def test_a_second_run_is_not_a_repeated_one(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("ops.deploy")
    agent = agent_of(calls(("deploy", {"image": "app"})), tools, bywire_client)
    assert [agent.run_sync("go").output for _ in range(2)] == ["deployed app"] * 2
    assert len(ran) == 2


def test_a_deny_is_told_to_the_model(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("ops.deploy")
    bywire_gateway.deny(
        "ops.deploy", rule="max_replicas", reason="at most 50", when=lambda asked: asked["replicas"] > 50
    )
    agent = agent_of(calls(("deploy", {"image": "app", "replicas": 200})), tools, bywire_client)
    assert "at most 50 (policy_denied)" in agent.run_sync("go").output
    assert ran == []


@pytest.mark.parametrize(
    ("code", "raised"), [("engine_error", EngineError), ("outcome_unknown", OutcomeUnknown)], ids=str
)
def test_what_the_model_must_not_try_again_ends_the_run(tools, bywire_gateway, bywire_client, ran, code, raised):
    bywire_gateway.breaks("ops.deploy", code)
    agent = agent_of(calls(("deploy", {"image": "app"})), tools, bywire_client)
    with pytest.raises(raised):
        agent.run_sync("go")
    assert ran == []


def test_no_gateway_no_effect(tools, ran):
    client = AsyncClient("http://127.0.0.1:9", token=TOKEN, limits=QUICK)
    with pytest.raises(Unreachable):
        agent_of(calls(("deploy", {"image": "app"})), tools, client).run_sync("go")
    assert ran == []


def test_masked_arguments_are_what_the_tool_gets(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.mask("ops.inspect", "target", {"host": "[masked]", "since": "2026-01-02"})
    agent = agent_of(
        calls(("inspect", {"target": {"host": "db.internal", "since": "2026-01-01"}})), tools, bywire_client
    )
    agent.run_sync("go")
    assert ran == [Target(host="[masked]", since=dt.date(2026, 1, 2))]


def test_masked_arguments_that_the_tool_does_not_take_run_nothing(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.mask("ops.inspect", "target", "[masked]")
    agent = agent_of(calls(("inspect", {"target": {"host": "a", "since": "2026-01-01"}})), tools, bywire_client)
    assert "should be an object" in agent.run_sync("go").output
    assert ran == []
    assert bywire_gateway.outcomes() == ["failed"]


def deferred(agent):
    """A run that stopped for a person, kept as text as between two processes: (history, requests)."""
    result = agent.run_sync("go")
    assert isinstance(result.output, DeferredToolRequests)
    return ModelMessagesTypeAdapter.validate_json(result.all_messages_json()), result.output


def test_an_approval_defers_the_run_and_resumes_it(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of(calls(("deploy", {"image": "app"})), tools, bywire_client)
    history, requests = deferred(agent)
    (call,) = requests.approvals
    shown = requests.metadata[call.tool_call_id]["bywire"]
    assert shown["parameters"] == {"image": "app", "replicas": 2}, "what will execute, defaults included"
    assert shown["approval"]["id"] == bywire_gateway.waiting[0].id
    assert shown["approval"]["url"].startswith(bywire_gateway.url)

    yes = DeferredToolResults(approvals={call.tool_call_id: True})
    still = agent.run_sync(message_history=history, deferred_tool_results=yes)
    assert isinstance(still.output, DeferredToolRequests), "saying yes here permits nothing"
    assert ran == []

    bywire_gateway.approve()
    for _ in range(2):
        done = agent.run_sync(message_history=history, deferred_tool_results=yes)
        assert done.output == "deployed app"
    assert ran == [("app", 2)], "a resume that is played again repeats nothing"


def test_an_approver_sees_what_a_rewrite_made_of_the_arguments(bywire_gateway, bywire_client, ran):
    """pydantic-ai#6968: validation changes the arguments after the model chose them."""
    toolset = FunctionToolset()

    class Amount(BaseModel):
        amount: int

        def model_post_init(self, _):
            self.amount = min(self.amount, 50)

    @toolset.tool_plain
    def pay(payment: Amount) -> int:
        ran.append(payment.amount)
        return payment.amount

    bywire_gateway.ask_person("ops.pay")
    agent = agent_of(calls(("pay", {"payment": {"amount": 100}})), toolset, bywire_client)
    history, requests = deferred(agent)
    (call,) = requests.approvals
    assert requests.metadata[call.tool_call_id]["bywire"]["parameters"] == {"payment": {"amount": 50}}
    assert bywire_gateway.waiting[0].parameters == {"payment": {"amount": 50}}
    bywire_gateway.approve()
    agent.run_sync(message_history=history, deferred_tool_results=requests.build_results(approve_all=True))
    assert ran == [50]


def test_arguments_overridden_after_the_approval_need_another(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of(calls(("deploy", {"image": "app"})), tools, bywire_client)
    history, requests = deferred(agent)
    bywire_gateway.approve()
    other = ToolApproved(override_args={"image": "evil"})
    results = DeferredToolResults(approvals={requests.approvals[0].tool_call_id: other})
    again = agent.run_sync(message_history=history, deferred_tool_results=results)
    assert isinstance(again.output, DeferredToolRequests)
    assert ran == []


def test_a_refused_approval_is_told_to_the_model(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of(calls(("deploy", {"image": "app"})), tools, bywire_client)
    history, requests = deferred(agent)
    bywire_gateway.refuse()
    results = requests.build_results(approve_all=True)
    assert "refused" in agent.run_sync(message_history=history, deferred_tool_results=results).output
    assert ran == []


def test_a_sibling_of_what_waits_happens_once(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("ops.deploy", when=lambda asked: asked["image"] == "b")
    bywire_gateway.allow("ops.deploy")
    agent = agent_of(calls(("deploy", {"image": "a"}), ("deploy", {"image": "b"})), tools, bywire_client)
    history, requests = deferred(agent)
    assert ran == [("a", 2)]
    bywire_gateway.approve()
    agent.run_sync(message_history=history, deferred_tool_results=requests.build_results(approve_all=True))
    assert ran == [("a", 2), ("b", 2)]


@pytest.mark.parametrize(
    ("raised", "status"), [(ModelRetry("another one"), "failed"), (ValueError("boom"), "unknown")], ids=str
)
def test_a_tool_that_raises(bywire_gateway, bywire_client, raised, status):
    toolset = FunctionToolset()

    @toolset.tool_plain
    def deploy() -> str:
        raise raised

    bywire_gateway.allow("ops.deploy")
    agent = agent_of(TestModel(), toolset, bywire_client)
    with pytest.raises(Exception, match=r"boom|retries"):
        agent.run_sync("go")
    assert set(bywire_gateway.outcomes()) == {status}


def test_a_tool_that_defers_itself_after_its_permit_is_unknown(bywire_gateway, bywire_client):
    toolset = FunctionToolset()

    @toolset.tool_plain
    def deploy() -> str:
        raise ApprovalRequired

    bywire_gateway.allow("ops.deploy")
    with pytest.raises(TypeError, match="defers itself"):
        agent_of(TestModel(), toolset, bywire_client).run_sync("go")
    assert bywire_gateway.outcomes() == ["unknown"]


def test_a_tool_return_is_kept_as_what_the_model_was_told(bywire_gateway, bywire_client, ran):
    toolset = FunctionToolset()

    @toolset.tool_plain
    def deploy() -> ToolReturn:
        ran.append(1)
        return ToolReturn(return_value="done", metadata={"secret": object()})

    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of(calls(("deploy", {})), toolset, bywire_client)
    history, requests = deferred(agent)
    bywire_gateway.approve()
    results = requests.build_results(approve_all=True)
    said = [agent.run_sync(message_history=history, deferred_tool_results=results).output for _ in range(2)]
    assert said == ["done", "done"]
    assert ran == [1]


def test_a_run_that_is_cancelled_reports_unknown(bywire_gateway, bywire_client):
    toolset, began = FunctionToolset(), asyncio.Event()

    @toolset.tool_plain
    async def deploy() -> str:
        began.set()
        await asyncio.sleep(60)
        return ""

    bywire_gateway.allow("ops.deploy")
    agent = agent_of(TestModel(), toolset, bywire_client)

    async def scene():
        task = asyncio.create_task(agent.run("go"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert bywire_gateway.outcomes() == ["unknown"]


def test_waiting_is_an_option(tools, bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("ops.deploy")
    governed = governed_toolset(tools, bywire_client, tool_name=lambda name: f"ops.{name}", wait_seconds=10)
    agent = Agent(calls(("deploy", {"image": "app"})), toolsets=[governed])

    async def scene():
        task = asyncio.create_task(agent.run("go"))
        while not bywire_gateway.waiting:  # noqa: ASYNC110  the gateway has no event loop
            await asyncio.sleep(0.01)
        bywire_gateway.approve()
        return (await task).output

    assert asyncio.run(scene()) == "deployed app"
