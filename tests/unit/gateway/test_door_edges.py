"""The door with every port in memory: what it asks of each, what it writes down, and what it answers."""

import msgspec
import pytest
from door_doubles import ALLOW, RETREAT, World
from gateway_doubles import (
    AGENT,
    ALICE,
    ARTIFACT,
    LAST_GOOD,
    NOW,
    SECRET,
    WORKSPACE_KEY,
    ask,
    decision,
    row_of,
)

from bywire.gateway.contract import ContractError
from bywire.gateway.ports import INTENT_EXISTS, Debit, Miss
from bywire.gateway.sealing import open_parameters
from bywire.model.decision import Effect, Outcome, OutcomeStatus, Reason
from bywire.model.errors import ConflictError, EvidenceError, TargetError
from bywire.seal import jcs
from bywire.seal.dsse import unverified_statement

COMMITTED, DENIED, PENDING = OutcomeStatus.COMMITTED, OutcomeStatus.DENIED, OutcomeStatus.PENDING
DENY = decision(Effect.DENY)
ASKS = decision(Effect.APPROVAL_NEEDED, [{"kind": "approval", "roles": ["sre-oncall"], "count": 1, "tier": "high"}])
SCOPE = f"principal:{AGENT.id}"
LOGS = {"run_id": "1", "job_id": "j"}
RERUN = {"run_id": "77", "job_id": "tests", "failure_fingerprint": "f00"}
ABORT = {"deployment_id": ARTIFACT, "to": LAST_GOOD}


@pytest.fixture
def world():
    return World()


# --- the whole way ---


def test_rule_11_the_whole_way(world):
    outcome = world.note(change="dl-1", evidence=("e" * 64,))
    assert world.steps.seen == ["door.decided", "door.intent_committed", "door.executed", "door.outcome_recorded"]
    (intent,) = world.journal.intents
    digest = outcome.action_digest
    assert intent.key == f"{AGENT.id}|send_note|k1"
    assert (intent.action_digest, intent.principal, intent.tool) == (digest, AGENT.id, "send_note")
    assert (intent.service, intent.environment, intent.change) == ("storefront", "production", "dl-1")
    assert (intent.session_id, intent.integrity, intent.stop_epoch) == ("se-1", "trusted", 3)
    assert (intent.bundle_digest, intent.grant_id, intent.break_glass_id) == (ALLOW.bundle_digest, "", "")
    assert (intent.debits, intent.exposure_reducing, intent.grant_uses) == ((Debit(SCOPE, 50),), False, 1)
    assert (intent.now_ms, intent.deadline_ms, intent.precondition) == (NOW, NOW + 60_000, {"version": 7})
    assert (intent.decision, intent.sealed) == (ALLOW, b"")
    assert intent.request == {
        "parameters": {"text": "hello"},
        "evidence": ["e" * 64],
        "redacted": False,
        "asked": digest,
        "integrity": "trusted",
        "session": "se-1",
        "grant": "",
    }
    said = unverified_statement(intent.decision_envelope).predicate
    assert (said["intent"], said["input"]["action"]["digest"]) == (intent.key, digest)
    ((key, settled, statement, at_ms),) = world.journal.settled
    assert (key, at_ms, statement.predicate["intent"]) == (intent.key, NOW, intent.key)
    assert statement.predicate["observed"] == {"before": world.target.says, "after": world.target.says}
    assert statement.predicate["approval"] == {}
    assert (outcome.status, outcome.result, outcome.entry) == (COMMITTED, {"version": 8}, 40)
    assert msgspec.structs.replace(settled, entry=40) == outcome
    assert world.journal.records == []
    assert world.target.given == [(world_row(world), {"text": "hello"})]


def world_row(world):
    """The row as it was when its effect began."""
    (row,) = world.journal.rows.values()
    return msgspec.structs.replace(row, state="intended", outcome=None)


def test_a_deadline_is_the_contracts(world):
    world.call("deploy_release", {"artifact": ARTIFACT})
    assert world.journal.intents[0].deadline_ms == NOW + 120_000


def test_keeping_a_lease_uses_no_grant(world):
    world.call("renew_canary_lease", {"artifact": ARTIFACT, "lease_seconds": 30})
    assert world.journal.intents[0].grant_uses == 0


