"""What masking did is told alike at every door: in the span, the log record, the metrics and the recorded decision, as
kinds and counts, and never as a value."""

import json
import re

import msgspec
import pytest
from abuse_world import AGENT, WITHIN, abused
from telemetry_world import lines_of, plain, told_to, until

from bywire.adapters.sqlite_ledger import open_reader
from bywire.ledger.entry import parse_leaf
from bywire.seal.dsse import unverified_statement
from bywire.wiring.workspace import DATABASE_FILE

ANA, BO, TOKEN = "ana@example.com", "bo@example.org", "ghp_" + "a1B2c3D4e5" * 3 + "a1B2c3"
NOTE = f"tell {ANA} and {BO}"
SAYS = f"done by {ANA} with {TOKEN}"
SURFACES = ("mcp", "http", "sdk_call", "sdk_governed")
CHANGED = {
    "bywire.policy.result": "sanitize",
    "bywire.sanitize.effect_before": "sanitize",
    "bywire.sanitize.effect_after": "allow",
    "bywire.redacted.request.email": 2,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with abused(tmp_path_factory.mktemp("masked") / "scene", SAYS) as made:
        yield made


def told_of(found, **wanted):
    return [one for one in found if one.items() >= wanted.items()]


def redactions(text):
    return {
        (kind, direction): float(count)
        for direction, kind, count in re.findall(
            r'^bywire_redactions_total\{direction="(\w+)",kind="(\w+)"\} (\S+)$', text, re.MULTILINE
        )
    }


@pytest.mark.parametrize("surface", SURFACES)
def test_rule_06_a_masked_action_leaves_the_same_record_at_every_door(world, surface):
    run, before = f"masked-{surface}", redactions(world.get("/metrics").text)
    assert world.attempt(surface, "deploy", WITHIN["deploy"] | {"note": NOTE}, run=run, key=run).done
    spans = until(lambda: told_of(map(plain, world.collector.spans), **{"bywire.run": run, **CHANGED}))
    assert len(spans) == 1, "what was permitted is masked once, and its report masks nothing"
    (span,) = spans
    assert {name for name in span if "redacted.request" in name} == {"bywire.redacted.request.email"}
    shown = world.get(f"/v1/decisions/{span['bywire.decision.id']}").json()
    assert shown["decision"]["effect"] == span["bywire.sanitize.effect_after"]
    sanitized = shown["sanitized"]
    assert (sanitized["before"], sanitized["masked"], sanitized["replaced"]) == ("sanitize", {"email": 2}, 0)
    assert sanitized["decision_id"] != shown["decision"]["id"]
    assert shown["input"]["action"]["parameters"]["note"] == "tell [email] and [email]"
    logs = until(lambda: told_of(map(plain, world.collector.logs), **{"bywire.run": run, **CHANGED}))
    assert logs[0].items() >= {k: v for k, v in span.items() if k.startswith(("bywire.sanitize", "bywire.red"))}.items()
    after = redactions(world.get("/metrics").text)
    assert after["email", "request"] - before.get(("email", "request"), 0) == 2
    if surface != "sdk_governed":  # there the agent's own program answered
        assert span["bywire.redacted.response.email"] == span["bywire.redacted.response.github_token"] >= 1
        assert after["github_token", "response"] - before.get(("github_token", "response"), 0) >= 1
    everything = b"".join(world.collector.raw).decode("utf-8", "replace")
    assert [value for value in (ANA, BO, TOKEN) if value in everything] == []


@pytest.mark.parametrize("surface", SURFACES)
def test_an_answer_from_the_record_masks_nothing_again(world, surface):
    run = f"again-{surface}"
    for _ in range(2):
        assert world.attempt(surface, "deploy", WITHIN["deploy"] | {"note": NOTE}, run=run, key=run).done
    ends = 3 if surface == "sdk_governed" else 2
    spans = until(
        lambda: (
            (found := told_of(map(plain, world.collector.spans), **{"bywire.run": run}))
            and len(found) >= ends
            and found
        )
    )
    assert {one["bywire.policy.result"] for one in spans} == {"sanitize"}
    assert len([one for one in spans if "bywire.redacted.request.email" in one]) == 1


def test_a_mark_that_the_caller_wrote_is_no_redaction(world):
    run = "forged"
    said = world.attempt("http", "deploy", WITHIN["deploy"] | {"note": "tell [email] and [github_token]"}, run=run)
    assert said.done
    (span,) = until(lambda: told_of(map(plain, world.collector.spans), **{"bywire.run": run}))
    assert span["bywire.policy.result"] == "allow"
    assert [name for name in span if "sanitize" in name or "redacted.request" in name] == []


def test_what_a_person_agreed_to_in_its_masked_form_says_so(world):
    values, run = WITHIN["deploy"] | {"env": "production", "note": NOTE}, "agreed-masked"
    asked = world.attempt("http", "deploy", values, run=run, key=run)
    assert asked.payload["effect"] == "approval_needed"
    assert world.scene.approve(asked.payload["approval"]["id"]).code == 0
    assert world.attempt("http", "deploy", values, run=run, key=run).done
    wanted = {"bywire.run": run, "bywire.status": "committed"}
    (span,) = until(lambda: told_of(map(plain, world.collector.spans), **wanted))
    assert span["bywire.policy.result"] == "sanitize"
    assert span["bywire.sanitize.effect_before"] == "approval_needed"
    assert span["bywire.sanitize.effect_after"] == "allow"
    (waits,) = told_of(map(plain, world.collector.spans), **{"bywire.run": run, "bywire.status": "pending"})
    assert waits["bywire.policy.result"] == "approval_needed"


def test_the_operator_sees_it_in_explain_and_the_outcome_in_the_log(world):
    run = "explained"
    assert world.attempt("http", "deploy", WITHIN["deploy"] | {"note": NOTE}, run=run, key=run).done
    (span,) = until(lambda: told_of(map(plain, world.collector.spans), **{"bywire.run": run}))
    said = world.scene.bywire("explain", span["bywire.decision.id"])
    assert "before     sanitize, decision " in said.out
    assert "; 2 email taken out" in said.out
    found = json.loads(world.scene.bywire("explain", span["bywire.decision.id"], "--json").out)
    assert found["sanitized"]["masked"] == {"email": 2}
    assert world.scene.bywire("audit", "verify").code == 0
    assert world.scene.bywire("audit", "replay").code == 0


def test_decisions_are_counted_by_what_was_decided(world):
    text = world.get("/metrics").text
    effects = set(re.findall(r'^bywire_calls_total\{.*?effect="(\w+)"', text, re.MULTILINE))
    assert effects >= {"allow", "sanitize"}
    assert f'bywire_agent_calls_total{{agent="{AGENT}",effect="sanitize"}}' in text


def test_advice_and_denials_count_no_redaction_and_the_line_says_the_same(tmp_path):
    file = tmp_path / "calls.jsonl"
    telemetry = {"json_log": {"file": str(file)}, "metrics": {"open": True}}
    with told_to(tmp_path / "s", telemetry) as gateway:
        ask = {"tool": "shop.restart", "parameters": {"job": ANA}, "key": "a"}
        assert gateway.post("/v1/advise", ask).json["effect"] == "sanitize"
        assert redactions(gateway.send("GET", "/metrics", token="").body.decode()) == {}
        assert gateway.post("/v1/permit", ask).json["parameters"] == {"job": "[email]"}
        assert redactions(gateway.send("GET", "/metrics", token="").body.decode()) == {("email", "request"): 1}
        report = {"intent": "agent:fixer|shop.restart|a", "status": "committed", "result": {"said": SAYS}}
        assert gateway.post("/v1/report", report).status == 200
        lines = until(lambda: (found := lines_of(file)) and len(found) == 3 and found)
        advised, permitted, reported = lines
        assert {advised["effect"], permitted["effect"], reported["effect"]} == {"sanitize"}
        assert permitted["redacted_request"] == {"email": 1}
        assert (permitted["effect_before"], permitted["effect_after"]) == ("sanitize", "allow")
        assert "redacted_request" not in reported
        assert reported["redacted_response"] == {"email": 1, "github_token": 1}
        assert ANA not in file.read_text()
        workspace = gateway.gateway.workspace
        row = workspace.journal.find(report["intent"])
        assert (row.sanitized.masked, row.outcome.redacted) == ({"email": 1}, {"email": 1, "github_token": 1})
        assert said_in_the_log(workspace, permitted["decision_id"]) == [
            ("decision", {"before": "sanitize", "masked": {"email": 1}, "replaced": 0}),
            ("outcome", {"email": 1, "github_token": 1}),
        ]
        # A row that somebody changed says nothing, and breaks nothing.
        for wrong in ({"masked": {"email": "many"}}, "x", 7, []):
            assert msgspec.structs.replace(row, request={**row.request, "sanitized": wrong}).sanitized is None


def said_in_the_log(workspace, decision):
    """What the signed statements about one decision say of masking, in their order."""
    reader, found = open_reader(workspace.directory.path / DATABASE_FILE), []
    try:
        for _, leaf, content in reader.rows(0):
            kind = parse_leaf(leaf).kind
            said = unverified_statement(content).predicate if kind in {"decision", "outcome"} else {}
            if kind == "decision" and said["decision"]["id"] == decision:
                plain = said["sanitized"]
                found.append((kind, {name: plain[name] for name in ("before", "masked", "replaced")}))
            elif kind == "outcome" and said["decision"] == decision:
                found.append((kind, said["redacted"]))
    finally:
        reader.close()
    return found
