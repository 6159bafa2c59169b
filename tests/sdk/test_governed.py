"""`@governed`: a function runs with leave only, on what leave was given for, once; how it ended is always told."""

import asyncio
import dataclasses
import enum
import functools
import inspect
import threading
import typing
from concurrent.futures import ThreadPoolExecutor

import pytest
from bywire_sdk import (
    ApprovalNeeded,
    AsyncClient,
    BadAnswer,
    Client,
    Conflict,
    Denied,
    EngineError,
    Invalid,
    NothingDone,
    OutcomeUnknown,
    ResultNotKept,
    Unreachable,
    Unreported,
    UpstreamFailed,
    governed,
    run,
    use,
)
from bywire_sdk.testing import FakeGateway, Served
from bywire_sdk.testing.gateway import TOKEN
from bywire_sdk.testing.plugin import QUICK


@pytest.fixture
def ran():
    return []


@pytest.fixture(params=["plain", "async"])
def deploy(request, bywire_client, ran):
    """The same governed function, plain and async; both are called plainly here."""

    def body(image: str, replicas: int = 2) -> dict:
        ran.append((image, replicas))
        return {"deployed": image}

    async def abody(image: str, replicas: int = 2) -> dict:
        return body(image, replicas)

    if request.param == "plain":
        return governed(tool="deploy", client=bywire_client)(body)
    wrapped = governed(tool="deploy", client=bywire_client)(abody)
    return lambda *args, **kwargs: asyncio.run(wrapped(*args, **kwargs))


def test_permit_run_report(deploy, bywire_gateway, ran):
    bywire_gateway.allow("deploy")
    assert deploy("app@sha256:1") == {"deployed": "app@sha256:1"}
    assert ran == [("app@sha256:1", 2)]
    permit, report = bywire_gateway.heard
    assert (permit.path, permit.parameters) == ("/v1/permit", {"image": "app@sha256:1", "replicas": 2})
    assert (report.path, report.answered) == ("/v1/report", "committed")


@pytest.mark.parametrize(
    ("says", "raised"),
    [
        (lambda gateway: None, Denied),
        (lambda gateway: gateway.deny("deploy"), Denied),
        (lambda gateway: gateway.ask_person("deploy"), ApprovalNeeded),
        (lambda gateway: gateway.breaks("deploy", "engine_error"), EngineError),
        (lambda gateway: gateway.breaks("deploy", "outcome_unknown"), OutcomeUnknown),
        (lambda gateway: gateway.breaks("deploy", "conflict"), Conflict),
        (lambda gateway: gateway.breaks("deploy", "invalid_parameters"), Invalid),
    ],
)
def test_anything_but_a_permit_runs_nothing(deploy, bywire_gateway, ran, says, raised):
    says(bywire_gateway)
    with pytest.raises(raised):
        deploy("app")
    assert ran == []


def test_no_gateway_runs_nothing(ran):
    with Served(FakeGateway()) as served:
        url = served.url
    client = Client(url, token=TOKEN, limits=QUICK)

    @governed(tool="deploy", client=client)
    def deploy():
        ran.append(1)

    with pytest.raises(Unreachable, match="nothing was run"):
        deploy()
    with pytest.raises(Unreachable, match="no gateway is configured"):
        governed(tool="deploy")(lambda: ran.append(1))()
    assert ran == []


def test_the_same_call_again_returns_what_was_recorded(deploy, bywire_gateway, ran):
    bywire_gateway.allow("deploy")
    first, second = deploy("app"), deploy("app", replicas=2)
    assert (first, second) == ({"deployed": "app"}, {"deployed": "app"})
    assert len(ran) == 1
    deploy("app", replicas=3)
    assert len(ran) == 2


def test_a_run_that_resumes_after_approval_has_one_effect(deploy, bywire_gateway, ran):
    bywire_gateway.ask_person("deploy")
    with pytest.raises(ApprovalNeeded) as first:
        deploy("app")
    with pytest.raises(ApprovalNeeded) as second:
        deploy("app")
    assert first.value.approval_id == second.value.approval_id
    assert first.value.key == second.value.key
    bywire_gateway.approve()
    assert [deploy("app"), deploy("app")] == [{"deployed": "app"}] * 2
    assert len(ran) == 1


def test_waiting_for_a_person_resumes_by_itself(bywire_gateway, bywire_client, ran):
    bywire_gateway.ask_person("deploy")

    @governed(tool="deploy", client=bywire_client, wait_seconds=10)
    def deploy():
        ran.append(1)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(deploy)
        until(lambda: bywire_gateway.waiting)
        bywire_gateway.approve()
        done.result(10)
    assert ran == [1]


