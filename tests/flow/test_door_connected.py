"""Connected tools at the door: where they act, what they mean and cost, and what nobody can say otherwise."""

import msgspec
import pytest
from connected_victim import raced
from connected_world import CATALOGUE, DAY, PINNED, ConnectedWorld, connected, scale
from door_world import CONTROLLER, RESPONDER

from bywire.gateway.contract import Catalogue, ContractError
from bywire.model.decision import Effect, OutcomeStatus
from bywire.model.errors import ConflictError, TargetError


@pytest.fixture
def world(tmp_path):
    made = ConnectedWorld(tmp_path)
    made.engine.obligations = ()
    yield made
    made.close()


def refused(world, request, match):
    with pytest.raises(ContractError, match=match):
        world.door.call(world.token(), request)
    assert world.upstream.effects == []
    assert world.intents() == {}


def test_a_connected_tool_is_decided_journalled_and_carried_out(world):
    outcome = world.door.call(world.token(), scale(image="repo@sha256:1"))
    assert (outcome.status, outcome.result) == (OutcomeStatus.COMMITTED, {"done": True})
    key = f"{CONTROLLER}|cluster.scale|k1"
    assert world.upstream.effects == [(key, {"env": "stage", "replicas": 2, "image": "repo@sha256:1"})]
    assert world.intents() == {key: "committed"}
    action = world.engine.asked[0]["action"]
    assert action["environment"] == "staging"
    assert action["connected"] == {"upstream": "cluster", "risk": "high", "reviewed": True, "definition": "current"}
    assert action["meaning"] == {"environment": "staging", "replicas": 2, "images": ["repo@sha256:1"]}
    assert action["cost"] == [{"unit": "changes", "amount": 500}, {"unit": "replica_hours", "amount": 48_000}]
    assert outcome.label["trust_level"] == "untrusted_runtime_output"
    assert world.verify().ok


def test_a_built_in_tool_says_nothing_of_a_connection(world):
    world.call()
    action = world.engine.asked[0]["action"]
    assert (action["findings"], action["cost"]) == ([], [])
    assert not {"connected", "meaning", "destination"} & set(action)


@pytest.mark.parametrize(
    ("said", "parameter"),
    [
        ("staging", "prod"),
        ("non-production", "prod"),
        ("non-production", "stage"),
        ("staging", "Stage"),
        ("staging", "stage "),
        ("staging", "elsewhere"),
        ("staging", ""),
    ],
)
def test_rule_01_a_caller_cannot_name_a_laxer_environment_than_its_parameters_do(world, said, parameter):
    refused(world, scale(environment=said, env=parameter), "not to storefront in")


@pytest.mark.parametrize("parameter", ["elsewhere", "", "PROD", "prod\u200b", "production"])
def test_an_environment_that_nobody_listed_is_production(world, parameter):
    world.door.call(world.token(), scale(environment="production", env=parameter))
    assert world.engine.asked[0]["action"]["environment"] == "production"


def test_a_second_name_for_the_environment_is_refused(world):
    values = {"to": "a.example", "amount": 1, "environment": "prod"}
    refused(world, connected("payments.scale", "", "staging", values), "nobody declared")


def test_a_caller_cannot_name_another_service(world):
    refused(world, msgspec.structs.replace(scale(), service="other"), "not to other in staging")


def test_a_built_in_tool_acts_where_the_operator_does(world):
    with pytest.raises(ContractError, match="leads to storefront in production"):
        world.call(environment="staging")


def test_rule_06_a_policy_cannot_move_a_call_to_another_environment(world):
    world.engine.effect = Effect.SANITIZE
    world.engine.obligations = ({"kind": "replace", "parameter": "env", "value": "prod"},)
    outcome = world.door.call(world.token(), scale())
    assert (outcome.status, outcome.error["code"]) == (OutcomeStatus.DENIED, "contract_violated")
    assert world.upstream.effects == []


