"""A pydantic-ai agent, a LangGraph graph and an API key against `bywire serve` itself, a person approving."""

import pytest
from bywire_sdk import Client, Exchange, Unauthenticated
from bywire_sdk.langchain import GovernedTools
from bywire_sdk.pydantic_ai import GovernedToolset
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.toolsets import FunctionToolset
from worlds import client_of


@pytest.fixture
def world(real_world):
    return real_world


@pytest.fixture
def client(world):
    with client_of(world) as found:
        yield found


def at_gateway(name):
    return f"jobs.{name}"


def test_a_pydantic_ai_agent(world, client):
    ran, toolset = [], FunctionToolset()

    @toolset.tool_plain
    def restart(job: str) -> str:
        ran.append(job)
        return f"restarted {job}"

    @toolset.tool_plain
    def deploy(version: str) -> str:
        ran.append(version)
        return f"deployed {version}"

    def model(messages, info):
        told = [part.content for part in messages[-1].parts if part.part_kind == "tool-return"]
        if told:
            return ModelResponse(parts=[TextPart("; ".join(told))])
        calls = [("restart", {"job": "a"}), ("deploy", {"version": "2"})]
        return ModelResponse(parts=[ToolCallPart(name, args, f"call-{name}") for name, args in calls])

    governed = GovernedToolset(toolset, client=client, tool_name=at_gateway)
    agent = Agent(FunctionModel(model), toolsets=[governed], output_type=[str, DeferredToolRequests])
    paused = agent.run_sync("go")
    assert isinstance(paused.output, DeferredToolRequests)
    assert ran == ["a"]
    (shown,) = paused.output.metadata.values()
    assert shown["bywire"]["parameters"] == {"version": "2"}
    world.approve(shown["bywire"]["approval"]["id"])
    yes = paused.output.build_results(approve_all=True)
    for _ in range(2):
        done = agent.run_sync(message_history=paused.all_messages(), deferred_tool_results=yes)
        assert "deployed 2" in done.output
    assert ran == ["a", "2"]


def test_a_langgraph_graph(world, client):
    ran = []

    @tool
    def deploy(version: str) -> str:
        """Deploy a version."""
        ran.append(version)
        return f"deployed {version}"

    @tool
    def restart(job: str) -> str:
        """Restart a job."""
        ran.append(job)
        return f"restarted {job}"

    calls = [
        {"name": "restart", "args": {"job": "b"}, "id": "call-1", "type": "tool_call"},
        {"name": "deploy", "args": {"version": "3"}, "id": "call-2", "type": "tool_call"},
    ]
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda _: {"messages": [AIMessage("", tool_calls=calls)]})
    wrap = GovernedTools(client, tool_name=at_gateway).wrap_tool_call
    builder.add_node("tools", ToolNode([restart, deploy], wrap_tool_call=wrap))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    graph, thread = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t-1"}}
    (paused,) = graph.invoke({"messages": [("user", "go")]}, thread)["__interrupt__"]
    world.approve(paused.value["bywire"]["approval"]["id"])
    state = graph.invoke(Command(resume=True), thread)
    assert sorted(ran) == ["3", "b"]
    told = [message.content for message in state["messages"] if isinstance(message, ToolMessage)]
    assert told == ["restarted b", "deployed 3"]


def test_an_api_key_is_exchanged(world):
    with client_of(world) as client:
        listed = client.tools("jobs")
    made = world.api_key()
    with Client(world.url, exchange=Exchange(api_key=made["key"], agent="agent:worker")) as client:
        assert client.tools("jobs") == listed
    with Client(world.url, exchange=Exchange(api_key=f"{made['key'][:-1]}_")) as client, pytest.raises(Unauthenticated):
        client.tools("jobs")