def test_rule_04_a_secret_is_kept_sealed(world):
    world.note(f"use {SECRET}")
    (intent,) = world.journal.intents
    assert intent.request["redacted"] is True
    assert intent.request["parameters"]["text"]["text"] == "use [github_token]"
    opened = open_parameters(intent.sealed, WORKSPACE_KEY, intent.key, intent.action_digest, NOW)
    assert opened == {"text": f"use {SECRET}"}
    assert world.target.given[0][1] == opened


def test_rule_04_what_was_decided_is_what_is_sent(world):
    held = []
    asking = world.door._entrance.ask  # only from inside can a request be reached that is already at the door

    def hold(token, request):
        held.append(asking(token, request))
        return held[0]

    world.door._entrance.ask = hold
    world.steps.hooks["door.decided"] = lambda: held[0].request.parameters.update(text="other")
    with pytest.raises(EvidenceError) as caught:
        world.note()
    assert caught.value.code == "action_changed"
    assert world.journal.intents == world.target.given == []


# --- what is not allowed ---


@pytest.mark.parametrize(
    ("answer", "tool", "values", "code"),
    [
        (DENY, "send_note", {"text": "x"}, None),
        (DENY, "rm_rf", {}, None),
        (ALLOW, "rm_rf", {}, None),
        (ASKS, "rm_rf", {}, None),
        (ALLOW, "toggle_feature_flag", {"flag": "f", "state": "on", "incident_id": "i"}, "executor_missing"),
        (decision(obligations=[{"kind": "watermark"}]), "send_note", {"text": "x"}, "obligation_unknown"),
        (decision(Effect.APPROVAL_NEEDED, [{"kind": "x"}]), "send_note", {"text": "x"}, "obligation_unknown"),
        (decision(Effect.SANITIZE), "send_note", {"text": "x"}, "sanitize_unstable"),
    ],
)
def test_a_denied_call_is_recorded_and_nothing_else(world, answer, tool, values, code):
    world.engine.answer = answer
    key = "" if tool == "toggle_feature_flag" else "k1"
    outcome = world.call(tool, values, key, change="dl-1")
    assert (outcome.status, outcome.decision, outcome.entry) == (DENIED, answer, 21)
    assert (outcome.error and outcome.error["code"]) == code
    ((kind, said, change, now_ms),) = world.journal.records
    assert (kind, change, now_ms) == ("decision", "dl-1", NOW)
    assert said["action"]["digest"] == outcome.action_digest
    assert world.journal.intents == world.target.given == world.approvals.packets == []
    assert world.steps.seen == ["door.decided"]


def test_what_nothing_carries_out_says_what_is_missing(world):
    error = world.call("toggle_feature_flag", {"flag": "f", "state": "on", "incident_id": "i"}, "").error
    assert set(error) == {"code", "message", "next_step"}
    assert "toggle_feature_flag: no flags is connected" in error["message"]


def test_a_dry_run_is_a_decision_and_no_effect(world):
    outcome = world.note(dry_run=True, change="dl-1")
    assert (outcome.status, outcome.result, outcome.entry) == (COMMITTED, {"dry_run": True}, 21)
    assert [record[0] for record in world.journal.records] == ["decision"]
    assert world.journal.records[0][2:] == ("dl-1", NOW)
    assert world.journal.intents == world.target.given == []


def test_a_dry_run_asks_nobody(world):
    world.engine.answer = ASKS
    outcome = world.note(dry_run=True)
    assert (outcome.status, outcome.approval_id, outcome.entry) == (PENDING, "", 21)
    assert world.approvals.packets == []
    assert [record[0] for record in world.journal.records] == ["decision"]


# --- waiting for a person ---


def test_rule_18_a_person_is_asked_once(world):
    world.engine.answer = ASKS
    first = world.note(change="dl-1")
    (packet,) = world.approvals.packets
    assert (first.status, first.approval_id, first.entry) == (PENDING, packet.id, 61)
    assert packet.action_digest == first.action_digest
    ((kind, said, change, now_ms),) = world.journal.records
    assert (kind, said["decision"]["effect"], change, now_ms) == ("decision", "approval_needed", "dl-1", NOW)
    assert world.steps.seen == ["door.decided", "door.pending"]
    again = world.note(change="dl-1")
    assert (again.status, again.approval_id, again.entry) == (PENDING, packet.id, -1)
    assert len(world.approvals.packets) == len(world.journal.records) == 1


