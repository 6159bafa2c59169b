"""The client itself: what is sent, what comes back, waiting, threads, forks, and values as they travel."""

import asyncio
import contextlib
import enum
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bywire_sdk import (
    ApprovalNeeded,
    AsyncClient,
    BadAnswer,
    Client,
    Denied,
    GatewayError,
    Invalid,
    OutcomeUnknown,
    Unreachable,
    governed,
)
from bywire_sdk.testing.gateway import TOKEN
from bywire_sdk.testing.plugin import QUICK
from bywire_sdk.values import as_json, canonical, copied, decoded, key_of
from hypothesis import given
from hypothesis import strategies as st

SOURCE = Path(__file__).parents[2] / "sdk" / "src"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def test_a_call_sends_what_was_said_and_nothing_else(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy", result={"ok": True})
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = bywire_client.call("deploy", {"n": 1.0}, key="k", traceparent=trace)
    assert (answer.result, answer.replayed) == ({"ok": True}, False)
    (heard,) = bywire_gateway.heard
    assert (heard.tool, heard.parameters, heard.key, heard.traceparent) == ("deploy", {"n": 1}, "k", trace)
    bywire_client.call("deploy", traceparent="nonsense\r\nx: y", key="k2")
    assert bywire_gateway.heard[1].traceparent == ""
    assert bywire_client.call("deploy", {"n": 1}, key="k").replayed


def test_every_call_is_a_new_one_unless_it_has_a_key(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")
    bywire_client.call("deploy")
    bywire_client.call("deploy")
    assert len(bywire_gateway.carried_out) == 2


def test_a_dry_run_carries_nothing_out(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")
    assert bywire_client.call("deploy", dry_run=True).result == {"dry_run": True}
    assert bywire_gateway.carried_out == []


def test_waiting_ends_with_the_same_question(bywire_gateway, bywire_client):
    bywire_gateway.ask_person("deploy")
    with pytest.raises(ApprovalNeeded) as error:
        bywire_client.call("deploy", wait_seconds=0.2)
    assert error.value.approval_id == bywire_gateway.waiting[0].id
    polls = [heard for heard in bywire_gateway.heard if heard.path.endswith("/state")]
    assert 2 <= len(polls) <= 12, "it backs off"


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_waiting_resumes_with_the_same_key(bywire_gateway, bywire_client, decision):
    bywire_gateway.ask_person("deploy")
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(bywire_client.call, "deploy", wait_seconds=10)
        until(lambda: bywire_gateway.waiting)
        getattr(bywire_gateway, decision)()
        if decision == "approve":
            assert done.result(10).status == "committed"
        else:
            with pytest.raises(Denied):
                done.result(10)
    assert len({heard.key for heard in bywire_gateway.heard if heard.path == "/v1/call"}) == 1


def test_agreed_and_still_not_allowed_is_asked_slowly(bywire_gateway, bywire_client):
    """People agreed and it is not the hour yet: the client must not ask as fast as it can."""
    bywire_gateway.ask_person("deploy")
    whole = bywire_gateway._state
    bywire_gateway._state = lambda *asked: {**whole(*asked), "state": "approved"}
    with pytest.raises(ApprovalNeeded):
        bywire_client.call("deploy", wait_seconds=0.3)
    assert len([heard for heard in bywire_gateway.heard if heard.path == "/v1/call"]) <= 16


def test_the_async_client_does_the_same(bywire_gateway):
    bywire_gateway.allow("deploy", result={"ok": 1})
    bywire_gateway.ask_person("pay")

    async def scene():
        async with AsyncClient(bywire_gateway.url, token=TOKEN, limits=QUICK) as client:
            answers = await asyncio.gather(*(client.call("deploy", {"n": n}) for n in range(40)))
            assert all(answer.result == {"ok": 1} for answer in answers)
            assert (await client.advise("deploy")).effect == "allow"
            assert [tool.name for tool in await client.tools()] == ["deploy", "pay"]
            permit = await client.permit("deploy", {"n": 99})
            assert (await client.report(permit.intent, "committed")).status == "committed"
            waiting = asyncio.create_task(client.call("pay", wait_seconds=10))
            await asyncio.to_thread(until, lambda: bywire_gateway.waiting)
            bywire_gateway.approve()
            assert (await waiting).status == "committed"
            with pytest.raises(ApprovalNeeded):
                await client.call("pay", {"n": 2}, wait_seconds=0.1)

    asyncio.run(scene())


def test_many_threads_share_a_client(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda n: bywire_client.call("deploy", {"n": n}), range(200)))
    assert len(bywire_gateway.carried_out) == 200
    assert threading.active_count() < 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_share_its_parents_connections(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")
    bywire_client.call("deploy")
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            bywire_client.call("deploy", {"child": 1})
            code = 0
        os._exit(code)
    for number in range(20):
        bywire_client.call("deploy", {"parent": number})
    assert os.waitpid(child, 0)[1] == 0
    assert len(bywire_gateway.carried_out) == 22


def test_a_process_that_is_killed_leaves_it_unknown(bywire_gateway):
    """Killed between permit and report: nobody was told, and the same run does it no second time."""
    bywire_gateway.allow("deploy")
    program = f"""
import sys, time
sys.path.insert(0, {str(SOURCE)!r})
from bywire_sdk import Client, governed
with Client({bywire_gateway.url!r}, token={TOKEN!r}, run="job-1") as client:
    @governed(tool="deploy", client=client)
    def deploy(image):
        print("began", flush=True)
        time.sleep(60)
    deploy("app")
"""
    process = subprocess.Popen([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGKILL)
    assert bywire_gateway.outcomes() == ["open"]
    ran = []
    with Client(bywire_gateway.url, token=TOKEN, run="job-1") as client, pytest.raises(OutcomeUnknown):
        governed(tool="deploy", client=client)(lambda image: ran.append(image))("app")
    assert ran == []


def test_errors_survive_processes_and_tell_where_to_go(bywire_client):
    with pytest.raises(GatewayError) as error:
        bywire_client.call("nothing")
    copy = pickle.loads(pickle.dumps(error.value))
    assert (type(copy), copy.payload, str(copy)) == (Denied, error.value.payload, str(error.value))
    refused = Unreachable.local("no", "look")
    assert (refused.payload["code"], str(refused)) == ("unreachable", "no (unreachable); look")


@given(PLAIN)
def test_a_copy_is_equal_and_its_own(value):
    copy = copied(value, 48)
    assert copy == value
    assert canonical(copy) == canonical(value)
    assert json.loads(canonical(copy)) == json.loads(json.dumps(as_json(value)))
    if isinstance(value, list | dict) and value:
        assert copy is not value


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4), st.randoms())
def test_a_key_depends_on_what_is_asked_and_not_on_its_order(parameters, random):
    names = list(parameters)
    random.shuffle(names)
    key = key_of("run", "tool", parameters)
    assert key == key_of("run", "tool", {name: parameters[name] for name in names})
    others = {key_of("run2", "tool", parameters), key_of("run", "tool2", parameters), key_of("ru", "ntool", parameters)}
    others |= {key_of("run", "tool", {**parameters, "one more": 1}), key_of("run", "tool", parameters, "")}
    assert key not in others
    assert len(key) < 256


class Colour(enum.Enum):
    RED = b"red"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        b"x",
        {1},
        2**53,
        float("nan"),
        float("inf"),
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        Colour.RED,
        range(3),
    ],
    ids=repr,
)
def test_what_is_no_plain_json_is_not_sent(bywire_client, bywire_gateway, value):
    with pytest.raises(Invalid):
        bywire_client.call("deploy", {"value": value})
    assert bywire_gateway.heard == []


def test_a_subclass_of_text_is_sent_as_text():
    assert type(copied(Text("a"), 1)) is str


def test_nesting_is_bounded():
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(Invalid, match="too deeply"):
        copied(value, 48)
    value.append(value)
    with pytest.raises(Invalid, match="too deeply"):
        copied(value, 48)


@given(st.binary(max_size=200) | PLAIN.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_a_bad_answer(body):
    with contextlib.suppress(BadAnswer):
        assert isinstance(decoded(body, 48), dict)


def until(condition):
    import time

    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
