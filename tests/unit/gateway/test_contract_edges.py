"""What a contract says when it says nothing, what its schema refuses in which words, and how names are bounded."""

import pytest
from gateway_doubles import SECRET
from hypothesis import assume, given
from hypothesis import strategies as st

from bywire.gateway.contract import (
    PARAMETERS_BYTES_MAX,
    Catalogue,
    Contract,
    ContractError,
    Idempotency,
    Reversibility,
    encoded_size,
    parameters,
)
from bywire.model.connection import Route
from bywire.model.errors import BywireError, EvidenceError
from bywire.seal import jcs

PLAIN = Contract("plain", "repo_write", "target", parameters({"text": {"type": "string"}}))


def message_of(values, contract=PLAIN):
    with pytest.raises(ContractError) as caught:
        Catalogue((contract,)).check(contract, values)
    return caught.value.message


def test_a_contract_that_says_nothing_more_is_a_fenced_write_that_uses_a_grant():
    assert (PLAIN.idempotency, PLAIN.reversibility) == (Idempotency.NATIVE, Reversibility.REVERSIBLE)
    assert (PLAIN.fenced, PLAIN.uses_grant) == (True, True)
    assert (PLAIN.read, PLAIN.exposure_reducing, PLAIN.untrusted_output) == (False, False, False)
    assert (PLAIN.deadline_seconds, PLAIN.rate_per_hour) == (60, 0)
    assert (PLAIN.undo, PLAIN.expected, PLAIN.key_template, PLAIN.credential) == ("", "", "", "")
    assert (PLAIN.preconditions, PLAIN.postconditions) == ((), ())
    assert (PLAIN.risk, PLAIN.upstream, PLAIN.definition, PLAIN.description) == ("", "", "", "")
    assert (PLAIN.reviewed, PLAIN.place, PLAIN.request) == (True, None, None)
    assert (PLAIN.meaning, PLAIN.cost, PLAIN.commands) == ({}, (), ())
    with pytest.raises(AttributeError):
        PLAIN.read = True


@pytest.mark.parametrize(
    ("changes", "others"),
    [({}, False), ({"untrusted_output": True}, True), ({"credential": "ci"}, True)],
)
def test_rule_22_a_platforms_answer_is_somebody_elses_words(changes, others):
    made = Contract("t", "repo_write", "ci", parameters({}), **changes)
    assert made.tells_others_words is others


def test_the_words_of_the_policy_input_are_stable():
    """`undo` of the policy input is one of these; a bundle compares them."""
    assert [str(item) for item in Reversibility] == ["reversible", "compensatable", "irreversible"]


def test_a_key_is_made_of_the_parameters():
    made = Contract("t", "repo_write", "ci", parameters({}), key_template="t:{a}:{b}")
    assert made.key_for({"a": 1, "b": "x", "c": "left out"}) == "t:1:x"
    assert PLAIN.key_for({"text": "x"}) == ""


def test_a_key_of_a_connected_tool_is_a_digest_of_what_its_template_names():
    made = Contract("up.t", "repo_write", "up", parameters({}), key_template="t:{a}:{b}", upstream="up")
    key = made.key_for({"a": SECRET, "b": "x", "c": "left out"})
    assert key == f"derived:{jcs.digest(['t:{a}:{b}', {'a': SECRET, 'b': 'x'}])}"
    assert key == made.key_for({"b": "x", "a": SECRET})
    assert key != made.key_for({"a": SECRET, "b": "y"})
    assert made.key_for({"a": 1}) == made.key_for({"a": 1, "b": None})


def test_a_refusal_names_the_place_and_the_rule_and_no_value():
    deep = parameters({"steps": {"type": "array", "items": parameters({"weight": {"type": "integer"}})}})
    contract = Contract("deep", "repo_write", "target", deep)
    assert message_of({"steps": [{"weight": 1}, {"weight": SECRET}]}, contract).startswith("deep: steps.1.weight: ")
    assert message_of({"text": "x", SECRET: 1}) == "plain: the parameters: has a parameter that nobody declared"
    missing = message_of({})
    assert missing.startswith("plain: the parameters: ")
    assert "nobody declared" not in missing
    assert "text" in missing


def test_what_the_request_of_a_tool_cannot_hold_is_refused_before_anybody_decides_on_it():
    route = Route("POST", "/notes/{text}", headers={"x-tag": "tag"})
    schema = parameters({"text": {"type": "string"}}, {"tag": {"type": "string"}})
    sent = Contract("sent", "repo_write", "up", schema, upstream="up", request=route)
    known = Catalogue((sent,))
    for values in ({"text": "a b"}, {"text": "a", "tag": "v1"}):
        assert known.check(sent, values) == values
    for values, why in (
        ({"text": "../admin"}, "text cannot be part of a path"),
        ({"text": "a", "tag": "v1\r\nx-evil: 1"}, "tag cannot travel in a header"),
    ):
        with pytest.raises(ContractError, match=f"^sent: {why}$") as caught:
            known.check(sent, values)
        assert (caught.value.code, bool(caught.value.next_step)) == ("contract_violated", True)
        assert Catalogue((PLAIN,)).check(None, values) == values


def test_size_is_bounded_to_the_byte():
    filler = "x" * (PARAMETERS_BYTES_MAX - len('{"text":""}'))
    assert PARAMETERS_BYTES_MAX == 65_536
    assert Catalogue((PLAIN,)).check(PLAIN, {"text": filler}) == {"text": filler}
    assert "too large" in message_of({"text": filler + "x"})
    with pytest.raises(ContractError):
        Catalogue(()).check(None, {"text": filler + "x"})


def test_what_has_no_contract_is_copied_as_it_is():
    values = {"any": [1]}
    copied = Catalogue(()).check(None, values)
    assert copied == values
    assert copied["any"] is not values["any"]


def test_a_catalogue_names_its_tools_in_order():
    known = Catalogue((Contract("b", "read", "x", parameters({})), Contract("a", "read", "x", parameters({}))))
    assert known.names() == ("a", "b")
    assert known.find("a").name == "a"
    assert known.find("c") is None


def test_a_schema_made_here_takes_what_is_declared_and_nothing_else():
    made = Contract("t", "read", "x", parameters({"a": {"type": "integer"}}, {"b": {"type": "integer"}}))
    known = Catalogue((made,))
    for values in ({"a": 1}, {"a": 1, "b": 2}):
        assert known.check(made, values) == values
    for values in ({}, {"b": 2}, {"a": 1, "c": 3}, {"a": 1, "b": "2"}, {"a": "1"}):
        with pytest.raises(ContractError):
            known.check(made, values)


def test_what_is_far_too_large_is_refused_before_it_has_a_canonical_form(monkeypatch):
    many = {"text": [1.5] * 250_000}
    monkeypatch.setattr("bywire.gateway.contract.jcs.canonical", lambda _: pytest.fail("it takes half a second"))
    with pytest.raises(ContractError, match="too large"):
        Catalogue(()).check(None, many)


@given(
    st.recursive(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.text(), st.lists)
)
def test_the_canonical_form_is_at_least_half_of_what_it_is_bounded_by_before(value):
    try:
        canonical = jcs.canonical({"a": value})
    except EvidenceError:
        assume(False)
    assert encoded_size({"a": value}) <= 2 * len(canonical)


@pytest.mark.parametrize("value", [object(), {1: object()}, 2**80, float("nan"), "\ud800", {"a": {1, 2}}])
def test_what_is_no_json_is_told_so_by_its_canonical_form(value):
    encoded_size({"a": value})
    with pytest.raises(BywireError):
        Catalogue(()).check(None, {"a": value})