@pytest.mark.parametrize(
    "replicas", [-1, -0.5, True, None, "-1", "1e3", "two", "0x10", [], 2 * 10**15, 1e300, "9" * 40, {"n": 1}, 1.5, " 1"]
)
def test_a_cost_that_cannot_be_read_is_refused(world, replicas):
    refused(world, scale(replicas=replicas), "replicas")


def test_a_number_that_json_cannot_carry_is_refused(world):
    with pytest.raises(Exception, match="canonical"):
        world.door.call(world.token(), scale(replicas=float("nan")))
    assert world.upstream.effects == []


@pytest.mark.parametrize("tokens", [-1, True, 10**15, 1.5])
def test_tokens_only_ever_add(world, tokens):
    refused(world, msgspec.structs.replace(scale(), tokens=tokens), "tokens")


def test_tokens_that_a_caller_says_it_spent_are_a_cost(world):
    world.door.call(world.token(), msgspec.structs.replace(scale(), tokens=700))
    assert {"unit": "tokens", "amount": 700_000} in world.engine.asked[0]["action"]["cost"]
    assert world.spent(f"principal:{CONTROLLER}", "tokens") == 700_000


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (PINNED, "current"),
        ("sha256:" + "b" * 64, "changed"),
        ("", "changed"),
        (TargetError("down"), "unknown"),
        (TimeoutError("slow"), "unknown"),
    ],
)
def test_a_definition_that_changed_is_told(world, says, told):
    world.upstream.says = says
    world.door.call(world.token(), scale())
    assert world.engine.asked[0]["action"]["connected"]["definition"] == told


def test_a_read_is_decided_by_what_is_in_force_once_its_upstream_has_said_what_the_tool_is(world):
    pinned = msgspec.structs.replace(CATALOGUE.find("cluster.get"), definition=PINNED)
    others = (CATALOGUE.find(name) for name in CATALOGUE.names() if name != "cluster.get")
    committed, decided_with = [], []

    def slow(tool):
        world.activate("e" * 64, 2)
        committed.append(world.reader.row("PRAGMA data_version")[0])
        return PINNED

    def engine():
        decided_with.append(world.reader.data_version())
        return world.engine

    world.upstream.definition = slow
    catalogue, moment = Catalogue((pinned, *others)), world.reader.one_moment
    door = world.make_door(catalogue=catalogue, engine=engine, one_moment=moment)
    assert door.call(world.token(), connected("cluster.get", "", "production", {})).status is OutcomeStatus.COMMITTED
    assert decided_with == committed


def test_the_same_tool_and_key_of_two_upstreams_are_two_actions(world):
    world.door.call(world.token(), scale("same"))
    values = {"to": "https://Pay.example:8443/x", "amount": "12.50", "currency": "eur"}
    paid = world.door.call(world.token(), connected("payments.scale", "", "staging", values))
    assert paid.status is OutcomeStatus.COMMITTED
    assert len(world.intents()) == 2
    assert world.engine.asked[1]["action"]["meaning"] == {
        "environment": "staging",
        "amount": 12.5,
        "currency": "EUR",
        "hosts": ["pay.example"],
        "endpoints": ["pay.example:8443"],
    }


def test_rule_04_what_a_parameter_means_is_recorded_without_its_secrets(world):
    secret = "ghp_" + "a1B2" * 9
    with pytest.raises(ContractError, match="names no host") as caught:
        login = {"to": f"https://bot:{secret}@pay.internal/x", "amount": 1}
        world.door.call(world.token(), connected("payments.scale", "", "staging", login))
    assert secret not in f"{caught.value.message} {caught.value.next_step}"
    values = {"to": f"https://pay.internal/x?by={secret}", "amount": 1}
    world.door.call(world.token(), connected("payments.scale", "", "staging", values))
    (question,) = world.engine.asked
    assert question["action"]["meaning"]["hosts"] == ["pay.internal"]
    assert secret not in str(question)
    world.door.call(world.token(), scale("k2", image=f"repo/{secret}"))
    assert secret not in str(world.engine.asked)
    assert {item["class"] for item in world.engine.asked[1]["action"]["findings"]} >= {"secret"}


