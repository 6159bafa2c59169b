"""The canonical action: every field is in its digest, no secret is in it, and the caller's dictionaries are not."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.canonical import action_json, canonicalise
from bywire.gateway.redaction import REDACTOR_VERSION, Redactor
from bywire.model.action import ActionRequest, CanonicalAction
from bywire.model.errors import EvidenceError
from bywire.model.principal import Principal, PrincipalKind
from bywire.seal import jcs

AGENT = Principal("agent:release-controller", PrincipalKind.AGENT, "person:dana")
REDACTOR = Redactor(b"w" * 32)
SECRET = "ghp_" + "a1B2" * 9


def request(**changes):
    asked = ActionRequest(
        tool="set_canary_weight",
        service="storefront",
        environment="production",
        parameters={"weight": 5, "nested": {"list": [1, "two"]}},
        idempotency_key="k",
        evidence=("b" * 64, "a" * 64),
        plan="c" * 64,
        change="dl-1",
    )
    return msgspec.structs.replace(asked, **changes)


def digest(asked=None, principal=AGENT, redactor=REDACTOR, **changes):
    return canonicalise(asked or request(**changes), principal, redactor).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"tool": "promote_release"},
        {"service": "other"},
        {"environment": "staging"},
        {"parameters": {"weight": 6, "nested": {"list": [1, "two"]}}},
        {"parameters": {"weight": 5, "nested": {"list": ["two", 1]}}},
        {"parameters": {"weight": "5", "nested": {"list": [1, "two"]}}},
        {"parameters": {"weight": 5}},
        {"parameters": {"weight": 5, "nested": {"list": [1, "two"]}, "more": None}},
        {"evidence": ("a" * 64,)},
        {"evidence": ("a" * 64, "b" * 64, "b" * 64)},
        {"plan": ""},
        {"change": "dl-2"},
    ],
)
def test_rule_04_the_digest_covers_what_was_asked(changes):
    assert digest(**changes) != digest()


def test_rule_04_the_digest_covers_who_asks_and_the_redactor():
    other = Principal("agent:coder", PrincipalKind.AGENT, "person:dana")
    assert digest(principal=other) != digest()
    canonical = canonicalise(request(), AGENT, REDACTOR)
    assert canonical.redactor == REDACTOR_VERSION
    bound = {name: value for name, value in action_json(canonical).items() if name != "digest"}
    assert canonical.digest == jcs.digest(bound)
    for field in msgspec.structs.fields(CanonicalAction):
        if field.name != "digest":
            assert jcs.digest({**bound, field.name: "another"}) != canonical.digest


def test_the_order_of_evidence_and_keys_does_not_matter():
    backwards = {"nested": {"list": [1, "two"]}, "weight": 5}
    assert digest(evidence=("a" * 64, "b" * 64), parameters=backwards) == digest()


def test_a_retry_is_the_same_action():
    assert digest(idempotency_key="another") == digest()


def test_rule_04_a_secret_is_bound_but_not_shown():
    action = canonicalise(request(parameters={"note": f"use {SECRET}"}), AGENT, REDACTOR)
    assert SECRET not in json.dumps(action_json(action))
    assert action.parameters["note"]["text"] == "use [github_token]"
    other = SECRET[:-1] + "Z"
    assert digest(parameters={"note": f"use {other}"}) != action.digest
    assert digest(parameters={"note": f"use {SECRET}"}) == action.digest
    assert digest(parameters={"note": "use [github_token]"}) != action.digest
    assert digest(parameters={"note": action.parameters["note"]}) != action.digest


def test_rule_04_the_canonical_form_does_not_share_the_callers_dictionaries():
    asked = request()
    action = canonicalise(asked, AGENT, REDACTOR)
    asked.parameters["nested"]["list"].append("three")
    asked.parameters["weight"] = 100
    assert action.parameters == {"weight": 5, "nested": {"list": [1, "two"]}}
    assert canonicalise(asked, AGENT, REDACTOR).digest != action.digest


@pytest.mark.parametrize("value", [2**60, float("nan"), "\ud800", b"raw", {"deep": [[[[[]]]] * 2]}, object()])
def test_what_has_no_canonical_form_is_no_action(value):
    nested = value
    for _ in range(70):
        nested = [nested]
    with pytest.raises(EvidenceError) as caught:
        digest(parameters={"v": nested if isinstance(value, dict) else value})
    assert caught.value.code == "not_canonical"


PARAMETERS = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text(max_size=12), st.just(SECRET)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
        max_leaves=6,
    ),
    max_size=3,
)


@given(PARAMETERS, PARAMETERS)
def test_rule_04_different_parameters_have_different_digests(one, two):
    same = jcs.digest(one) == jcs.digest(two)
    assert (digest(parameters=one) == digest(parameters=two)) == same
