"""What is asked of a bundle before it may decide, and what separates two of them. No process here, and no OPA."""

import json

import msgspec
import pytest

from bywire.model.decision import Effect
from bywire.policy import regotest
from bywire.policy.difference import changed, compare
from bywire.policy.examination import Examination, Question, Request, examine

ENTRY = "data.bywire.a.decision"
ANSWER = '{"effect": "%s", "reasons": [%s], "obligations": [], "tier": "low", "required": {}}'
REASON = '{"rule": "%s", "facts": {}, "hard": false}'
TOTAL = f"default decision := {ANSWER % ('deny', REASON % 'a.none')}\n"
ALLOW = f"decision := {ANSWER % ('allow', REASON % 'a.go')} if input.go\n"
PROOFS = """package bywire.a_test
import data.bywire.a
ids(question) := {reason.rule | some reason in a.decision.reasons with input as question}
test_fires_a_none if "a.none" in ids({})
test_quiet_a_none if not "a.none" in ids({"go": true})
test_fires_a_go if "a.go" in ids({"go": true})
test_quiet_a_go if not "a.go" in ids({})
"""


def files(text=TOTAL + ALLOW, proofs=PROOFS, revision=1, **more):
    manifest = {"revision": revision, "input_version": 1, "entrypoints": [ENTRY]}
    return {
        "manifest.json": json.dumps(manifest).encode(),
        "a.rego": f"package bywire.a\n\n{text}".encode(),
        "a_test.rego": proofs.encode(),
        **{f"table/{name}.json": json.dumps(table).encode() for name, table in more.items()},
    }


def test_a_bundle_that_is_fit():
    found = examine(Request(files(), questions=(Question(ENTRY, {"go": True}), Question(ENTRY, {}))))
    assert found.fit
    assert found.revision == 1
    assert [decision.effect for decision in found.decisions] == [Effect.ALLOW, Effect.DENY]
    assert set(found.rules) == {"a.none", "a.go"}
    (site,) = found.rules["a.go"]
    assert site.place.startswith("a.rego:4:")
    assert site.text == ALLOW.strip()