def test_a_derived_key_holds_no_parameter_and_tells_two_apart(world):
    first = {"to": "a.example:1", "amount": 1}
    second = {"to": "a.example", "amount": "1:1"}
    world.door.call(world.token(), connected("payments.scale", "", "staging", first))
    with pytest.raises(ContractError, match="amount"):
        world.door.call(world.token(), connected("payments.scale", "", "staging", second))
    (key,) = world.intents()
    assert "a.example" not in key
    again = world.door.call(world.token(), connected("payments.scale", "", "staging", first))
    assert again.replayed
    with pytest.raises(ContractError, match="derives its idempotency key"):
        world.door.call(world.token(), connected("payments.scale", "mine", "staging", first))


def test_what_is_not_connected_says_so(world):
    world.door = world.make_door(executors={})
    outcome = world.door.call(world.token(), scale())
    assert (outcome.status, outcome.error["code"]) == (OutcomeStatus.DENIED, "executor_missing")


def test_a_read_is_answered_with_its_label_and_costs_nothing(world):
    read = connected("cluster.get", "", "production", {"name": "web"})
    outcome = world.door.call(world.token(), read)
    assert outcome.result == {"text": "cluster.get of web"}
    assert outcome.label["contains_user_controlled_text"]
    assert world.rows("SELECT count(*) FROM costs") == [(0,)]
    assert world.engine.asked[0]["state"]["usage"] == []


# --- masking ---


class Masking:
    """Wants `place` masked for as long as the action still holds a finding there."""

    def __init__(self, engine, place, *, stubborn=False):
        self._decide = engine.decide
        self.engine, self.place, self.stubborn = engine, place, stubborn

    def decide(self, entrypoint, question):
        found = {item["parameter"] for item in question["action"]["findings"]}
        wants = self.stubborn or self.place in found
        self.engine.effect = Effect.SANITIZE if wants else Effect.ALLOW
        self.engine.obligations = ({"kind": "mask", "parameter": self.place, "because": "x"},) if wants else ()
        return self._decide("x", question)


def masked(world, values, place, **how):
    wrapped = Masking(world.engine, place, **how)
    world.door = world.make_door(engine=lambda: wrapped)
    return world.door.call(world.token(), connected("payments.note", "k", "staging", values))


def test_rule_06_what_is_masked_is_decided_once_more_and_only_that_is_sent(world):
    outcome = masked(world, {"text": "write to jane.doe@example.com today"}, "text")
    assert outcome.status is OutcomeStatus.COMMITTED
    ((_, sent),) = world.upstream.effects
    assert "jane.doe" not in sent["text"]
    assert sent["text"].startswith("write to ")
    assert len(world.engine.asked) == 2


def test_what_is_masked_deep_inside_is_masked_there(world):
    values = {"text": "hello", "deep": {"list": ["jane.doe@example.com", "fine"]}}
    outcome = masked(world, values, "deep.list[0]")
    assert outcome.status is OutcomeStatus.COMMITTED
    ((_, sent),) = world.upstream.effects
    assert sent["deep"]["list"][1] == "fine"
    assert "jane" not in sent["deep"]["list"][0]


@pytest.mark.parametrize(
    ("place", "stubborn", "code"), [("text", True, "sanitize_unstable"), ("missing.x", True, "contract_violated")]
)
def test_what_cannot_be_masked_is_not_sent(world, place, stubborn, code):
    outcome = masked(world, {"text": "nothing here"}, place, stubborn=stubborn)
    assert (outcome.status, outcome.error["code"]) == (OutcomeStatus.DENIED, code)
    assert world.upstream.effects == []


