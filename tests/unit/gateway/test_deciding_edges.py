"""What the policy is asked about one call, and what becomes of its answer."""

import msgspec
import pytest
from gateway_doubles import (
    AGENT,
    ALICE,
    ARTIFACT,
    BUNDLE,
    KEYS,
    LAST_GOOD,
    NOW,
    OPERATOR,
    TRUST,
    WEIGHT,
    FixedClock,
    MemoryApprovals,
    MemoryRecords,
    MemoryState,
    ask,
    decision,
    entrance,
)

from bywire.approvals.candidate import Candidate
from bywire.approvals.packet import sign_verdict
from bywire.gateway.deciding import OBLIGATIONS, Decider, unknown_obligations
from bywire.gateway.packets import build_packet
from bywire.gateway.pending import Pending
from bywire.gateway.ports import Debit
from bywire.identity.registration import Pattern, Registration
from bywire.model.decision import Effect

HOUR = NOW // 3_600_000
CHANGE, FACTS, RETREAT = {"authors": ["person:dana"]}, {"tests": {"passed": 1}}, {"last_good": LAST_GOOD}
RETREAT = {**RETREAT, "authorised": True}
MINE = Registration(
    principal=AGENT.id,
    owner="person:dana",
    pattern=Pattern.CANARY_MANAGER,
    actions_per_hour=20,
    tool_rates={"set_canary_weight": 3},
)


