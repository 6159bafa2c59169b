"""LangChain agents and LangGraph graphs whose tools run only under permits; a resume repeats no effect."""

import asyncio
import threading
import time

import pytest
from bywire_sdk import ApprovalNeeded, EngineError, OutcomeUnknown, governed
from bywire_sdk.langchain import GovernedTools
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self


def call(name, args, number=1):
    return {"name": name, "args": args, "id": f"call-{number}", "type": "tool_call"}


@pytest.fixture
def ran():
    return []


@pytest.fixture
def deploy(ran):
    @tool
    def deploy(image: str) -> str:
        """Deploy an image."""
        ran.append(image)
        return f"deployed {image}"

    return deploy


def agent_of(tools, client, *calls, checkpointer=None, **more):
    says = [AIMessage("", tool_calls=list(calls)), AIMessage("done")]
    return create_agent(
        Model(messages=iter(says)),
        tools=tools,
        middleware=[GovernedTools(client, tool_name=lambda name: f"ops.{name}", **more)],
        checkpointer=checkpointer,
    )


def graph_of(tools, client, *calls, **more):
    """A plain graph: one node runs all the calls, so that a resume runs all of them again."""
    governed = GovernedTools(client, tool_name=lambda name: f"ops.{name}", **more)
    node = ToolNode(tools, wrap_tool_call=governed.wrap_tool_call, awrap_tool_call=governed.awrap_tool_call)
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda _: {"messages": [AIMessage("", tool_calls=list(calls))]})
    builder.add_node("tools", node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=InMemorySaver())


START_WITH = {"messages": [("user", "go")]}
THREAD = {"configurable": {"thread_id": "t-1"}}


def told(state):
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


@pytest.fixture(params=["plain", "async"])
def run(request):
    """Run a graph, plainly or on a loop."""
    if request.param == "plain":
        yield lambda graph, value, config=None: graph.invoke(value, config)
        return
    # One loop, as in a server: what an interrupt leaves behind goes on.
    with asyncio.Runner() as runner:

        async def calmly(graph, value, config):
            found = await graph.ainvoke(value, config)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            return found

        yield lambda graph, value, config=None: runner.run(calmly(graph, value, config))