def test_rule_12_who_comes_back_is_decided_anew_and_told_the_recorded_decision_that_says_the_same(world):
    world.engine.answer = ASKS
    first = world.note()
    world.engine.answer = msgspec.structs.replace(ASKS, id="de-2", input_digest="e" * 64)
    assert world.note().decision == first.decision == ASKS
    assert len(world.engine.asked) == 2
    world.engine.answer = msgspec.structs.replace(ASKS, id="de-3", effect=Effect.DENY)
    assert world.note().decision.id == "de-3"


def test_rule_07_an_answer_that_says_something_else_is_recorded_before_it_is_named(world):
    world.engine.answer = ASKS
    first = world.note()
    other = msgspec.structs.replace(ASKS, id="de-2", reasons=(Reason("quorum", {"missing": 1}),))
    for world.engine.answer in (other, msgspec.structs.replace(other, id="de-3")):
        again = world.note()
        assert (again.approval_id, again.decision) == (first.approval_id, other)
    assert [said["decision"]["id"] for _, said, _, _ in world.journal.records] == ["de-1", "de-2"]
    assert len(world.approvals.packets) == 1


def test_rule_18_another_policy_asks_people_anew(world):
    world.engine.answer = ASKS
    first = world.note()
    world.engine.answer = msgspec.structs.replace(ASKS, id="de-2", bundle_digest="9" * 64)
    again = world.note()
    assert again.approval_id != first.approval_id
    assert [said["decision"]["id"] for _, said, _, _ in world.journal.records] == ["de-1", "de-2"]


def granted(world, tool="send_note", values=None, **changes):
    """A call that was asked about and approved, and is allowed now."""
    world.engine.answer = ASKS
    world.call(tool, values or {"text": "hello"}, **changes)
    world.approvals.approve(world.approvals.packets[0])
    world.engine.answer = ALLOW
    return world.approvals.packets[0].id


def test_who_waits_for_the_hour_alone_is_told_one_recorded_decision(world):
    approval = granted(world)
    late = msgspec.structs.replace(ASKS, id="late-1", reasons=(Reason("approval.outside_window", {}),))
    for world.engine.answer in (late, msgspec.structs.replace(late, id="late-2")):
        outcome = world.note()
        assert (outcome.status, outcome.approval_id, outcome.decision) == (PENDING, approval, late)
    assert [said["decision"]["id"] for _, said, _, _ in world.journal.records] == ["de-1", "late-1"]
    assert len(world.approvals.packets) == 1


def test_rule_18_a_grant_is_consumed_and_named(world):
    approval = granted(world)
    assert world.note().status is COMMITTED
    (intent,) = world.journal.intents
    assert intent.grant_id == intent.request["grant"] == approval
    said = world.journal.settled[0][2].predicate["approval"]
    assert said == {"approver": ALICE, "reason": "looked at it", "id": approval}


def test_rule_09_broken_glass_is_used_in_place_of_a_grant(world):
    granted(world)
    world.engine.answer = decision(obligations=[{"kind": "tier", "id": "x"}, {"kind": "break_glass", "id": "bg-1"}])
    world.note()
    (intent,) = world.journal.intents
    assert (intent.break_glass_id, intent.grant_id, intent.request["grant"]) == ("bg-1", "", "")


@pytest.mark.parametrize("retreat", [RETREAT, None])
def test_rule_16_the_authorised_retreat_is_free_and_another_is_not(world, retreat):
    world.facts.retreat = retreat
    approval = granted(world, "rollback_release", {"to": LAST_GOOD})
    world.call("rollback_release", {"to": LAST_GOOD})
    (intent,) = world.journal.intents
    free = retreat is not None
    assert intent.exposure_reducing is free
    assert intent.grant_id == ("" if free else approval)
    assert intent.debits == (() if free else (Debit(SCOPE, 50),))


# --- between the decision and the effect ---