def test_a_new_process_with_the_same_run_repeats_nothing(bywire_gateway, ran):
    bywire_gateway.allow("deploy")
    for _ in range(2):
        with Client(bywire_gateway.url, token=TOKEN, run="job-7") as client:
            governed(tool="deploy", client=client)(lambda: ran.append(1))()
    with Client(bywire_gateway.url, token=TOKEN) as client:
        governed(tool="deploy", client=client)(lambda: ran.append(1))()
        with run("job-7"):
            governed(tool="deploy", client=client)(lambda: ran.append(1))()
    assert len(ran) == 2


def test_what_the_policy_masked_is_what_runs(deploy, bywire_gateway, ran):
    bywire_gateway.mask("deploy", "image", "[masked]")
    deploy("secret")
    assert ran == [("[masked]", 2)]


def test_arguments_changed_meanwhile_change_nothing(bywire_gateway, bywire_client):
    """Attack: the caller's list changes after the permit, and the function changes what it was given."""
    seen, hosts = [], ["a"]
    bywire_gateway.allow("notify", when=lambda parameters: hosts.append("evil") is None)

    @governed(tool="notify", client=bywire_client)
    def notify(hosts: list):
        seen.append(list(hosts))
        hosts.append("more")
        return hosts

    assert notify(hosts) == ["a", "more"]
    assert seen == [["a"]]
    assert bywire_gateway.heard[0].parameters == {"hosts": ["a"]}


def test_a_value_that_answers_differently_each_time_is_not_taken(bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("notify")

    class Sly(dict):
        def items(self):
            return [("host", "evil" if ran else "good")]

    @governed(tool="notify", client=bywire_client)
    def notify(target):
        ran.append(target)

    with pytest.raises(Invalid, match="target is a Sly"):
        notify(Sly())
    assert bywire_gateway.heard == []


@pytest.mark.parametrize("parameters", [{}, {"image": "a"}, {"image": "a", "replicas": 1, "force": True}])
def test_a_permit_for_other_parameters_runs_nothing(deploy, bywire_gateway, ran, monkeypatch, parameters):
    bywire_gateway.allow("deploy")
    monkeypatch.setattr(bywire_gateway, "_judged", lambda *_: parameters)
    with pytest.raises(BadAnswer):
        deploy("a", 1)
    assert ran == []
    assert bywire_gateway.outcomes() == ["failed"]


def test_python_types_survive_and_masked_ones_are_json(bywire_gateway, bywire_client, ran):
    class Size(enum.Enum):
        SMALL = "s"

    bywire_gateway.mask("scale", "note", "masked")

    @governed(tool="scale", client=bywire_client)
    def scale(size, factor, span, note):
        ran.append((size, factor, span, note))

    scale(Size.SMALL, 2.0, (1, 2), Size.SMALL)
    assert ran == [(Size.SMALL, 2.0, (1, 2), "masked")]
    assert type(ran[0][1]) is float
    assert bywire_gateway.heard[0].parameters == {"size": "s", "factor": 2, "span": [1, 2], "note": "s"}


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ValueError("boom"), "unknown"),
        (TimeoutError("slow"), "unknown"),
        (KeyboardInterrupt(), "unknown"),
        (SystemExit(1), "unknown"),
        (NothingDone("not today"), "failed"),
        (LookupError("absent"), "failed"),
    ],
)
def test_an_exception_is_reported_for_what_it_says(bywire_gateway, bywire_client, raised, status):
    bywire_gateway.allow("deploy")

    @governed(tool="deploy", client=bywire_client, nothing_done=(LookupError,))
    def deploy():
        raise raised

    with pytest.raises(type(raised)):
        deploy()
    assert bywire_gateway.outcomes() == [status]
    with pytest.raises(type(raised) if status == "failed" else OutcomeUnknown):
        deploy()
    assert bywire_gateway.outcomes() == (["failed", "failed"] if status == "failed" else ["unknown"])


def test_what_did_nothing_may_be_tried_again_and_then_happens_once(deploying, bywire_gateway, ran):
    bywire_gateway.allow("deploy")
    for _ in range(3):
        with pytest.raises(NothingDone):
            deploying(False)
    assert [deploying(True), deploying(True), deploying(False)] == ["done"] * 3
    assert ran == [False, False, False, True]
    assert bywire_gateway.outcomes() == ["failed"] * 3 + ["committed"]


