"""The drafted files parse whatever was found, and say plainly what was not."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.adapters import yaml_file
from bywire.config import operator_config, service_intent
from bywire.config.draft import render, render_operator
from bywire.config.findings import Findings, FoundCommand, FoundNames, FoundText
from bywire.model.operator import Gate, Isolation, Limits, OperatorConfig, Person

words = st.text(max_size=12) | st.sampled_from(["yes", "null", "-", "1", "a: b", "# x", "'", '"', "{}", "@a", "python"])
commands = st.none() | st.builds(
    FoundCommand,
    st.lists(words, max_size=4).map(tuple),
    words,
    st.sampled_from(["", "reports/junit.xml"]),
    st.sampled_from(["", "reports/coverage.json"]),
)
named = st.none() | st.builds(FoundNames, st.lists(words, max_size=4).map(tuple), words)
single = st.none() | st.builds(FoundText, words | st.sampled_from(["/healthz", "//x"]), words)
findings = st.builds(
    Findings,
    service=words,
    base_branch=words,
    languages=st.lists(st.sampled_from(["python", "go"]), max_size=2).map(tuple),
    build=commands,
    lint=commands,
    test=commands,
    start=commands,
    health=single,
    port=single,
    owners=named,
    dependencies=named,
    manifests=st.sampled_from(["", "deploy", "a b/c"]),
    assets=st.sampled_from([(), ("assets/a.json",)]),
    notes=st.lists(words, max_size=2).map(tuple),
)


def read(text):
    return yaml_file.parse(text.encode(), "bywire.yaml", service_intent.parse)


@settings(max_examples=250, deadline=None)
@given(findings)
def test_a_draft_parses_and_carries_what_was_found_unchanged(found):
    intent = read(render(found))
    for name in ("build", "lint", "test", "start"):
        written, seen = getattr(intent, name), getattr(found, name)
        assert written is None or written.run == seen.run
    assert found.owners is None or set(intent.owners) <= set(found.owners.values)


@settings(max_examples=100, deadline=None)
@given(findings)
def test_an_operator_draft_parses(found):
    text = render_operator(
        found, Person("person:dana", ("d@x.org", "not an address")), Person("person:oncall", (), ("sre-oncall",))
    )
    config = yaml_file.parse(text.encode(), "operator.yaml", operator_config.parse)
    assert config.agents_owner == "person:dana"


def test_nothing_found_is_said_line_by_line():
    text = render(Findings("shop", "main"))
    for key in ("owners", "dependencies", "build", "lint", "test", "start", "manifests", "assets"):
        assert any(
            line.startswith("#") and f" {key}:" in line and "not found:" in line for line in text.splitlines()
        ), key
    assert read(text).test is None


def test_what_was_found_names_its_source():
    text = render(Findings("shop", "main", test=FoundCommand(("pytest",), "pyproject.toml")))
    assert "run: [pytest]  # from pyproject.toml" in text


def test_the_operator_draft_spells_out_the_models_defaults():
    text = render_operator(
        Findings("shop", "trunk"),
        Person("person:dana", (), ("service-owner",)),
        Person("person:oncall", (), ("sre-oncall",)),
        environment="staging",
        search_path=("/opt/bin", "/usr/bin"),
    )
    assert yaml_file.parse(text.encode(), "operator.yaml", operator_config.parse) == OperatorConfig(
        "shop",
        environment="staging",
        base_branch="trunk",
        agents_owner="person:dana",
        people=(Person("person:dana", (), ("service-owner",)), Person("person:oncall", (), ("sre-oncall",))),
        limits=Limits(),
        gates={"high": Gate(kind="single")},
        isolation=Isolation(path=("/opt/bin", "/usr/bin")),
    )