def test_rule_24_what_nobody_outside_has_seen_exposes_nothing(world):
    world.standing.unseen = {"behind": 2_000}
    outcome = world.note(change="dl-1")
    assert [reason.rule for reason in outcome.decision.reasons] == ["state.witness_overdue"]
    assert world.journal.intents == world.target.given == []
    assert world.call("rollback_release", {"to": LAST_GOOD}).status is COMMITTED


def test_rule_11_a_miss_is_a_denial_that_is_recorded(world):
    world.journal.misses = Miss("state.stopped", {"epoch": 4})
    world.steps.hooks["door.decided"] = lambda: setattr(world.clock, "now", NOW + 5)
    outcome = world.note(change="dl-1")
    assert (outcome.status, outcome.error, outcome.entry) == (DENIED, {"code": "state.stopped"}, 22)
    (reason,) = outcome.decision.reasons
    assert (reason.rule, reason.hard, reason.facts["epoch"]) == ("state.stopped", True, 4)
    assert "stopped" in reason.facts["message"]
    assert outcome.decision.effect is Effect.DENY
    decided, ended = world.journal.records
    assert (decided[0], decided[1]["decision"]["effect"], *decided[2:]) == ("decision", "allow", "dl-1", NOW)
    assert (ended[0], ended[1]["status"], *ended[2:]) == ("outcome", "denied", "dl-1", NOW + 5)
    assert (ended[1]["intent"], ended[1]["observed"]) == (f"{AGENT.id}|send_note|k1", {"miss": {"epoch": 4}})
    assert ended[1]["approval"] == {}
    assert world.steps.seen == ["door.decided"]
    assert world.target.given == []


def test_rule_12_who_comes_second_is_told_how_the_first_ended(world):
    done = Outcome(COMMITTED, "", ALLOW, result={"version": 9}, entry=7)

    world.journal.race = lambda intent: row_of(key=intent.key, action_digest=intent.action_digest, outcome=done)
    world.journal.misses = Miss(INTENT_EXISTS, {"key": "k"})
    outcome = world.note()
    assert outcome == msgspec.structs.replace(done, replayed=True)
    assert world.journal.records == world.target.given == []


def test_a_miss_of_another_rule_is_no_repetition(world):
    world.journal.race = lambda intent: row_of(key=intent.key, action_digest=intent.action_digest)
    world.journal.misses = Miss("state.fenced", {})
    assert world.note().error == {"code": "state.fenced"}


# --- the same key again ---


def test_rule_12_the_same_call_is_answered_from_the_record(world):
    first = world.note()
    again = world.note()
    assert again == msgspec.structs.replace(first, replayed=True)
    assert len(world.engine.asked) == len(world.target.given) == 1
    with pytest.raises(ConflictError) as caught:
        world.note("other")
    assert caught.value.code == "idempotency_conflict"
    assert caught.value.next_step


def test_rule_12_what_is_in_flight_is_unknown(world):
    inside = []
    world.steps.hooks["door.executed"] = lambda: inside.append(world.note())
    world.note()
    (outcome,) = inside
    assert (outcome.status, outcome.replayed, outcome.decision) == (OutcomeStatus.UNKNOWN, False, ALLOW)


def test_rule_12_a_sanitized_call_repeats_as_it_was_asked(world):
    wants = decision(Effect.SANITIZE, [{"kind": "replace", "parameter": "text", "value": "less"}])
    world.engine.answer = lambda question: wants if question["action"]["parameters"]["text"] == "hello" else ALLOW
    first = world.note()
    assert world.target.given[0][1] == {"text": "less"}
    again = world.note()
    assert (again.replayed, again.action_digest) == (True, first.action_digest)
    assert world.note("less").replayed


def aborted(world):
    world.target.says = {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}
    return world.call("abort_canary", ABORT, "")


def test_rule_16_a_retreat_is_repeated_while_it_holds_and_made_anew_when_it_does_not(world):
    assert aborted(world).entry == 40
    assert aborted(world).replayed
    world.target.says = {"version": 9, "stable": LAST_GOOD, "canary": ARTIFACT, "weight": 5}
    again = world.call("abort_canary", ABORT, "")
    assert not again.replayed
    keys = [intent.key for intent in world.journal.intents]
    assert keys == [keys[0], f"{keys[0]}+40"]
    assert keys[0] == f"{AGENT.id}|abort_canary|abort-canary:{ARTIFACT}:{LAST_GOOD}"