def test_a_failure_is_not_tried_for_ever(bywire_gateway):
    bywire_gateway.allow("deploy")
    limits = dataclasses.replace(QUICK, resumes_max=3)
    with Client(bywire_gateway.url, token=TOKEN, limits=limits) as client:

        @governed(tool="deploy", client=client)
        def deploy():
            raise NothingDone

        for expected in (NothingDone, NothingDone, NothingDone, UpstreamFailed):
            with pytest.raises(expected):
                deploy()


@pytest.fixture(params=["plain", "async"])
def deploying(request, bywire_client, ran):
    """A function whose outcome its caller chooses, without the gateway seeing it."""

    def body(works):
        ran.append(works)
        if not works:
            raise NothingDone
        return "done"

    def one(works):
        return "the only one"

    async def abody(works):
        return body(works)

    if request.param == "plain":
        return governed(tool="deploy", client=bywire_client, exclude=["works"], identity=one)(body)
    wrapped = governed(tool="deploy", client=bywire_client, exclude=["works"], identity=one)(abody)
    return lambda works: asyncio.run(wrapped(works))


def test_a_cancelled_one_is_reported_unknown_and_stays_cancelled(bywire_gateway, bywire_client):
    began = threading.Event()
    bywire_gateway.allow("deploy")

    @governed(tool="deploy", client=bywire_client)
    async def deploy():
        began.set()
        await asyncio.sleep(60)

    async def scene():
        task = asyncio.create_task(deploy())
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scene())
    assert bywire_gateway.outcomes() == ["unknown"]


def test_cancelled_while_the_gateway_answers_hands_the_permit_back(bywire_gateway, bywire_client, ran):
    asked, go = threading.Event(), threading.Event()
    bywire_gateway.allow("deploy", when=lambda _: asked.set() or go.wait(10))

    @governed(tool="deploy", client=bywire_client)
    async def deploy():
        ran.append(1)

    async def scene():
        task = asyncio.create_task(deploy())
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await asyncio.to_thread(until, lambda: bywire_gateway.outcomes() == ["failed"])

    asyncio.run(asyncio.wait_for(scene(), 10))
    assert ran == []


def test_a_gateway_that_dies_before_the_report(ran):
    """The function ran; the caller hears that nobody was told, gets the value, and the intent stays open."""
    served = Served(FakeGateway())
    with served, Client(served.url, token=TOKEN, limits=QUICK) as client:
        served.gateway.allow("deploy")

        @governed(tool="deploy", client=client)
        def deploy():
            ran.append(1)
            served.close()
            return "done"

        with pytest.raises(Unreported, match="do not repeat it") as error:
            deploy()
        assert error.value.value == "done"
        assert error.value.key.startswith("sdk-")
        assert served.gateway.outcomes() == ["open"]
        with pytest.raises(Unreachable):
            deploy()
    assert ran == [1]


def test_what_was_never_reported_is_not_done_again(bywire_gateway, ran):
    """A process that died after its permit: the next one with the same key hears `unknown`."""
    bywire_gateway.allow("deploy")
    with Client(bywire_gateway.url, token=TOKEN, run="job") as first:
        deploy = governed(tool="deploy", client=first)(lambda: ran.append(1))
        first.permit("deploy", {}, key=key_of_first(first, deploy, bywire_gateway))
    with Client(bywire_gateway.url, token=TOKEN, run="job") as second, pytest.raises(OutcomeUnknown):
        governed(tool="deploy", client=second)(lambda: ran.append(1))()
    assert ran == []


def key_of_first(client, function, gateway):
    """The key that the function derives, learnt from a call of it that is refused."""
    gateway.breaks("deploy", "busy")
    with pytest.raises(Exception, match="busy"):
        function()
    gateway.breaks("deploy", "")
    return gateway.heard[-1].key