def test_a_mask_on_an_action_that_is_allowed_as_it_stands_is_no_permission(world):
    world.engine.obligations = ({"kind": "mask", "parameter": "text", "because": "x"},)
    outcome = world.door.call(world.token(), connected("payments.note", "k", "staging", {"text": "x"}))
    assert outcome.error["code"] == "obligation_unknown"
    assert world.upstream.effects == []


# --- budgets ---


@pytest.mark.parametrize(
    ("scope", "of"),
    [
        (CONTROLLER, f"principal:{CONTROLLER}"),
        ("team:platform", "team:platform"),
        ("tool:cluster.scale", "tool:cluster.scale"),
        ("environment:staging", "environment:staging"),
    ],
)
def test_a_budget_is_spent_and_then_kept_also_by_a_new_process(tmp_path, scope, of):
    how = {"budgets": [(scope, "replica_hours", 100_000)], "teams": {"platform": (CONTROLLER,)}}
    world = ConnectedWorld(tmp_path, **how)
    world.engine.obligations = ()
    for key in ("a", "b"):
        assert world.door.call(world.token(), scale(key)).status is OutcomeStatus.COMMITTED
    assert world.spent(of, "replica_hours") == 96_000
    world.close()
    world = ConnectedWorld(tmp_path, **how)
    world.engine.obligations = ()
    late = world.door.call(world.token(), scale("c"))
    assert (late.status, late.error["code"]) == (OutcomeStatus.DENIED, "state.day_budget_spent")
    facts = late.decision.reasons[0].facts
    assert (facts["of"], facts["used"], facts["asked"]) == (f"{of}: thousandths of replica_hours a day", 96_000, 48_000)
    assert facts["limit"] == 100_000
    told = next(item for item in world.engine.asked[-1]["state"]["limits"] if "asked" in item)
    assert told == {
        "name": f"{of}: thousandths of replica_hours a day",
        "observed": 96_000,
        "limit": 100_000,
        "asked": 48_000,
        "frees_at_ms": (DAY + 1) * 86_400_000,
    }
    assert world.spent(of, "replica_hours") == 96_000
    assert len(world.upstream.effects) == 0
    world.clock.now += 86_400_000
    assert world.door.call(world.token(), scale("d")).status is OutcomeStatus.COMMITTED
    world.close()


def test_what_is_denied_or_pending_burns_nothing(world):
    for effect in (Effect.DENY, Effect.APPROVAL_NEEDED):
        world.engine.effect = effect
        world.door.call(world.token(), scale(f"k-{effect}"))
    world.engine.effect = Effect.ALLOW
    world.door.call(world.token(), msgspec.structs.replace(scale("dry"), dry_run=True))
    world.door.advise(world.token(), scale("advice"))
    assert world.rows("SELECT count(*) FROM costs") == [(0,)]
    assert world.rows("SELECT count(*) FROM usage") == [(0,)]


def test_the_same_call_again_is_charged_once(world):
    for _ in range(3):
        world.door.call(world.token(), scale())
    assert world.spent(f"principal:{CONTROLLER}") == 1_000
    assert len(world.upstream.effects) == 1


def test_usage_is_told_and_belongs_to_the_principal(world):
    world.door.call(world.token(), scale())
    world.door.call(world.token(RESPONDER), scale())
    world.door.call(world.token(), scale("k2"))
    assert world.engine.asked[-1]["state"]["usage"] == [
        {"unit": unit, "period": "day", "observed": spent, "asked": spent, "frees_at_ms": (DAY + 1) * 86_400_000}
        for unit, spent in (("actions", 1_000), ("changes", 500), ("replica_hours", 48_000))
    ]
    assert world.spent(f"principal:{RESPONDER}", "replica_hours") == 48_000


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"limit": 48_000}, 1),
        ({"limit": 96_000}, 2),
        ({"limit": 0}, 0),
        ({"limit": 48_000, "tool": "cluster.scale"}, 1),
        ({"limit": 0, "tool": "cluster.other"}, 2),
        ({"limit": 0, "unit": "tokens"}, 2),
        ({"limit": 1_000, "unit": "actions"}, 1),
        ({"limit": 48_000, "period": "hour"}, 1),
    ],
)
def test_rule_11_a_debit_of_the_policy_is_kept_in_the_intent_transaction(world, changes, sent):
    debit = {"kind": "debit", "unit": "replica_hours", "period": "day", "because": "agents.x.budget", **changes}
    world.engine.obligations = (debit,)
    for key in ("a", "b"):
        world.door.call(world.token(), scale(key))
    assert len(world.upstream.effects) == sent


