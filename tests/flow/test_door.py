"""One action through the door, on real stores: nothing happens without a decision and a durable intent before it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from door_world import (
    ALICE,
    BUNDLE,
    CONTROLLER,
    LAST_GOOD,
    NOW,
    OPERATOR,
    PLAN,
    PLAN_DIGEST,
    RESPONDER,
    TRUST,
    ApprovalEngine,
    World,
    ask,
)

from bywire.adapters.knowledge_base import shipped_policy
from bywire.gateway.contract import ContractError
from bywire.identity.registration import built_in
from bywire.identity.session import session_token
from bywire.model.decision import Effect, OutcomeStatus
from bywire.model.errors import BywireError, ConflictError, EvidenceError, TargetError
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine

COMMITTED, FAILED, UNKNOWN = OutcomeStatus.COMMITTED, OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN
DENIED, PENDING = OutcomeStatus.DENIED, OutcomeStatus.PENDING
SECRET = "ghp_" + "a1B2" * 9


@pytest.fixture
def world(tmp_path):
    opened = World(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def asking(tmp_path):
    """A world whose policy wants an approval for every write."""
    opened = World(tmp_path, engine=ApprovalEngine())
    yield opened
    opened.close()


def denied(world, outcome, rule, entries=1):
    assert outcome.status is DENIED
    assert [reason.rule for reason in outcome.decision.reasons] == [rule]
    assert world.target.effects == []
    assert world.intents() == {}
    assert outcome.entry >= 0


def taint(world, run="run-1"):
    world.change("UPDATE sessions SET integrity = 'tainted' WHERE run = ?", run)


def approved(world, tool="set_canary_weight", key="k1", **changes):
    pending = world.call(tool, key, **changes)
    assert pending.status is PENDING
    world.approve(pending.approval_id)
    return pending.approval_id


# --- the order of the steps ---


def test_rule_11_an_allowed_action_is_decided_journalled_executed_and_recorded(world):
    outcome = world.call()
    assert outcome.status is COMMITTED
    assert outcome.result == {"version": 8, "said": ""}
    assert world.steps.seen == ["door.decided", "door.intent_committed", "door.executed", "door.outcome_recorded"]
    assert [leaf["kind"] for leaf in world.entries()] == ["decision", "intent", "outcome"]
    assert world.intents() == {f"{CONTROLLER}|set_canary_weight|k1": "committed"}
    ((row, values),) = world.target.effects
    assert values == {"artifact": "a" * 64, "weight": 5, "segments": [], "lease_seconds": 30}
    assert row.precondition == {"version": 7}
    assert row.deadline_ms == NOW + 60_000
    assert world.verify().ok


def test_rule_07_the_decision_is_logged_with_its_whole_input(world):
    outcome = world.call()
    (said,) = world.predicates("decision")
    assert said["decision"]["id"] == outcome.decision.id
    assert said["input"] == msgspec.json.decode(msgspec.json.encode(world.engine.asked[0]))
    assert said["action"]["digest"] == outcome.action_digest == said["input"]["action"]["digest"]
    state = said["input"]["state"]
    assert state["budget"] == {"observed": 0, "limit": OPERATOR.limits.actions_per_hour}
    assert state["session"] == {"integrity": "trusted"}
    assert state["bundle_digest"] == BUNDLE


def test_rule_15_an_outcome_records_the_target_before_and_after(world):
    world.steps.hooks["door.executed"] = lambda: setattr(world.target, "observing", {"version": 8})
    world.call()
    (said,) = world.predicates("outcome")
    assert (said["observed"]["before"]["version"], said["observed"]["after"]["version"]) == (7, 8)


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.SANITIZE, Effect.APPROVAL_NEEDED])
def test_what_is_not_allowed_is_never_executed(world, effect):
    world.engine.effect = effect
    outcome = world.call()
    assert outcome.status is (PENDING if effect is Effect.APPROVAL_NEEDED else DENIED)
    assert world.target.effects == []
    assert world.intents() == {}
    assert len(world.predicates("decision")) == 1
    assert world.rows("SELECT * FROM usage") == []


@pytest.mark.parametrize("effect", list(Effect))
def test_a_dry_run_is_never_executed_and_leaves_nothing_to_approve(world, effect):
    world.engine.effect = effect
    outcome = world.call(dry_run=True)
    assert world.target.effects == []
    assert world.intents() == {}
    assert world.rows("SELECT * FROM approvals") == []
    assert outcome.status is {Effect.ALLOW: COMMITTED, Effect.APPROVAL_NEEDED: PENDING}.get(effect, DENIED)
    assert world.engine.asked[0]["action"]["dry_run"] is True


def test_a_tool_without_a_contract_is_asked_of_the_policy_and_never_executed(world):
    for effect in Effect:
        world.engine.effect = effect
        assert world.call("rm_rf", key=str(effect)).status is DENIED
    assert world.target.effects == []
    assert world.engine.asked[0]["action"]["category"] == "unknown"


def test_the_shipped_policy_lets_a_read_pass_and_denies_a_write_without_evidence(world):
    bundle = parse_bundle(shipped_policy())
    world.activate(bundle.digest, 2)
    world.engine = PolicyEngine(bundle)
    trust = msgspec.structs.replace(
        TRUST,
        keys=tuple(
            msgspec.structs.replace(key, owner="" if "person" in key.principal else "person:dana") for key in TRUST.keys
        ),
    )
    world.trust = trust
    world.door = world.make_door(trust=lambda: trust)
    world.standing.registrations = {item.principal: item for item in built_in("person:dana", "production")}
    assert world.call("get_deployment_status").status is COMMITTED
    outcome = world.call()
    assert outcome.status is DENIED
    rules = {reason.rule for reason in outcome.decision.reasons}
    assert "vsa.missing" in rules
    assert not rules & {"engine.error", "state.budget_exhausted"}


# --- who asks ---


@pytest.mark.parametrize(
    "token", ["", "se-1.x", session_token("se-unknown", b"w" * 32), session_token("se-1", b"x" * 32)]
)
def test_who_has_no_session_is_not_heard(world, token):
    with pytest.raises(EvidenceError) as caught:
        world.door.call(token, ask())
    assert caught.value.code == "session_refused"
    assert world.engine.asked == []


def test_a_revoked_session_is_over_at_once(world):
    token = world.token()
    assert world.call(token=token).status is COMMITTED
    world.change("UPDATE sessions SET revoked = 1")
    with pytest.raises(EvidenceError):
        world.call(token=token, key="k2")
    with pytest.raises(EvidenceError):
        world.call("get_deployment_status", token=token)


def test_rule_22_a_new_session_of_a_tainted_run_is_tainted(world):
    first = world.token(nonce="one")
    world.state.taint(first.rpartition(".")[0])
    world.call(token=world.token(nonce="two"))
    world.call(token=world.token(nonce="three", run="run-2"), key="k2")
    seen = [question["state"]["session"]["integrity"] for question in world.engine.asked]
    assert seen == ["tainted", "trusted"]


# --- what is asked ---


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "non-production"},
        {"environment": "staging"},
        {"service": "another"},
        {"service": ""},
        {"environment": ""},
    ],
)
def test_rule_01_a_caller_does_not_choose_which_service_or_environment_is_judged(world, changes):
    with pytest.raises(ContractError):
        world.call(**changes)
    assert world.engine.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {}},
        {"weight": 101},
        {"extra": 1},
        {"parameters": {"text": "x" * 70_000}},
        {"evidence": ("x",)},
        {"evidence": ("a" * 64,) * 257},
        {"plan": "not a digest"},
        {"change": "two words"},
        {"change": "x" * 200},
        {"key": ""},
        {"key": "x" * 257},
        {"key": "line\nbreak"},
        {"key": SECRET},
        {"change": SECRET},
        {"tool": "t" * 200},
        {"tool": "unknown", "parameters": {"text": ["x"] * 40_000}},
        {"tool": "unknown", "parameters": {"password=hunter2hunter2": "\ud800"}},
    ],
)
def test_a_call_out_of_bounds_is_refused_before_it_is_decided(world, changes):
    with pytest.raises(BywireError) as caught:
        world.call(**changes)
    assert caught.value.code in {"contract_violated", "not_canonical"}
    assert caught.value.next_step
    assert world.engine.asked == []
    assert world.entries() == []


def test_rule_04_what_was_decided_is_what_is_executed(world):
    request = ask()
    world.steps.hooks["door.decided"] = lambda: request.parameters.update(weight=99)
    world.steps.hooks["door.intent_committed"] = lambda: request.parameters.update(weight=100, segments=["all"])
    assert world.door.call(world.token(), request).status is COMMITTED
    ((_, values),) = world.target.effects
    assert (values["weight"], values["segments"]) == (5, [])


def test_rule_04_no_secret_reaches_the_disk(world):
    world.target.known["note"] = f"token={SECRET}"
    world.target.observing = {"version": 7, "env": {"url": f"redis://:{SECRET}@cache"}}
    outcome = world.call("send_note", text=f"use {SECRET} now")
    assert outcome.result["said"]["text"] == "use [github_token] now"
    ((_, values),) = world.target.effects
    assert values["text"] == f"use {SECRET} now"
    world.call("get_deployment_status")
    world.target.raises = TargetError(f"refused: {SECRET}", next_step=f"try {SECRET}")
    assert SECRET not in str(world.call("send_note", key="k2", text=SECRET))
    world.target.raises = TimeoutError(f"no answer from https://x:{SECRET}@host")
    assert SECRET not in str(world.call("send_note", key="k3", text=SECRET))
    world.engine.effect = Effect.APPROVAL_NEEDED
    world.call("send_note", key="k4", text=f"again {SECRET}")
    world.engine.effect = Effect.DENY
    world.call("send_note", key="k5", text=f"again {SECRET}")
    world.call("unknown_tool", key="k6", text=SECRET)
    world.close()
    kept = b"".join(path.read_bytes() for path in world.path.parent.iterdir() if path.is_file())
    assert len(kept) > 10_000
    for form in (SECRET, SECRET[4:], SECRET.encode().hex()):
        assert form.encode() not in kept


# --- the same key again ---


def test_rule_12_a_repeated_call_gets_the_recorded_outcome_and_no_second_effect(world):
    first = world.call()
    again = world.call()
    assert again == msgspec.structs.replace(first, replayed=True)
    assert len(world.target.effects) == 1
    assert len(world.engine.asked) == 1


def test_rule_12_a_key_used_for_another_action_is_a_conflict(world):
    world.call()
    with pytest.raises(ConflictError) as caught:
        world.call(weight=50)
    assert caught.value.code == "idempotency_conflict"
    assert len(world.target.effects) == 1


def test_rule_12_keys_belong_to_principal_and_tool(world):
    world.call()
    world.call(principal=RESPONDER)
    world.call("renew_canary_lease")
    assert len(world.target.effects) == 3


def test_rule_12_deny_and_pending_are_never_cached(world):
    for effect in (Effect.DENY, Effect.APPROVAL_NEEDED):
        world.engine.effect = effect
        world.call()
    world.engine.effect = Effect.ALLOW
    assert world.call().status is COMMITTED


def test_rule_12_a_key_in_flight_is_unknown_and_not_sent_again(world):
    inner = []
    world.steps.hooks["door.intent_committed"] = lambda: inner.append(world.call())
    assert world.call().status is COMMITTED
    assert inner[0].status is UNKNOWN
    assert len(world.target.effects) == 1


def test_rule_12_two_callers_with_one_key_make_one_effect(world):
    token = world.token()
    together = threading.Barrier(2)
    arrived = world.steps.reached

    def reached(step):
        if step == "door.decided":
            together.wait(10)
        arrived(step)

    world.steps.reached = reached
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: world.call(token=token), range(2)))
    assert sorted(outcome.status for outcome in outcomes) in (
        [COMMITTED, UNKNOWN],
        [COMMITTED, COMMITTED],
    )
    assert len(world.target.effects) == 1


# --- between the decision and the intent ---

BETWEEN = {
    "state.stopped": lambda world: world.stop(),
    "state.freeze_all": lambda world: world.stop("freeze_all"),
    "state.bundle_changed": lambda world: world.activate("e" * 64, 2),
    "state.fenced": lambda world: world.state.take_epoch(),
}


@pytest.mark.parametrize("rule", BETWEEN)
def test_rule_11_what_changes_between_decision_and_intent_aborts(world, rule):
    world.steps.hooks["door.decided"] = lambda: BETWEEN[rule](world)
    outcome = world.call()
    denied(world, outcome, rule)
    assert outcome.decision.reasons[0].hard
    (said,) = world.predicates("outcome")
    assert (said["status"], said["error"]["code"]) == ("denied", rule)
    # The decision that did not count is in the log, too: the outcome names it.
    (decision,) = world.predicates("decision")
    assert decision["decision"]["id"] == said["decision"]
    assert world.rows("SELECT * FROM usage") == []
    assert world.verify().ok


def test_rule_22_a_session_tainted_in_between_is_decided_anew_as_what_it_is(world):
    world.steps.hooks["door.decided"] = lambda: taint(world)
    assert world.call().status is COMMITTED
    assert [asked["state"]["session"]["integrity"] for asked in world.engine.asked] == ["trusted", "tainted"]
    assert len(world.target.effects) == 1
    assert world.verify().ok


def test_rule_22_what_a_tainted_session_may_not_is_denied_though_it_was_allowed_before(world):
    def lower():
        taint(world)
        world.engine.effect = Effect.DENY

    world.steps.hooks["door.decided"] = lower
    assert world.call().status is DENIED
    assert world.target.effects == []


def test_rule_11_a_session_revoked_in_between_aborts(world):
    world.steps.hooks["door.decided"] = lambda: world.change("UPDATE sessions SET revoked = 1")
    denied(world, world.call(), "state.session_changed")


@pytest.mark.parametrize(("scope", "target"), [("all", ""), ("agent", CONTROLLER), ("service", "storefront")])
def test_rule_16_no_intent_commits_after_a_stop_that_covers_it(world, scope, target):
    world.stop(scope, target)
    denied(world, world.call(), "state.stopped")
    world.writer.run(lambda tx: world.state.resume(tx, NOW))
    assert world.call().status is COMMITTED


@pytest.mark.parametrize(("scope", "target"), [("agent", RESPONDER), ("service", "another")])
def test_a_stop_of_somebody_else_stops_nobody_here(world, scope, target):
    world.stop(scope, target)
    assert world.call().status is COMMITTED
    world.steps.hooks["door.decided"] = lambda: world.stop(scope, target)
    assert world.call(key="k2").status is COMMITTED


def test_rule_11_a_stop_that_was_lifted_again_in_between_aborts_too(world):
    def stop_and_resume():
        world.stop("all", "")
        world.writer.run(lambda tx: world.state.resume(tx, NOW))

    world.steps.hooks["door.decided"] = stop_and_resume
    denied(world, world.call(), "state.stopped")


def test_rule_11_an_action_whose_deadline_passed_while_it_was_decided_does_not_begin(world):
    def wait_too_long():
        world.clock.now += 61_000

    world.steps.hooks["door.decided"] = wait_too_long
    denied(world, world.call(), "state.deadline_passed")


def test_an_allow_with_an_obligation_that_the_door_cannot_meet_is_none(world):
    world.engine.obligations = ({"kind": "watermark"},)
    outcome = world.call()
    assert (outcome.status, outcome.error["code"]) == (DENIED, "obligation_unknown")
    assert world.target.effects == []


def test_an_answer_that_no_statement_could_carry_does_not_keep_its_outcome_from_the_log(world):
    for value, omitted in ((float("nan"), "not_canonical"), ("x" * 2_000_000, "too large")):
        world.target.execute = lambda row, values, value=value: {"said": value}
        outcome = world.call("send_note", key=omitted)
        assert (outcome.status, outcome.result["omitted"]) == (COMMITTED, omitted)
    assert world.verify().ok


@pytest.mark.parametrize("scope", ["all", "agent", "service"])
def test_rule_16_a_stop_never_blocks_a_retreat(world, scope):
    target = {"agent": CONTROLLER, "service": "storefront"}.get(scope, "")
    world.steps.hooks["door.decided"] = lambda: world.stop(scope, target)
    assert world.call("rollback_release").status is COMMITTED
    assert world.call("rollback_release", key="k2").status is COMMITTED


def test_rule_16_taint_and_budget_never_block_a_retreat(world):
    world.door = world.make_door(
        operator=msgspec.structs.replace(OPERATOR, limits=msgspec.structs.replace(OPERATOR.limits, actions_per_hour=1))
    )
    world.call()
    world.steps.hooks["door.decided"] = lambda: taint(world)
    assert world.call("rollback_release").status is COMMITTED


def test_rule_16_freeze_all_blocks_even_a_retreat(world):
    world.steps.hooks["door.decided"] = lambda: world.stop("freeze_all")
    denied(world, world.call("rollback_release"), "state.freeze_all")


def test_rule_16_a_target_that_does_not_answer_never_blocks_the_decision(world):
    for broken in (TimeoutError("no answer"), ConnectionRefusedError("refused"), TargetError("down", code="down")):
        world.target.observing = broken
        assert world.call("rollback_release", key=repr(broken)).status is COMMITTED
    assert world.engine.asked[0]["state"]["target"] == {"unavailable": "no_answer"}


def test_rule_11_a_budget_is_debited_once_an_effect_and_an_hour(world):
    limited = msgspec.structs.replace(OPERATOR, limits=msgspec.structs.replace(OPERATOR.limits, actions_per_hour=2))
    world.door = world.make_door(operator=limited)
    assert [world.call(key=key).status for key in ("a", "b", "b", "c")] == [COMMITTED, COMMITTED, COMMITTED, DENIED]
    assert world.rows("SELECT used FROM usage") == [(2,)]
    ends_ms = (NOW // 3_600_000 + 1) * 3_600_000
    assert world.engine.asked[-1]["state"]["budget"] == {"observed": 2, "limit": 2, "frees_at_ms": ends_ms}
    assert world.call(key="d", principal=RESPONDER).status is COMMITTED
    world.clock.now += 3_600_000
    assert world.call(key="e").status is COMMITTED
    assert world.engine.asked[-1]["state"]["budget"]["observed"] == 0


# --- approvals ---


def test_rule_18_a_person_is_shown_what_they_sign(asking):
    pending = asking.call(evidence=("c" * 64,), change="dl-1")
    assert pending.status is PENDING
    packet = asking.approvals.row(pending.approval_id).packet
    assert packet.action_digest == pending.action_digest
    assert packet.requester == CONTROLLER
    assert packet.target == asking.target.observing
    assert packet.missing
    assert packet.expires_at_ms == NOW + 600_000
    assert asking.call(evidence=("c" * 64,), change="dl-1").approval_id == pending.approval_id
    assert len(asking.approvals.rows()) == 1


def test_rule_18_an_approved_action_passes_once(asking):
    approved(asking)
    outcome = asking.call()
    assert outcome.status is COMMITTED
    (said,) = asking.predicates("outcome")
    assert said["approval"] == {"approver": ALICE, "reason": "looked at it", "id": asking.approvals.rows()[0].packet.id}
    asking.target.observing = {"version": 9, "stable": LAST_GOOD, "canary": "", "weight": 0}
    again = asking.call(key="k2")
    assert again.status is PENDING
    assert "used up" in asking.approvals.row(again.approval_id).packet.contrary[0]
    assert len(asking.target.effects) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda world: {"weight": 50}, "weight: approved 5, asked 50"),
        (lambda world: {"evidence": ("e" * 64,)}, "evidence_digest: "),
        (
            lambda world: world.activate("e" * 64, 2) or setattr(world.engine, "bundle", "e" * 64) or {},
            "bundle_digest: ",
        ),
        (lambda world: setattr(world.clock, "now", NOW + 600_000) or {}, "expired"),
    ],
)
def test_rule_18_anything_changed_before_use_is_a_new_pending_that_shows_it(asking, change, says):
    first = approved(asking, change="dl-1")
    pending = asking.call(key="k2", change="dl-1", **change(asking))
    assert pending.status is PENDING
    assert pending.approval_id != first
    packet = asking.approvals.row(pending.approval_id).packet
    assert packet.supersedes == first
    assert any(says in line for line in packet.contrary)
    assert asking.target.effects == []
    assert asking.call("deploy_release", change="dl-1").status is PENDING
    assert asking.approvals.rows()[0].packet.supersedes == ""


def test_a_denied_request_says_so_when_it_is_made_again(asking):
    pending = asking.call()
    asking.approve(pending.approval_id, "denied", "not on a Friday")
    again = asking.call()
    assert again.status is PENDING
    assert again.approval_id != pending.approval_id
    packet = asking.approvals.row(again.approval_id).packet
    assert packet.contrary[0] == f"{ALICE} denied this before: not on a Friday"
    assert asking.target.effects == []


def test_rule_20_a_plan_allows_its_steps_and_counts_them(asking):
    world = asking
    approved(world, "start_rollout", plan=PLAN_DIGEST)
    uses = len(PLAN["steps"]) + 8
    for number in range(uses):
        outcome = world.call(key=f"k{number}", plan=PLAN_DIGEST, weight=5)
        assert outcome.status is COMMITTED
    assert world.call(key="one-too-many", plan=PLAN_DIGEST).status is PENDING


def test_rule_20_keeping_a_lease_needs_the_plan_but_uses_nothing_up(asking):
    asking.call("renew_canary_lease", plan=PLAN_DIGEST)
    assert asking.target.effects == []
    approved(asking, "start_rollout", plan=PLAN_DIGEST)
    left = asking.rows("SELECT uses_left FROM approvals WHERE verdict = 'approved'")
    for number in range(30):
        assert asking.call("renew_canary_lease", key=f"k{number}", plan=PLAN_DIGEST).status is COMMITTED
    assert asking.rows("SELECT uses_left FROM approvals WHERE verdict = 'approved'") == left
    asking.steps.hooks["door.decided"] = lambda: asking.change("UPDATE approvals SET revoked = 1")
    assert asking.call("renew_canary_lease", key="after", plan=PLAN_DIGEST).status is DENIED


def test_rule_11_a_grant_revoked_in_between_aborts(asking):
    approved(asking)
    asking.steps.hooks["door.decided"] = lambda: asking.change("UPDATE approvals SET revoked = 1")
    denied(asking, asking.call(), "approval.used_or_expired")


@pytest.mark.parametrize("change", ["uses_left = 0", "verdict = 'denied'", f"expires_ms = {NOW}"])
def test_rule_11_a_grant_that_ends_in_between_aborts(asking, change):
    approved(asking)
    asking.steps.hooks["door.decided"] = lambda: asking.change(f"UPDATE approvals SET {change}")
    denied(asking, asking.call(), "approval.used_or_expired")


def test_rule_11_a_single_grant_used_by_two_at_once_is_used_once(asking):
    approved(asking)
    together = threading.Barrier(2)
    arrived = asking.steps.reached

    def reached(step):
        if step == "door.decided":
            together.wait(10)
        arrived(step)

    asking.steps.reached = reached
    token = asking.token()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda key: asking.call(token=token, key=key), ("one", "two")))
    assert sorted(outcome.status for outcome in outcomes) == [COMMITTED, DENIED]
    assert len(asking.target.effects) == 1
    assert asking.rows("SELECT uses_left FROM approvals") == [(0,)]


def test_rule_16_a_retired_approver_key_blocks_neither_retreat_nor_a_new_request(asking):
    approved(asking, "rollback_release")
    keys = tuple(msgspec.structs.replace(key, to_index=1) if key.principal == ALICE else key for key in TRUST.keys)
    asking.door = asking.make_door(trust=lambda: msgspec.structs.replace(TRUST, keys=keys))
    assert asking.call("rollback_release").status is PENDING
    asking.engine.answer = lambda question: Effect.ALLOW
    assert asking.call("rollback_release", key="k2").status is COMMITTED


def test_rule_19_a_role_counts_only_when_the_operator_says_so(asking):
    pending = asking.call()
    asking.approve(pending.approval_id, role="incident-commander")
    assert asking.call().status is PENDING
    assert asking.engine.asked[-1]["grant"]["approver_role"] == ""


def test_a_row_in_the_database_alone_permits_nothing(asking):
    pending = asking.call()
    asking.change("UPDATE approvals SET verdict = 'approved', uses_left = 9 WHERE id = ?", pending.approval_id)
    assert asking.call().status is PENDING
    asking.change("UPDATE approvals SET envelope = ?", b'{"payload":"e30=","payloadType":"x","signatures":[]}')
    assert asking.call(key="k2").status is PENDING
    assert asking.target.effects == []


def test_an_approval_moved_to_another_action_does_not_fit(asking):
    approved(asking)
    other = asking.call(key="k2", weight=50)
    asking.change(
        "UPDATE approvals SET verdict = 'approved', uses_left = 1,"
        " envelope = (SELECT envelope FROM approvals WHERE envelope IS NOT NULL) WHERE id = ?",
        other.approval_id,
    )
    assert asking.call(key="k2", weight=50).status is PENDING
    assert asking.target.effects == []


# --- how it ends ---


def test_a_target_that_refuses_is_a_failure(world):
    world.target.raises = TargetError("fenced off", code="fenced", next_step="stop")
    outcome = world.call()
    assert (outcome.status, outcome.result, outcome.error["code"]) == (FAILED, None, "fenced")
    assert list(world.intents().values()) == ["failed"]
    assert world.call().replayed


@pytest.mark.parametrize("silence", [TimeoutError("no answer"), ConnectionResetError("gone"), OSError("broken pipe")])
@pytest.mark.parametrize("blind", [False, True])
def test_rule_12_an_answer_that_never_came_is_unknown_and_recorded(world, silence, blind):
    world.target.raises = silence
    if blind:
        world.steps.hooks["door.executed"] = lambda: setattr(world.target, "observing", TimeoutError("down"))
    outcome = world.call()
    assert (outcome.status, outcome.error["code"]) == (UNKNOWN, "no_answer")
    assert list(world.intents().values()) == ["unknown"]
    assert len(world.predicates("outcome")) == 1
    assert world.call().status is UNKNOWN
    assert len(world.target.effects) == 1


def test_a_broken_executor_leaves_a_visible_intent(world):
    world.target.raises = ValueError("a bug")
    with pytest.raises(ValueError):
        world.call()
    assert list(world.intents().values()) == ["intended"]
    world.target.raises = None
    ((_, outcome),) = world.recover()
    assert outcome.status is COMMITTED


def test_a_late_answer_does_not_undo_what_is_known(world):
    world.target.raises = TimeoutError("slow")
    unknown = world.call()
    world.target.raises = None
    ((row, settled),) = world.recover()
    assert settled.status is COMMITTED
    world.door.settle(row, msgspec.structs.replace(unknown, entry=-1), {}, None)
    assert list(world.intents().values()) == ["committed"]
    assert world.call().status is COMMITTED


def test_a_read_is_answered_redacted_and_logged_in_batches(world):
    world.target.known["note"] = SECRET
    outcome = world.call("get_deployment_status", key="")
    assert outcome.status is COMMITTED
    assert outcome.result["note"]["text"] == "[github_token]"
    assert world.call("get_deployment_status", key="").replayed is False
    world.engine.effect = Effect.DENY
    assert world.call("get_deployment_status", key="").status is DENIED
    assert len(world.entries("reads")) == 1
    assert world.target.effects == []


def test_rule_11_an_older_process_commits_nothing_more(tmp_path):
    older = World(tmp_path)
    token = older.token()
    younger = World(tmp_path)
    denied(older, older.call(token=token), "state.fenced")
    assert older.call("rollback_release", token=token).status is DENIED
    assert younger.call(key="k2").status is COMMITTED
    older.close()
    younger.close()


def test_the_last_good_release_is_what_a_retreat_names(world):
    world.call("rollback_release")
    ((row, values),) = world.target.effects
    assert values == {"to": LAST_GOOD}
    assert row.request["redacted"] is False