def test_reporting_is_tried_again_and_heard_once(bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("deploy")
    whole, times = bywire_gateway._report, []

    def flaky(principal, document):
        times.append(document)
        if len(times) < 3:
            raise busy()
        return whole(principal, document)

    bywire_gateway._report = flaky
    governed(tool="deploy", client=bywire_client)(lambda: ran.append(1))()
    assert len(times) == 3
    assert bywire_gateway.outcomes() == ["committed"]


def busy():
    from bywire_sdk.testing.script import refused

    return refused("busy", "the script says so")


def test_a_second_report_changes_nothing(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")
    permit = bywire_client.permit("deploy")
    first = bywire_client.report(permit.intent, "committed", {"value": 1})
    assert bywire_client.report(permit.intent, "committed", {"value": 1}) == first
    for status, result in (("failed", {}), ("committed", {"value": 2})):
        with pytest.raises(Conflict):
            bywire_client.report(permit.intent, status, result)
    assert bywire_gateway.outcomes() == ["committed"]


def test_two_threads_with_one_key_have_one_effect(bywire_gateway, bywire_client, ran):
    bywire_gateway.allow("deploy")
    together = threading.Barrier(8)

    @governed(tool="deploy", client=bywire_client)
    def deploy():
        ran.append(1)
        return "done"

    def one(_):
        together.wait(10)
        try:
            return deploy()
        except OutcomeUnknown:
            return "under way"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert ran == [1]
    assert "done" in answers
    assert set(answers) <= {"done", "under way"}


def deep():
    value: dict = {}
    for _ in range(200):
        value = {"deep": value}
    return value


@pytest.mark.parametrize("value", [object(), "x" * 70_000, float("nan"), {1: 2}, deep(), b"bytes", 2**60])
def test_a_result_that_is_not_kept_is_not_run_for_again(bywire_gateway, bywire_client, ran, value):
    bywire_gateway.allow("deploy")

    @governed(tool="deploy", client=bywire_client)
    def deploy():
        ran.append(1)
        return value

    assert deploy() is value
    assert bywire_gateway.outcomes() == ["committed"]
    with pytest.raises(ResultNotKept):
        deploy()
    assert ran == [1]


@pytest.mark.parametrize("later", ["coroutine", "generator", "future"])
def test_a_value_that_is_still_to_happen_is_not_reported_as_done(bywire_gateway, bywire_client, ran, later):
    """Attack: a plain function that returns its work instead of doing it."""
    bywire_gateway.allow("deploy")

    async def work():
        ran.append(1)

    def steps():
        ran.append(1)
        yield

    made = {"coroutine": work, "generator": steps, "future": lambda: ThreadPoolExecutor(1).submit(lambda: None)}
    with pytest.raises(TypeError, match="still to happen"):
        governed(tool="deploy", client=bywire_client)(lambda: made[later]())()
    assert bywire_gateway.outcomes() == ["unknown"]
    assert ran == []


def test_generators_and_unnamed_arguments_are_refused():
    def generator():
        yield

    async def stream():
        yield

    for function in (generator, stream, lambda *hosts: None, classmethod(print), 3):
        with pytest.raises(TypeError):
            governed(tool="deploy")(function)
    with pytest.raises(TypeError, match="no parameter session"):
        governed(tool="deploy", exclude=["session"])(lambda: None)


class Account:
    def __init__(self, name):
        self.name = name
        self.closed = []

    def close(self, reason):
        self.closed.append(reason)
        return f"{self.name} is closed"

    def __call__(self, reason):
        self.close(reason)


def free(self, reason):
    pass


@pytest.mark.parametrize(
    ("function", "exclude"),
    [
        (Account.close, []),
        (Account("a").close, []),
        (Account("a"), []),
        (free, []),
        (functools.partial(Account.close, Account("a")), []),
        (["a"].append, []),
        (lambda session, text: None, ["session"]),
    ],
)
def test_what_the_gateway_cannot_see_is_not_left_out_unnamed(function, exclude):
    """Attack: leave to close account A carries out the closing of account B."""
    with pytest.raises(TypeError, match=r"would not see|identity="):
        governed(tool="close", exclude=exclude)(function)


def test_leave_for_one_object_is_none_for_another(bywire_gateway, bywire_client):
    close = governed(tool="close", client=bywire_client, identity=lambda self: {"account": self.name})(Account.close)
    a, b = Account("a"), Account("b")
    bywire_gateway.ask_person("close")
    with pytest.raises(ApprovalNeeded) as first:
        close(a, "x")
    bywire_gateway.approve()
    with pytest.raises(ApprovalNeeded) as second:
        close(b, "x")
    assert second.value.key != first.value.key
    assert (close(a, "x"), a.closed, b.closed) == ("a is closed", ["x"], [])
    assert bywire_gateway.heard[0].parameters == {"reason": "x", "identity": {"account": "a"}}


def test_a_key_of_ones_own_does_not_answer_for_another_object(bywire_gateway, bywire_client):
    bywire_gateway.allow("close")
    close = governed(
        tool="close", client=bywire_client, identity=lambda self: self.name, key=lambda asked: asked["reason"]
    )(Account.close)
    b = Account("b")
    assert close(Account("a"), "x") == "a is closed"
    with pytest.raises(Conflict):
        close(b, "x")
    assert b.closed == []


def test_an_identity_that_the_gateway_changed_runs_nothing(bywire_gateway, bywire_client):
    """The object is already chosen: leave for another name is none for it."""
    bywire_gateway.mask("close", "identity", "b")
    a = Account("a")
    with pytest.raises(BadAnswer, match="another identity"):
        governed(tool="close", client=bywire_client, identity=lambda self: self.name)(Account.close)(a, "x")
    assert a.closed == []


def test_an_identity_says_something_and_clashes_with_nothing(bywire_gateway, bywire_client):
    bywire_gateway.allow("close")
    for nothing in (None, "", [], {}, ()):
        with pytest.raises(Invalid, match="says nothing"):
            governed(tool="close", client=bywire_client, identity=lambda self, n=nothing: n)(Account.close)(
                Account("a"), "x"
            )
    with pytest.raises(TypeError, match="nothing of"):
        governed(tool="close", identity=lambda: 1)(lambda text: None)
    with pytest.raises(TypeError, match="rename it"):
        governed(tool="close", exclude=["session"], identity=lambda session: 1)(lambda session, identity: None)
    loose = governed(tool="close", client=bywire_client, exclude=["session"], identity=lambda session: 1)
    with pytest.raises(Invalid, match="both called identity"):
        loose(lambda session, **more: None)("s", identity=2)
    assert not bywire_gateway.heard


def test_methods_leave_self_out_and_excluded_ones_pass_through(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")

    class Cluster:
        def __init__(self):
            self.images = []
            self.name = "eu-1"

        @governed(tool="deploy", client=bywire_client, exclude=["session"], identity=lambda self, session: self.name)
        def deploy(self, image, /, *, session, **labels):
            self.images.append((image, session, labels))

        @staticmethod
        @governed(tool="deploy", client=bywire_client)
        def stated(image):
            return image

        @classmethod
        @governed(tool="deploy", client=bywire_client, identity=lambda cls: cls.__name__)
        async def classed(cls, image):
            return cls.__name__ + image

    cluster, session = Cluster(), object()
    cluster.deploy("app", session=session, team="a")
    assert cluster.images == [("app", session, {"team": "a"})]
    assert bywire_gateway.heard[0].parameters == {"image": "app", "team": "a", "identity": "eu-1"}
    assert Cluster.stated("x") == "x"
    assert asyncio.run(Cluster.classed("y")) == "Clustery"


def test_two_arguments_of_one_name_are_refused(bywire_client):
    @governed(tool="deploy", client=bywire_client)
    def deploy(image, /, **more):
        pass

    with pytest.raises(Invalid, match="both called image"):
        deploy("good", image="evil")


def test_the_wrapper_looks_like_the_function_and_leads_nowhere_else(bywire_gateway, bywire_client, ran):
    """Frameworks unwrap functions: what they find must be governed."""

    @governed(tool="deploy", client=bywire_client)
    def deploy(image: "str", replicas: int = 1) -> "dict[str, int]":
        """Deploy it."""
        ran.append(image)

    assert (deploy.__name__, deploy.__doc__) == ("deploy", "Deploy it.")
    assert list(inspect.signature(deploy).parameters) == ["image", "replicas"]
    assert typing.get_type_hints(deploy) == {"image": str, "replicas": int, "return": dict[str, int]}
    with pytest.raises(Denied):
        inspect.unwrap(deploy)("app")
    assert ran == []


def test_a_key_of_ones_own_and_its_conflict(bywire_gateway, bywire_client):
    bywire_gateway.allow("deploy")

    @governed(tool="deploy", client=bywire_client, key=lambda parameters: f"release-{parameters['version']}")
    def deploy(version, image):
        return image

    assert deploy(1, "a") == "a"
    with pytest.raises(Conflict):
        deploy(1, "b")


def test_the_default_client_and_an_async_one_for_a_plain_function(bywire_gateway):
    bywire_gateway.allow("deploy")
    client = AsyncClient(bywire_gateway.url, token=TOKEN)
    use(client)
    try:
        assert governed(tool="deploy")(lambda: 1)() == 1
    finally:
        use(None)
    asyncio.run(client.close())


def test_the_trace_is_passed_on(bywire_gateway, bywire_client):
    from opentelemetry.sdk.trace import TracerProvider

    bywire_gateway.allow("deploy")
    with TracerProvider().get_tracer("test").start_as_current_span("job") as span:
        governed(tool="deploy", client=bywire_client)(lambda: None)()
    assert bywire_gateway.heard[0].traceparent.split("-")[1] == f"{span.get_span_context().trace_id:032x}"


def until(condition):
    import time

    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