def test_an_agent_works_through_the_gateway(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.allow("ops.deploy")
    state = run(agent_of([deploy], bywire_client, call("deploy", {"image": "app"})), START_WITH)
    assert [message.content for message in told(state)] == ["deployed app"]
    assert ran == ["app"]
    assert [heard.path for heard in bywire_gateway.heard] == ["/v1/permit", "/v1/report"]
    assert bywire_gateway.outcomes() == ["committed"]


def test_a_deny_is_told_to_the_model(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.deny("ops.deploy", reason="not this image")
    state = run(agent_of([deploy], bywire_client, call("deploy", {"image": "evil"})), START_WITH)
    (message,) = told(state)
    assert message.status == "error"
    assert "not this image (policy_denied)" in message.content
    assert ran == []


@pytest.mark.parametrize(("code", "raised"), [("engine_error", EngineError), ("outcome_unknown", OutcomeUnknown)])
def test_what_the_model_must_not_try_again_ends_the_run(deploy, bywire_gateway, bywire_client, ran, run, code, raised):
    bywire_gateway.breaks("ops.deploy", code)
    with pytest.raises(raised):
        run(agent_of([deploy], bywire_client, call("deploy", {"image": "app"})), START_WITH)
    assert ran == []


def test_masked_arguments_are_what_the_tool_gets(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.mask("ops.deploy", "image", "[masked]")
    run(agent_of([deploy], bywire_client, call("deploy", {"image": "secret"})), START_WITH)
    assert ran == ["[masked]"]


def test_an_approval_interrupts_and_resumes_with_one_effect(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of([deploy], bywire_client, call("deploy", {"image": "app"}), checkpointer=InMemorySaver())
    state = run(agent, START_WITH, THREAD)
    (paused,) = state["__interrupt__"]
    shown = paused.value["bywire"]
    assert (shown["tool"], shown["parameters"]) == ("deploy", {"image": "app"})
    assert shown["approval"]["id"] == bywire_gateway.waiting[0].id

    still = run(agent, Command(resume={"approved": True}), THREAD)
    assert still["__interrupt__"], "resuming says nothing to the gateway"
    assert ran == []

    bywire_gateway.approve()
    state = run(agent, Command(resume=True), THREAD)
    assert [message.content for message in told(state)] == ["deployed app"]
    assert ran == ["app"]
    assert len(bywire_gateway.approvals) == 1


def test_a_refused_approval_is_told_to_the_model(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.ask_person("ops.deploy")
    agent = agent_of([deploy], bywire_client, call("deploy", {"image": "app"}), checkpointer=InMemorySaver())
    run(agent, START_WITH, THREAD)
    bywire_gateway.refuse()
    (message,) = told(run(agent, Command(resume=True), THREAD))
    assert message.status == "error"
    assert ran == []


def test_a_resumed_node_repeats_no_sibling(deploy, bywire_gateway, bywire_client, ran, run):
    """langgraph#7780: the node runs again from its start at every resume, and with it every call that went before."""
    bywire_gateway.ask_person("ops.deploy", when=lambda asked: asked["image"] in "bc")
    bywire_gateway.allow("ops.deploy")
    calls = [call("deploy", {"image": image}, number) for number, image in enumerate("abc")]
    graph = graph_of([deploy], bywire_client, *calls)
    run(graph, START_WITH, THREAD)
    for expected in (["a"], ["a"]):
        assert ran == expected
        resume = {one.id: True for one in graph.get_state(THREAD).interrupts}
        run(graph, Command(resume=resume), THREAD)
    for approval in list(bywire_gateway.waiting):
        bywire_gateway.approve(approval.id)
    while interrupts := graph.get_state(THREAD).interrupts:
        run(graph, Command(resume={one.id: True for one in interrupts}), THREAD)
    assert sorted(ran) == ["a", "b", "c"]
    state = graph.get_state(THREAD).values
    assert [message.content for message in told(state)] == ["deployed a", "deployed b", "deployed c"]


@pytest.mark.parametrize("did_nothing", [True, False])
def test_a_tool_that_failed_is_not_run_again_by_a_resume(bywire_gateway, bywire_client, ran, run, did_nothing):
    @tool
    def deploy(image: str) -> str:
        """Deploy an image."""
        ran.append(image)
        raise ToolException("half done")

    deploy.handle_tool_error = True
    bywire_gateway.ask_person("ops.deploy", when=lambda asked: asked["image"] == "b")
    bywire_gateway.allow("ops.deploy")
    calls = [call("deploy", {"image": image}, number) for number, image in enumerate("ab")]
    graph = graph_of([deploy], bywire_client, *calls, errors_did_nothing=did_nothing)
    run(graph, START_WITH, THREAD)
    bywire_gateway.approve()
    if did_nothing:
        run(graph, Command(resume=True), THREAD)
        assert [message.status for message in told(graph.get_state(THREAD).values)] == ["error", "error"]
    else:
        with pytest.raises(OutcomeUnknown):
            run(graph, Command(resume=True), THREAD)
    assert ran.count("a") == 1
    assert bywire_gateway.outcomes()[0] == ("failed" if did_nothing else "unknown")


def test_a_sibling_cancelled_before_it_began_is_told_and_can_be_called_anew(bywire_gateway, bywire_client, ran):
    """The loop ends as soon as one call interrupts; the other one's permit is handed back, not left unknown."""
    asked, go = threading.Event(), threading.Event()

    @tool
    async def deploy(image: str) -> str:
        """Deploy an image."""
        ran.append(image)
        return f"deployed {image}"

    bywire_gateway.allow("ops.deploy", when=lambda one: one["image"] != "a" or asked.set() or go.wait(10))
    calls = [call("deploy", {"image": "a"}, 1)]
    governed = GovernedTools(bywire_client, tool_name=lambda name: f"ops.{name}")
    graph = graph_of([deploy], bywire_client, *calls)

    async def cancelled():
        task = asyncio.create_task(graph.ainvoke(START_WITH, THREAD))
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()

    asyncio.run(cancelled())
    until(lambda: bywire_gateway.outcomes() == ["failed"])
    (message,) = told(asyncio.run(graph.ainvoke(None, THREAD)))
    assert message.status == "error"
    assert ran == []
    assert governed.name == "GovernedTools"


def test_an_ungoverned_node_repeats_it(deploy, ran):
    """What the test above would see without the middleware: it can fail."""

    @tool
    def ask() -> str:
        """Ask somebody."""
        return str(interrupt("?"))

    builder = StateGraph(MessagesState)
    calls = [call("deploy", {"image": "a"}, 1), call("ask", {}, 2)]
    builder.add_node("model", lambda _: {"messages": [AIMessage("", tool_calls=calls)]})
    builder.add_node("tools", ToolNode([deploy, ask]))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.invoke(START_WITH, THREAD)
    graph.invoke(Command(resume="yes"), THREAD)
    assert ran == ["a", "a"]


def test_governed_functions_in_a_node_that_interrupts_in_a_loop(bywire_gateway, bywire_client, ran):
    """The shape of langgraph#7780 itself: effects before an `interrupt()` in a loop."""
    bywire_gateway.allow("ops.charge")

    @governed(tool="ops.charge", client=bywire_client, key=lambda asked: f"t-1/{asked['amount']}")
    def charge(amount: int) -> int:
        ran.append(amount)
        return amount

    def node(_):
        charge(5)
        prompt = "age?"
        while not isinstance(answer := interrupt(prompt), int):
            prompt = "a number, please"
        return {"messages": [AIMessage(f"{answer} paid {charge(5)}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.invoke(START_WITH, THREAD)
    for answer in ("a", "b", 7):
        state = graph.invoke(Command(resume=answer), THREAD)
    assert state["messages"][-1].content == "7 paid 5"
    assert ran == [5]


def test_the_same_call_in_another_thread_is_another_one(deploy, bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("ops.deploy")
    for thread in ("t-1", "t-2"):
        agent = agent_of([deploy], bywire_client, call("deploy", {"image": "app"}), checkpointer=InMemorySaver())
        agent.invoke(START_WITH, {"configurable": {"thread_id": thread}})
    assert ran == ["app", "app"]


def test_without_a_thread_nothing_can_be_interrupted(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.ask_person("ops.deploy")
    with pytest.raises(ApprovalNeeded):
        run(agent_of([deploy], bywire_client, call("deploy", {"image": "app"})), START_WITH)
    assert ran == []


@pytest.mark.parametrize(
    ("handled", "did_nothing", "outcome"),
    [(True, False, "unknown"), (True, True, "failed"), (False, False, "unknown"), (False, True, "unknown")],
)
def test_a_tool_that_raises(bywire_gateway, bywire_client, run, handled, did_nothing, outcome):
    @tool
    def deploy() -> str:
        """Deploy."""
        raise ToolException("the cluster said no")

    deploy.handle_tool_error = handled
    bywire_gateway.allow("ops.deploy")
    agent = agent_of([deploy], bywire_client, call("deploy", {}), errors_did_nothing=did_nothing)
    if handled:
        (message,) = told(run(agent, START_WITH))
        assert (message.status, message.content) == ("error", "the cluster said no")
    else:
        with pytest.raises(ToolException):
            run(agent, START_WITH)
    assert bywire_gateway.outcomes() == [outcome], "it may have raised after its effect"


def test_wrong_arguments_run_nothing_and_are_told(deploy, bywire_gateway, bywire_client, ran, run):
    bywire_gateway.allow("ops.deploy")
    (message,) = told(run(agent_of([deploy], bywire_client, call("deploy", {"img": 1})), START_WITH))
    assert message.status == "error"
    assert ran == []
    assert bywire_gateway.outcomes() == ["failed"]


def test_a_tool_that_interrupts_itself_after_its_permit_is_unknown(bywire_gateway, bywire_client, ran, run):
    @tool
    def deploy() -> str:
        """Deploy, then ask."""
        ran.append(1)
        return str(interrupt("really?"))

    bywire_gateway.allow("ops.deploy")
    agent = agent_of([deploy], bywire_client, call("deploy", {}), checkpointer=InMemorySaver())
    with pytest.raises(TypeError, match="interrupt before the governed call"):
        run(agent, START_WITH, THREAD)
    assert bywire_gateway.outcomes() == ["unknown"]
    with pytest.raises(OutcomeUnknown):
        run(agent, None, THREAD)
    assert ran == [1]


def test_a_command_is_passed_through_and_not_kept(bywire_gateway, bywire_client, ran, run):
    @tool
    def deploy() -> Command:
        """Deploy and say so."""
        ran.append(1)
        return Command(update={"messages": [ToolMessage("done", tool_call_id="call-1")]})

    bywire_gateway.allow("ops.deploy")
    state = run(agent_of([deploy], bywire_client, call("deploy", {})), START_WITH)
    assert [message.content for message in told(state)] == ["done"]
    assert bywire_gateway.outcomes() == ["committed"]


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
