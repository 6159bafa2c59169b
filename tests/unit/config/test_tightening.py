"""A branch may tighten and never loosen: rows for each field, and the algebra of the meet."""

import msgspec
import pytest
from config_documents import FULL
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.config.service_intent import parse, tighten
from bywire.model.intent import Command, Segments, ServiceIntent, Sli, StartCommand, WarmUp

BASE = parse(FULL, "bywire.yaml")


def with_(**fields):
    return msgspec.structs.replace(BASE, **fields)


def command(name, **fields):
    return msgspec.structs.replace(getattr(BASE, name), **fields)


SLOW = BASE.slis[1]
TIGHTER = [
    with_(rollout_steps=(1, 25, 50, 100)),
    with_(rollout_steps=(1, 5, 10, 25, 50, 75, 100)),
    with_(test=command("test", timeout_seconds=60)),
    with_(start=command("start", ready_timeout_seconds=5)),
    with_(warm=WarmUp("/internal/warm", 5)),
    with_(dependencies=("card-network", "ledger")),
    with_(assets=("assets/assistant.json", "assets/second.json")),
    with_(slis=(msgspec.structs.replace(BASE.slis[0], objective=0.9999), SLOW)),
    with_(slis=(BASE.slis[0], msgspec.structs.replace(SLOW, threshold_ms=200))),
    with_(slis=(*BASE.slis, Sli("checkout", "errors", 0.99))),
    with_(segments=Segments("x-client-segment", (*BASE.segments.values, "tv"))),
]
LOOSER = [
    ("service", with_(service="other")),
    ("owners", with_(owners=("payments", "friend"))),
    ("owners", with_(owners=())),
    ("dependencies", with_(dependencies=())),
    ("commands.lint", with_(lint=None)),
    ("commands.test", with_(test=None)),
    ("commands.test.run", with_(test=command("test", run=("true",)))),
    ("commands.test.timeout_seconds", with_(test=command("test", timeout_seconds=3600))),
    ("commands.test.junit", with_(test=command("test", junit=""))),
    ("commands.test.coverage", with_(test=command("test", coverage="forged.json"))),
    ("commands.start.run", with_(start=command("start", run=("evil",)))),
    ("commands.start.ready", with_(start=command("start", ready="/always-200"))),
    ("commands.start.ready_timeout_seconds", with_(start=command("start", ready_timeout_seconds=900))),
    ("commands.start.port_env", with_(start=command("start", port_env="OTHER"))),
    ("commands.warm", with_(warm=None)),
    ("commands.warm.path", with_(warm=WarmUp("/nothing", 20))),
    ("commands.warm.timeout_seconds", with_(warm=WarmUp("/internal/warm", 900))),
    ("artifact.include", with_(artifact_include=("**",))),
    ("artifact.include", with_(artifact_include=("storefront/**",))),
    ("manifests", with_(manifests="")),
    ("manifests", with_(manifests="empty/")),
    ("assets", with_(assets=())),
    ("slis.latency", with_(slis=BASE.slis[:1])),
    ("slis.latency", with_(slis=(BASE.slis[0], Sli("latency", "errors", 0.99)))),
    ("slis.latency.objective", with_(slis=(BASE.slis[0], msgspec.structs.replace(SLOW, objective=0.5)))),
    ("slis.latency.threshold_ms", with_(slis=(BASE.slis[0], msgspec.structs.replace(SLOW, threshold_ms=5000)))),
    ("segments", with_(segments=None)),
    ("segments.header", with_(segments=Segments("x-other", BASE.segments.values))),
    ("segments.values", with_(segments=Segments("x-client-segment", ("desktop",)))),
    ("rollout.steps", with_(rollout_steps=(100,))),
    ("rollout.steps", with_(rollout_steps=(25, 50, 100))),
    ("rollout.steps", with_(rollout_steps=(1, 2, 3, 100))),
]


@pytest.mark.parametrize("branch", TIGHTER)
def test_tighter_is_taken(branch):
    assert tighten(BASE, branch) == (branch, ())


@pytest.mark.parametrize(("name", "branch"), LOOSER)
def test_looser_is_named_and_the_base_wins(name, branch):
    assert tighten(BASE, branch) == (BASE, (name,))


def test_a_branch_may_add_what_the_base_does_not_have():
    bare = ServiceIntent("storefront", ("payments",), artifact_include=BASE.artifact_include)
    assert tighten(bare, msgspec.structs.replace(BASE, dependencies=())) == (
        msgspec.structs.replace(BASE, dependencies=()),
        (),
    )


def test_tightening_and_loosening_in_one_branch_are_told_apart():
    branch = with_(test=command("test", timeout_seconds=30, run=("true",)))
    intent, loosened = tighten(BASE, branch)
    assert intent.test == command("test", timeout_seconds=30)
    assert loosened == ("commands.test.run",)


names = st.sampled_from(["a", "b", "c"])
seconds = st.integers(1, 100)
runs = st.sampled_from([("x",), ("y", "z")])
maybe = lambda strategy: st.none() | strategy
commands = st.builds(Command, runs, seconds, st.sampled_from(["", "j.xml"]), st.sampled_from(["", "c.json"]))
some = lambda: st.lists(names, unique=True, max_size=3).map(tuple)
slis = st.lists(
    st.builds(Sli, names, st.sampled_from(["errors", "slow"]), st.sampled_from([0.9, 0.99]), seconds),
    max_size=3,
    unique_by=lambda sli: sli.name,
).map(tuple)
steps = st.lists(st.integers(1, 99), unique=True, max_size=4).map(lambda found: (*sorted(found), 100))
intents = st.builds(
    ServiceIntent,
    service=names,
    owners=some(),
    dependencies=some(),
    build=maybe(commands),
    lint=maybe(commands),
    test=maybe(commands),
    evaluate=maybe(commands),
    start=maybe(st.builds(StartCommand, runs, st.sampled_from(["/a", "/b"]), seconds, names)),
    warm=maybe(st.builds(WarmUp, st.sampled_from(["/a", "/b"]), seconds)),
    artifact_include=some(),
    manifests=st.sampled_from(["", "d/", "e/"]),
    assets=some(),
    slis=slis,
    segments=maybe(st.builds(Segments, st.sampled_from(["h", "i"]), some())),
    rollout_steps=steps,
)


@settings(max_examples=200, deadline=None)
@given(intents)
def test_a_branch_equal_to_the_base_changes_nothing(base):
    assert tighten(base, base) == (base, ())


@settings(max_examples=300, deadline=None)
@given(intents, intents)
def test_the_result_is_never_looser_than_the_base_and_is_stable(base, branch):
    result, loosened = tighten(base, branch)
    again, none = tighten(base, result)
    assert (again, none) == (result, ())
    # Seen from the result, the base could only be a loosening or the same: nothing of the base was given away.
    if result == base and branch != base:
        assert loosened or set(branch.owners) == set(base.owners)
    assert result.rollout_steps[0] <= base.rollout_steps[0]
    assert set(base.dependencies) <= set(result.dependencies)
    for name in ("build", "lint", "test", "evaluate", "start", "warm", "segments"):
        assert (getattr(base, name) is None) or (getattr(result, name) is not None)


@settings(max_examples=200, deadline=None)
@given(intents, intents, intents)
def test_two_branches_in_a_row_never_undo_one_another(base, first, second):
    once, _ = tighten(base, first)
    twice, _ = tighten(once, second)
    assert tighten(base, twice)[1] == ()