@pytest.mark.parametrize(
    "changes",
    [{"limit": -1}, {"limit": 1.5}, {"limit": True}, {"limit": None}, {"period": "year"}, {"unit": 3}, {"tool": 3}],
)
def test_a_debit_that_cannot_be_counted_is_no_permission(world, changes):
    debit = {"kind": "debit", "unit": "replica_hours", "period": "day", "limit": 10**9}
    world.engine.obligations = ({**debit, **changes},)
    outcome = world.door.call(world.token(), scale())
    assert (outcome.status, outcome.error["code"]) == (OutcomeStatus.DENIED, "obligation_unknown")
    assert world.upstream.effects == []


def test_two_processes_cannot_spend_what_one_of_them_may(tmp_path):
    ConnectedWorld(tmp_path).close()
    said = raced("race", tmp_path)
    assert sum(int(done) for done, *_ in said) == 5
    assert all(done == sent for done, sent, *_ in said)
    assert {code for _, _, *codes in said for code in codes} == {"state.day_budget_spent"}
    world = ConnectedWorld(tmp_path)
    assert world.spent(f"principal:{CONTROLLER}", "replica_hours") == 5 * 48_000
    world.close()


def test_a_contract_exists_once():
    contract = CATALOGUE.find("cluster.scale")
    with pytest.raises(ValueError, match="one name"):
        type(CATALOGUE)((contract, contract))


def test_rule_12_a_key_used_for_other_parameters_is_a_conflict(world):
    world.door.call(world.token(), scale())
    with pytest.raises(ConflictError):
        world.door.call(world.token(), scale(replicas=3))


def test_what_an_upstream_refused_under_a_derived_key_may_be_asked_for_again(world):
    asked = connected("payments.scale", "", "staging", {"to": "a.example:1", "amount": 1})
    world.upstream.raises = TargetError("it says 422", code="upstream_refused", next_step="correct it")
    refusals = [world.door.call(world.token(), asked) for _ in range(2)]
    assert [(one.status, one.replayed) for one in refusals] == [(OutcomeStatus.FAILED, False)] * 2
    world.upstream.raises = None
    done = world.door.call(world.token(), asked)
    assert (done.status, done.replayed) == (OutcomeStatus.COMMITTED, False)
    assert world.door.call(world.token(), asked).replayed
    keys = [key for key, _ in world.upstream.effects]
    assert len(set(keys)) == len(keys) == 3, "the upstream keeps them apart"
    assert world.verify().ok


def test_rule_12_what_nobody_knows_to_have_failed_is_not_asked_for_again(world):
    asked = connected("payments.scale", "", "staging", {"to": "a.example:1", "amount": 1})
    world.upstream.raises = TimeoutError("no answer")
    assert world.door.call(world.token(), asked).status is OutcomeStatus.UNKNOWN
    world.upstream.raises = None
    assert world.door.call(world.token(), asked).status is OutcomeStatus.UNKNOWN
    assert len(world.upstream.effects) == 1


def test_a_callers_own_key_is_answered_as_it_was(world):
    world.upstream.raises = TargetError("it says 422", code="upstream_refused", next_step="correct it")
    first = world.door.call(world.token(), scale())
    world.upstream.raises = None
    again = world.door.call(world.token(), scale())
    assert (first.status, again.status, again.replayed) == (OutcomeStatus.FAILED, OutcomeStatus.FAILED, True)
    assert len(world.upstream.effects) == 1
