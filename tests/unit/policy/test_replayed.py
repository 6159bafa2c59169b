"""What a candidate would change about the record, counted; and what rules on trial say about their thresholds."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.decision import Decision, Effect, Reason
from bywire.policy import replayed, shadow_report
from bywire.policy.replayed import LOOSER, OTHERWISE, STRICTER, ReplayCount
from bywire.policy.shadow_report import nearest_rank, report


def decided(effect, *rules, obligations=()):
    return Decision(
        "id", Effect(effect), tuple(Reason(rule, {}) for rule in rules), tuple(obligations), "e", "b", "x", "i"
    )


def asked(principal="agent:a", tool="deploy", **action):
    return {"principal": {"id": principal}, "action": {"tool": tool, **action}}


def replay(*pairs):
    count = ReplayCount()
    count.add(
        ((entry, was, asked()) for entry, (was, _) in enumerate(pairs)),
        tuple(now for _, now in pairs),
    )
    return count.report()


@pytest.mark.parametrize(
    ("was", "now", "direction", "rule"),
    [
        (decided("deny", "a.x"), decided("allow", "allow.table"), LOOSER, "a.x"),
        (decided("deny", "a.x", "a.y"), decided("approval_needed", "a.y"), LOOSER, "a.x"),
        (decided("approval_needed", "approval.required"), decided("sanitize", "b.c"), LOOSER, "approval.required"),
        (decided("allow", "allow.table"), decided("deny", "agents.a.max_replicas"), STRICTER, "agents.a.max_replicas"),
        (decided("deny", "a.x"), decided("deny", "a.y"), OTHERWISE, "a.y"),
        (decided("deny", "a.x", "a.y"), decided("deny", "a.x"), OTHERWISE, "a.y"),
    ],
)
def test_a_change_has_a_direction_and_a_rule(was, now, direction, rule):
    found = replay((was, now), (was, was))
    (group,) = found.groups
    assert (group.direction, group.rule, group.count, group.examples) == (direction, rule, 1, (0,))
    assert (found.decisions, getattr(found, direction)) == (2, 1)


def test_changes_are_grouped_with_few_examples_most_dangerous_first():
    looser = (decided("deny", "a.x"), decided("allow", "allow.table"))
    stricter = (decided("allow", "allow.table"), decided("deny", "a.z"))
    found = replay(*[stricter] * 9, looser)
    assert [(group.direction, group.count) for group in found.groups] == [(LOOSER, 1), (STRICTER, 9)]
    assert found.groups[1].examples == (0, 1, 2)


def test_groups_are_bounded(monkeypatch):
    monkeypatch.setattr(replayed, "GROUPS_MAX", 2)
    found = replay(*((decided("allow", "t"), decided("deny", f"a.{number}")) for number in range(5)))
    assert sum(group.count for group in found.groups) == 5
    assert {group.rule for group in found.groups} == {"a.0", "a.1", "(others)"}


def tried(rule, principal="agent:a", tool="deploy", facts=None, effect="allow", **action):
    obligation = {"kind": "shadowed", "rule": rule, "owner": "person:dana", "facts": facts or {}}
    return decided(effect, "allow.table", obligations=(obligation,)), asked(principal, tool, **action)


def plain(principal="agent:a", tool="deploy", effect="allow", **action):
    return decided(effect, "allow.table"), asked(principal, tool, **action)


def of(*recorded):
    return report(lambda: recorded)


def test_the_share_that_would_have_been_refused():
    found = of(tried("a.x"), tried("a.x", "agent:b"), tried("b.y"), plain(), plain(effect="deny"))
    assert (found.decisions, found.blocked, found.would_block, found.ratio) == (5, 1, 3, 0.6)
    assert [(item.rule, item.count, item.agents) for item in found.rules] == [
        ("a.x", 2, {"agent:a": 1, "agent:b": 1}),
        ("b.y", 1, {"agent:a": 1}),
    ]
    assert found.agents == {"agent:a": 2, "agent:b": 1}
    assert of().ratio == 0.0


def test_a_limit_is_suggested_from_everything_that_was_asked():
    small = [plain(meaning={"replicas": number}) for number in range(1, 100)]
    large = tried("agents.a.max_replicas", facts={"limit": 50, "replicas": 900}, meaning={"replicas": 900})
    other = [plain("agent:b", meaning={"replicas": 10**6}), plain(tool="other", meaning={"replicas": 10**6})]
    (found,) = of(*small, large, *other).suggestions
    assert (found.observed, found.hits, found.percentile, found.highest, found.limit) == (100, 1, 99, 900, 50)
    assert (found.principal, found.tool, found.subject) == ("agent:a", "deploy", "meaning.replicas")


def test_a_budget_is_suggested_from_what_was_used_and_asked_in_all():
    scope = "principal:agent:a|tool:deploy"

    def using(made, observed, *others):
        usage = [{"scope": scope, "unit": "tokens", "period": "minute", "observed": observed, "asked": 1_000}, *others]
        return made[0], {**made[1], "state": {"usage": usage}}

    facts = {"unit": "tokens", "period": "minute", "scope": scope, "observed": 99_000, "asked": 1_000, "limit": 50_000}
    other = {"scope": "principal:agent:a", "unit": "tokens", "period": "minute", "observed": 10**9, "asked": 1_000}
    recorded = [using(plain(), number * 1_000, other) for number in range(99)]
    odd = [(plain()[0], {**plain()[1], "state": state}) for state in (None, {"usage": 7}, {"usage": [7, {}]})]
    worst = using(tried("agents.a.budget", facts=facts), 99_000, other)
    (found,) = of(*recorded, worst, *odd).suggestions
    assert found.subject == f"tokens by the minute of {scope}"
    assert (found.observed, found.hits, found.percentile) == (100, 1, 99)
    assert (found.highest, found.limit) == (100, 50)


def test_a_day_of_all_that_an_agent_does_names_no_scope_in_the_question():
    facts = {"unit": "actions", "period": "day", "scope": "principal:agent:a", "observed": 2, "asked": 1, "limit": 2}
    decided_, question = tried("agents.a.budget", facts=facts)
    usage = [{"unit": "actions", "period": "day", "observed": 2, "asked": 1}]
    (found,) = of((decided_, {**question, "state": {"usage": usage}})).suggestions
    assert (found.highest, found.limit, found.hits) == (0.003, 0.002, 1)


def test_a_parameter_is_told_with_its_refused_values():
    facts = {"parameter": "spec.mode", "must": "be x"}
    recorded = [tried("agents.a.parameter", facts=facts, parameters={"spec": {"mode": mode}}) for mode in ("y", "y", 7)]
    texts, numbers = (
        [tried("agents.a.parameter", facts=facts, parameters={})],
        [plain(parameters={"spec": {"mode": "x"}})],
    )
    (found,) = of(*recorded, *texts, *numbers).suggestions
    assert (found.observed, found.hits, found.subject) == (5, 4, "parameters.spec.mode")
    assert found.values == {"y": 2, "(not given)": 1}


def test_images_destinations_and_findings_are_told():
    recorded = [
        tried("agents.a.image_not_allowed", meaning={"images": ["app:latest"]}),
        tried("egress.not_listed", tool="open_connection", destination={"host": "pypi.example", "port": 443}),
        tried(
            "inspect.shell",
            facts={"parameter": "cmd"},
            findings=[{"class": "shell", "kind": "pipe", "parameter": "cmd"}],
        ),
    ]
    assert {item.rule: item.values for item in of(*recorded).suggestions} == {
        "agents.a.image_not_allowed": {"app:latest": 1},
        "egress.not_listed": {"pypi.example:443": 1},
        "inspect.shell": {"shell pipe in cmd": 1},
    }


@pytest.mark.parametrize(
    "question", [{}, {"principal": None}, {"action": []}, {"principal": {"id": 7}, "action": {"tool": None}}]
)
def test_a_record_of_another_shape_is_counted_and_not_understood(question):
    decision, _ = tried("agents.a.max_replicas")
    assert of((decision, question)).would_block == 1
    odd = msgspec.structs.replace(decision, obligations=({"kind": "shadowed"}, {"kind": "shadowed", "rule": 7}))
    assert of((odd, question)).would_block == 0


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(shadow_report, "DISTINCT_MAX", 3)
    monkeypatch.setattr(shadow_report, "SUBJECTS_MAX", 2)
    recorded = [
        tried("agents.a.max_replicas", f"agent:{number}", meaning={"replicas": number}) for number in range(9)
    ] + [tried("agents.a.max_replicas", "agent:0", meaning={"replicas": number}) for number in range(9)]
    found = of(*recorded)
    assert len(found.suggestions) == 2
    assert max(item.observed for item in found.suggestions) == 10


@given(st.lists(st.integers(-5, 5), min_size=1), st.integers(1, 100))
def test_the_nearest_rank(values, percent):
    found = nearest_rank(Counter(values), percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert all(sum(value <= less for value in values) * 100 < percent * len(values) for less in values if less < found)


def test_nothing_has_no_percentile():
    assert nearest_rank(Counter(), 99) is None