class Answers:
    """The policy engine: one answer after another, the last one for ever; and what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def decide(self, entrypoint, policy_input):
        self.asked.append((entrypoint, policy_input))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Stands:
    def registration(self, principal):
        return MINE if principal == AGENT.id else None

    def shadows(self, now_ms):
        assert now_ms == NOW
        return [{"rule": "gate.coverage_low"}]

    def break_glass(self, principal, tool, now_ms):
        assert (principal, now_ms) == (AGENT.id, NOW)
        return {"id": "bg-1", "tool": tool}


class Facts:
    def facts_for(self, change):
        return (CHANGE, FACTS, RETREAT) if change == "dl-1" else ({}, {}, None)


class World:
    def __init__(self, *answers, candidates=()):
        self.engine = Answers(*answers)
        self.state = MemoryState()
        self.entrance = entrance(state=self.state, clock=FixedClock())
        self.trust = TRUST
        self.decider = Decider(
            engine=lambda: self.engine,
            operator=OPERATOR,
            trust=lambda: self.trust,
            state=self.state,
            standing=Stands(),
            facts=Facts(),
            pending=Pending(MemoryApprovals(*candidates), MemoryRecords(), lambda: TRUST, OPERATOR),
            entrance=self.entrance,
        )

    def judge(self, *args, **changes):
        return self.decider.judge(self.entrance.ask("1", ask(*args, **changes)))

    def read(self, tool="get_deployment_status", values=None):
        return self.decider.judge_read(self.entrance.ask("1", ask(tool, values or {}, "")))


def replace(name, value):
    return {"kind": "replace", "parameter": name, "value": value}


def sanitize(*obligations):
    return decision(Effect.SANITIZE, obligations)


ALLOW, DENY = decision(), decision(Effect.DENY)


# --- the question ---


def test_rule_07_the_question_is_whole():
    world = World(ALLOW)
    world.state.counts = {(f"principal:{AGENT.id}", HOUR): 4, (f"principal:{AGENT.id}", HOUR - 1): 9}
    judged = world.judge(change="dl-1")
    ((entrypoint, question),) = world.engine.asked
    assert entrypoint == "data.bywire.action.decision"
    assert judged.policy_input == question
    assert set(question) == {
        "version",
        "now_ms",
        "principal",
        "action",
        "operator",
        "change",
        "facts",
        "grant",
        "break_glass",
        "shadow",
        "retreat",
        "state",
    }
    assert (question["version"], question["now_ms"]) == (1, NOW)
    assert (question["change"], question["facts"], question["retreat"]) == (CHANGE, FACTS, RETREAT)
    assert question["break_glass"] == {"id": "bg-1", "tool": "set_canary_weight"}
    assert question["shadow"] == [{"rule": "gate.coverage_low"}]
    assert question["grant"] is None
    assert question["principal"]["registration"]["pattern"] == "canary-manager"
    assert question["action"]["tool"] == "set_canary_weight"
    assert question["operator"]["approver_roles"] == ["security", "sre-oncall"]
    assert question["state"]["bundle_digest"] == BUNDLE
    assert question["state"]["limits"] == [
        {"name": f"principal:{AGENT.id}", "observed": 4, "limit": 20},
        {"name": f"principal:{AGENT.id}|tool:set_canary_weight", "observed": 0, "limit": 3},
    ]
    assert (judged.decision, judged.grant, judged.error) == (ALLOW, None, None)


def test_what_an_action_would_use_up():
    world = World(ALLOW)
    asked = world.entrance.ask("1", ask())
    assert world.decider.debits(asked) == (
        Debit(f"principal:{AGENT.id}", 20),
        Debit(f"principal:{AGENT.id}|tool:set_canary_weight", 3),
    )


def test_a_read_rests_on_no_evidence_grant_glass_or_count():
    world = World(ALLOW)
    question = world.read().policy_input
    assert (question["change"], question["facts"], question["retreat"]) == ({}, {}, None)
    assert (question["grant"], question["break_glass"], question["state"]["limits"]) == (None, None, [])
    assert question["action"]["category"] == "read"


def test_a_call_without_a_contract_is_asked_like_a_write():
    question = World(DENY).judge("rm_rf", {}).policy_input
    assert question["action"]["category"] == "unknown"
    assert question["break_glass"]["tool"] == "rm_rf"
    assert question["operator"]


def test_rule_18_the_grant_is_part_of_the_question():
    world = World(ALLOW)
    asked = world.entrance.ask("1", ask())
    shown = {"now_ms": NOW, "state": {"target": asked.target, "session": {"integrity": "trusted"}}}
    packet = build_packet(asked.action, asked.contract, decision(), shown, expires_at_ms=NOW + 9)
    envelope = sign_verdict(packet, "approved", ALICE, "sre-oncall", "", NOW, KEYS[ALICE][1])
    world = World(ALLOW, candidates=(Candidate(packet, (envelope,), uses_left=1, settled="approved"),))
    judged = world.judge()
    facts = judged.policy_input["grant"]
    assert (facts["id"], facts["uses_left"], facts["revoked"]) == (packet.id, 1, False)
    assert judged.grant.id == packet.id


def test_the_operators_facts_follow_the_trust_root():
    world = World(ALLOW)
    first = world.judge().policy_input["operator"]
    assert [signer["name"] for signer in first["signers"].values()] == ["workload:builder"]
    assert world.judge(key="k2").policy_input["operator"] is first
    world.trust = msgspec.structs.replace(TRUST, keys=())
    assert world.judge(key="k3").policy_input["operator"]["signers"] == {}


# --- obligations ---


@pytest.mark.parametrize("kind", sorted(OBLIGATIONS))
def test_what_the_door_can_meet_is_no_error(kind):
    whole = {"kind": kind, "unit": "tokens", "period": "day", "limit": 0}
    assert unknown_obligations(decision(Effect.APPROVAL_NEEDED, [whole])) is None


def test_the_obligations_that_the_door_meets_are_those_the_policy_was_written_for():
    assert sorted(OBLIGATIONS) == [
        "approval",
        "break_glass",
        "debit",
        "mask",
        "no_auto_merge",
        "record_telemetry",
        "redact",
        "replace",
        "rerun_is_an_experiment",
        "shadowed",
        "tier",
    ]


def test_what_the_door_cannot_meet_is_named():
    error = unknown_obligations(decision(obligations=[{"kind": "watermark"}, {"kind": "tier"}, {"kind": "notify"}]))
    assert error["code"] == "obligation_unknown"
    assert "asks for notify, watermark, which" in error["message"]
    assert error["next_step"]
    assert "None" in unknown_obligations(decision(obligations=[{}]))["message"]
    assert World(decision(obligations=[{"kind": "watermark"}])).judge().error == unknown_obligations(
        decision(obligations=[{"kind": "watermark"}])
    )


def test_an_allow_that_wants_a_replacement_is_none():
    wants = [replace("weight", 1)]
    assert unknown_obligations(decision(obligations=wants))["code"] == "obligation_unknown"
    assert unknown_obligations(decision(Effect.SANITIZE, wants)) is None


# --- rule 6 ---


def test_rule_06_a_replacement_is_decided_anew():
    world = World(sanitize(replace("weight", 1), {"kind": "tier"}), ALLOW)
    judged = world.judge()
    assert judged.asked.request.parameters == {**WEIGHT, "weight": 1}
    assert judged.policy_input["action"]["parameters"]["weight"] == 1
    assert (judged.decision, judged.error) == (ALLOW, None)


@pytest.mark.parametrize(
    "obligation",
    [
        {"kind": "replace", "parameter": "weight"},
        {"kind": "replace", "value": 1},
        {"kind": "cap", "parameter": "weight", "value": 1},
        {"parameter": "weight", "value": 1},
    ],
)
def test_rule_06_what_names_no_parameter_or_value_replaces_nothing(obligation):
    world = World(sanitize(obligation), ALLOW)
    assert world.judge().asked.request.parameters == WEIGHT
    assert len(world.engine.asked) == 2


def test_rule_06_a_policy_that_is_never_content_is_an_error():
    judged = World(sanitize(replace("weight", 1)), sanitize(replace("weight", 0))).judge()
    assert judged.error["code"] == "sanitize_unstable"
    assert judged.error["message"]
    assert judged.error["next_step"] == "correct the policy: bywire policy explain"
    assert judged.asked.request.parameters["weight"] == 1


def test_rule_06_a_person_is_asked_about_the_action_that_can_run():
    waits = decision(Effect.APPROVAL_NEEDED, [replace("weight", 1), {"kind": "approval"}])
    plain = decision(Effect.APPROVAL_NEEDED, [{"kind": "approval"}])
    judged = World(waits, plain).judge()
    assert (judged.decision, judged.asked.request.parameters["weight"], judged.error) == (plain, 1, None)
    assert World(waits, waits).judge().error["code"] == "sanitize_unstable"
    assert World(decision(Effect.DENY, [replace("weight", 1)])).judge().asked.request.parameters == WEIGHT


def test_rule_06_a_replacement_outside_the_contract_is_an_error():
    world = World(sanitize(replace("weight", 101)), ALLOW)
    judged = world.judge()
    assert judged.error["code"] == "contract_violated"
    assert judged.decision.effect is Effect.SANITIZE
    assert judged.asked.request.parameters == WEIGHT
    assert len(world.engine.asked) == 1


def test_rule_06_a_call_without_a_contract_is_not_changed():
    world = World(sanitize(replace("x", 1)), ALLOW)
    judged = world.judge("rm_rf", {"x": 0})
    assert judged.decision.effect is Effect.SANITIZE
    assert judged.asked.request.parameters == {"x": 0}
    assert len(world.engine.asked) == 1


@pytest.mark.parametrize("answer", [ALLOW, DENY, decision(Effect.APPROVAL_NEEDED)])
def test_an_answer_that_replaces_nothing_is_asked_once(answer):
    for judged in ((world := World(answer)).judge(), (world := World(answer)).read()):
        assert judged.decision == answer
        assert judged.error is None
        assert len(world.engine.asked) == 1


def test_rule_06_a_read_is_replaced_too():
    world = World(sanitize(replace("since_interval", 5)), ALLOW)
    judged = world.read("read_telemetry", {"since_interval": 0})
    assert judged.asked.request.parameters == {"since_interval": 5}
    assert judged.policy_input["action"]["parameters"] == {"since_interval": 5}
    assert judged.decision == ALLOW
    assert judged.grant is None
    assert World(decision(obligations=[{"kind": "watermark"}])).read().error["code"] == "obligation_unknown"


# --- rule 16: which retreat is free ---


@pytest.mark.parametrize(
    ("tool", "values", "retreat", "free"),
    [
        ("rollback_release", {"to": LAST_GOOD}, RETREAT, True),
        ("abort_canary", {"deployment_id": ARTIFACT, "to": LAST_GOOD}, RETREAT, True),
        ("rollback_release", {"to": ARTIFACT}, RETREAT, False),
        ("rollback_release", {"to": LAST_GOOD}, None, False),
        ("rollback_release", {"to": LAST_GOOD}, {**RETREAT, "authorised": False}, False),
        ("rollback_release", {"to": LAST_GOOD}, {**RETREAT, "authorised": 1}, False),
        ("rollback_release", {"to": LAST_GOOD}, {**RETREAT, "last_good": ""}, False),
        ("set_canary_weight", WEIGHT, RETREAT, False),
        ("rm_rf", {"to": LAST_GOOD}, RETREAT, False),
    ],
)
def test_rule_16_only_the_retreat_that_was_authorised_is_free(tool, values, retreat, free):
    key = "" if tool == "abort_canary" else "k1"
    judged = World(ALLOW).judge(tool, values, key)
    judged = msgspec.structs.replace(judged, policy_input={**judged.policy_input, "retreat": retreat})
    assert judged.preauthorised is free


def test_rule_16_a_retreat_to_nowhere_is_not_free():
    judged = World(ALLOW).judge("rollback_release", {"to": LAST_GOOD})
    for values in ({}, {"to": ""}, {"to": None}, {"to": {"text": LAST_GOOD}}):
        action = msgspec.structs.replace(judged.asked.action, parameters=values)
        nowhere = msgspec.structs.replace(judged, asked=msgspec.structs.replace(judged.asked, action=action))
        retreat = {**RETREAT, "last_good": values.get("to", "")}
        nowhere = msgspec.structs.replace(nowhere, policy_input={"retreat": retreat})
        assert not nowhere.preauthorised