def test_rule_16_a_retreat_that_failed_is_made_anew_and_a_write_is_not(world):
    world.target.answer = TargetError("busy", code="busy")
    world.target.says = {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}
    assert world.call("abort_canary", ABORT, "").status is OutcomeStatus.FAILED
    assert world.note().status is OutcomeStatus.FAILED
    assert world.call("rollback_release", {"to": LAST_GOOD}, "b").status is OutcomeStatus.FAILED
    world.target.answer = {}
    assert world.call("abort_canary", ABORT, "").status is COMMITTED
    assert world.note().replayed
    assert world.call("rollback_release", {"to": LAST_GOOD}, "b").replayed


def test_rule_16_a_retreat_of_which_nothing_is_known_is_not_sent_twice(world):
    world.target.answer = TimeoutError("silence")
    world.target.says = {"canary": ARTIFACT}
    assert world.call("abort_canary", ABORT, "").status is OutcomeStatus.UNKNOWN
    again = world.call("abort_canary", ABORT, "")
    assert (again.status, len(world.journal.intents)) == (OutcomeStatus.UNKNOWN, 1)


def test_a_write_with_a_derived_key_is_not_made_anew(world):
    world.target.says = {"version": 7, "canary": ARTIFACT, "weight": 25}
    promote = {"deployment_id": ARTIFACT, "target_percentage": 25, "evidence_hash": "e" * 64}
    assert world.call("promote_canary", promote, "").status is COMMITTED
    world.target.says = {"version": 8, "canary": ARTIFACT, "weight": 100}
    assert world.call("promote_canary", promote, "").replayed


# --- reads ---


def test_a_read_is_noted_and_answered(world):
    outcome = world.call("get_deployment_status", {}, "")
    assert (outcome.status, outcome.result, outcome.entry) == (COMMITTED, {"version": 8}, -1)
    ((document, now_ms),) = world.journal.reads
    assert now_ms == NOW
    assert document == {"decision": ALLOW, "input": world.engine.asked[0]}
    assert world.journal.records == world.journal.intents == world.steps.seen == []
    assert world.state.tainted == []


@pytest.mark.parametrize(
    ("answer", "code"), [(DENY, None), (decision(obligations=[{"kind": "x"}]), "obligation_unknown"), (ASKS, None)]
)
def test_a_read_that_is_not_allowed_reads_nothing(world, answer, code):
    world.engine.answer = answer
    outcome = world.call("get_job_logs", LOGS, "")
    assert (outcome.status, outcome.decision) == (DENIED, answer)
    assert (outcome.error and outcome.error["code"]) == code
    assert world.ci.given == world.state.tainted == []
    assert len(world.journal.reads) == 1


def test_a_read_that_nobody_answers_is_refused(world):
    del world.executors["ci"]
    outcome = world.call("get_job_logs", LOGS, "")
    assert (outcome.status, outcome.error["code"]) == (DENIED, "executor_missing")
    assert world.state.tainted == []


# --- rule 22 ---


def test_rule_22_a_session_is_tainted_before_it_hears_somebody_elses_words(world):
    heard = []
    world.ci.read_with = lambda tool, values, credential: heard.append(tuple(world.state.tainted)) or {}
    world.call("get_job_logs", LOGS, "")
    assert heard == [("se-1",)]
    world.ci.execute_with = lambda row, values, credential: heard.append(tuple(world.state.tainted)) or {}
    world.call("rerun_job", RERUN, "")
    world.call("rerun_job", RERUN, "")
    assert heard[1] == ("se-1", "se-1")
    assert world.state.tainted == ["se-1"] * 3


def test_rule_22_a_tainted_session_is_not_tainted_again_and_our_words_taint_nobody(world):
    world.note()
    world.call("get_deployment_status", {}, "")
    assert world.state.tainted == []
    session = msgspec.structs.replace(world.state.snap.session, integrity="tainted")
    world.state.snap = msgspec.structs.replace(world.state.snap, session=session)
    world.call("get_job_logs", LOGS, "")
    assert world.state.tainted == []