def test_an_examination_travels_as_json():
    found = examine(Request(files(), questions=(Question(ENTRY, {}),)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Examination) == found
    request = Request(files(), questions=(Question(ENTRY, {}),), opa="x")
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"a.rego": b"package bywire.a\nx := {"}, "policy_syntax"),
        ({"a_test.rego": b"package bywire.a_test\ntest_x if {"}, "policy_syntax"),
        ({"manifest.json": b"{}"}, "bundle_manifest"),
        ({"b.rego": b"\xff"}, "bundle_encoding"),
        ({"readme.txt": b""}, "bundle_path"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_a_code(changes, code):
    found = examine(Request(files() | changes))
    assert found.error["code"] == code
    assert found.error["next_step"]
    assert not found.fit


def test_findings_keep_a_bundle_from_deciding():
    found = examine(Request(files(TOTAL + ALLOW + "x := time.now_ns()\n"), questions=(Question(ENTRY, {}),)))
    assert len(found.findings) == 1
    assert "reads the clock" in found.findings[0]
    assert (found.fit, found.tests, found.decisions) == (False, None, ())


def test_rules_without_proofs_and_tests_that_fail():
    found = examine(
        Request(files(proofs=PROOFS.replace("test_quiet_a_go", "test_other_a_go") + "test_bad if 1 == 2\n"))
    )
    assert found.tests.unproved == ("a.go",)
    assert [failure.test for failure in found.tests.failed] == ["data.bywire.a_test.test_bad"]
    assert not found.fit
    assert not examine(Request({name: body for name, body in files().items() if "_test" not in name})).fit
    assert not examine(Request(files(), tests=False)).fit


@pytest.mark.parametrize(
    "total",
    [
        f"default decision := {ANSWER % ('allow', REASON % 'a.none')}\n",
        f"default decision := {ANSWER % ('approval_needed', REASON % 'a.none')}\n",
        "default decision := {}\n",
    ],
)
def test_an_empty_question_must_be_denied_by_a_rule(total):
    found = examine(Request(files(total)))
    assert any("to an empty question" in finding for finding in found.findings)
    assert not found.fit


def test_the_tests_of_an_agents_policy_see_that_policy_alone():
    own = {
        "agents/x.rego": b'package bywire.agents.x\ndeny contains {"rule": "agents.x.n", "facts": {}} if input.n > 1\n',
        "agents/x_test.rego": b"""package bywire.agents_test.x
ids(question) := {reason.rule | some reason in data.bywire.agents.x.deny with input as question}
test_fires_agents_x_n if "agents.x.n" in ids({"n": 2})
test_quiet_agents_x_n if not "agents.x.n" in ids({"n": 1})
test_alone if not data.bywire.a
""",
    }
    ask = 'ask contains d if some d in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny\n'
    found = examine(Request(files(TOTAL + ALLOW + ask) | own))
    assert found.fit, found
    unproved = own | {"agents/x_test.rego": b"package bywire.agents_test.x\n"}
    assert examine(Request(files(TOTAL + ALLOW + ask) | unproved)).tests.unproved == ("agents.x.n",)


def test_names_of_tests_that_are_no_plain_names():
    proofs = PROOFS.replace("package bywire.a_test", 'package bywire.a_test["x-1"]')
    found = examine(Request(files(proofs=proofs)))
    assert found.fit
    assert found.tests.passed[0].startswith('data.bywire.a_test["x-1"].test_')


def opa(answers):
    """An OPA that answers what regorus does, with changes."""

    def evaluate(modules, data_json, packages):
        assert "a.rego" in modules
        assert json.loads(data_json) == {"bywire": {"table": {}}}
        (package,) = packages
        names = [name.rpartition(".")[2] for name in regotest.run(files()).passed]
        return {package: {**dict.fromkeys(names, True), **answers}}

    return evaluate


def test_opa_is_asked_the_same_and_may_not_differ():
    agreed = examine(Request(files()), opa({}))
    assert (agreed.opa.tests, agreed.opa.differing, agreed.fit) == (4, (), True)
    differing = examine(Request(files()), opa({"test_fires_a_go": "undefined"}))
    assert differing.opa.differing == ("data.bywire.a_test.test_fires_a_go: regorus says True, OPA undefined",)
    assert not differing.fit


def test_a_test_that_fails_here_and_passes_there_differs_too():
    proofs = PROOFS + "test_bad if 1 == 2\n"
    found = examine(Request(files(proofs=proofs)), opa({"test_bad": True}))
    assert found.opa.differing == ("data.bywire.a_test.test_bad: regorus says False, OPA True",)


def test_what_separates_two_bundles():
    before = examine(Request(files(t={"x": 1, "y": 2}, gone={"a": 1})))
    text = TOTAL + ALLOW.replace("input.go", 'input.go == "yes"') + f"new := {REASON % 'a.new'}\n"
    after = examine(Request(files(text, t={"x": 1, "y": 3, "z": 4}) | {"messages.json": b'{"a.go": {"says": "x"}}'}))
    found = compare(before, after)
    assert not found.same
    assert (found.rules.added, found.rules.removed, found.rules.changed) == (("a.new",), (), ("a.go",))
    assert found.definitions.added == ("bywire.a.new",)
    assert found.definitions.changed == ("bywire.a.decision",)
    assert (found.tables.added, found.tables.removed, found.tables.changed) == (("t.z",), ("gone.a",), ("t.y",))
    assert found.messages.added == ("a.go",)
    assert not found.entrypoints
    assert compare(before, before).same


def test_a_rule_that_only_moved_has_changed_place_and_not_meaning():
    moved = compare(examine(Request(files())), examine(Request(files("\n# why\n\n" + TOTAL + ALLOW))))
    assert not moved.definitions
    assert moved.rules.changed == ()


def test_which_recorded_decisions_would_change():
    questions = tuple(Question(ENTRY, {"go": go, "principal": {"id": "agent:x"}}) for go in (True, False))
    was = examine(Request(files(), questions=questions)).decisions
    strict = examine(Request(files(TOTAL), questions=questions)).decisions
    recorded = [(10 + number, was[number], question.input) for number, question in enumerate(questions)]
    (item,) = changed(recorded, strict)
    assert (item.entry, item.principal, item.was, item.would_be) == (10, "agent:x", "allow", "deny")
    assert (item.rules_were, item.rules_would_be) == (("a.go",), ("a.none",))
    assert changed(recorded, was) == ()