# --- advice ---


@pytest.mark.parametrize("answer", [ALLOW, DENY, ASKS])
def test_rule_10_advice_is_recorded_and_authorises_nothing(world, answer):
    world.engine.answer = answer
    advised = world.door.advise("1", ask("send_note", {"text": "hello"}, change="dl-1"))
    revision = jcs.digest(
        [answer.bundle_digest, msgspec.to_builtins(world.state.snap), world.target.says],
    )
    said = {"effect": str(answer.effect), "revision": revision, "authorises": False}
    assert (advised.status, advised.decision, advised.error) == (OutcomeStatus.ADVISED, answer, None)
    assert (advised.result, advised.entry) == (said, 0)
    decided = {"decision": msgspec.to_builtins(answer), "input": world.engine.asked[-1]}
    document = {**said, **decided, "action": advised.action_digest}
    assert world.journal.documents == [("advised", document, "dl-1", NOW)]
    assert world.journal.intents == world.approvals.packets == world.target.given == world.steps.seen == []


def test_rule_10_advice_on_a_read_is_asked_as_a_read(world):
    world.door.advise("1", ask("get_deployment_status", {}, ""))
    world.door.advise("1", ask("send_note", {"text": "x"}))
    assert [question["retreat"] for question in world.engine.asked] == [None, RETREAT]
    assert world.door.advise("1", ask("rm_rf", {})).status is OutcomeStatus.ADVISED


def test_rule_10_advice_names_what_is_wrong_with_the_answer(world):
    world.engine.answer = decision(obligations=[{"kind": "watermark"}])
    assert world.door.advise("1", ask("send_note", {"text": "x"})).error["code"] == "obligation_unknown"


# --- what recovery needs ---


def test_a_tool_that_is_gone_is_not_carried_out(world):
    with pytest.raises(ContractError) as caught:
        world.door.carry_out(row_of(tool="gone"), {}, {}, None)
    assert caught.value.next_step
    assert world.target.given == []


def test_a_tool_that_is_gone_may_still_be_settled(world):
    row = row_of(tool="gone")
    done = Outcome(OutcomeStatus.FAILED, row.action_digest, row.decision)
    assert world.door.settle(row, done, {"v": 1}, None).entry == 40
    assert world.journal.settled[0][2].predicate["observed"] == {"before": {"v": 1}, "after": {}}
    assert world.steps.seen == ["door.outcome_recorded"]


def test_of_a_recovered_call_the_targets_own_record_counts(world):
    row = row_of()
    done = Outcome(COMMITTED, row.action_digest, row.decision)
    gone = ("artifact_is_canary",)
    settled = world.door.settle(row, done, {"recovered": "asked the target"}, None)
    assert (settled.status, settled.unverified) == (COMMITTED, gone)
    settled = world.door.settle(row, done, {"version": 7}, None)
    assert (settled.status, settled.unverified) == (OutcomeStatus.UNKNOWN, gone)


def test_rule_04_what_is_sent_again(world):
    plain = row_of(ask("send_note", {"text": "hello"}))
    assert world.door.raw_parameters(plain) == {"text": "hello"}
    secret = row_of(ask("send_note", {"text": SECRET}))
    assert world.door.raw_parameters(secret) is None
    world.note(SECRET)
    (row,) = world.journal.rows.values()
    assert world.door.raw_parameters(row) == {"text": SECRET}
    with pytest.raises(EvidenceError):
        world.door.raw_parameters(msgspec.structs.replace(row, key="another"))


def test_rule_04_a_row_is_believed_when_this_door_decided_it(world):
    world.note()
    (row,) = world.journal.rows.values()
    assert world.door.was_decided(row) is True
    assert world.door.was_decided(msgspec.structs.replace(row, principal="agent:coder")) is False
    assert world.door.was_decided(row_of(key="never")) is False


def test_what_recovery_asks_of_the_state_and_the_redactor(world):
    assert world.door.frozen() is False
    world.state.is_frozen = True
    assert world.door.frozen() is True
    assert world.door.redacted({"note": SECRET})["note"]["text"] == "[github_token]"
