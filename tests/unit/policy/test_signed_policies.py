"""Signatures of persons over policies and shadows: whose they are, over what, and what nobody can sign away."""

import msgspec
import pytest

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import EvidenceError, PolicyError
from bywire.model.principal import KeyRole
from bywire.model.statement import SHADOW_RULE, Statement, subject
from bywire.policy.bundle import parse_bundle
from bywire.policy.endorsement import sign_bundle, verify_bundle
from bywire.policy.shadow import DAY_MS, DAYS_MAX, NEVER, Shadow, check_allowed, sign_shadow, verify_shadow
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
ALICE, BOB, AGENT = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))


def trusted(key, principal, role=KeyRole.APPROVER, **more):
    public = key.public.raw_public.hex()
    return TrustedKey(key_id=key.key_id, role=role, principal=principal, public=public, **more)


TRUST = TrustRoot(
    version=1,
    origin="log.example/x",
    keys=(trusted(ALICE, "person:alice"), trusted(BOB, "person:bob"), trusted(AGENT, "agent:x", KeyRole.AGENT)),
)
RETIRED = TrustRoot(version=1, origin="log.example/x", keys=(trusted(ALICE, "person:alice", to_index=7),))


def bundle(revision=1, text="package bywire.a\n"):
    manifest = f'{{"revision": {revision}, "input_version": 1, "entrypoints": ["data.bywire.a.decision"]}}'
    return parse_bundle({"manifest.json": manifest.encode(), "a.rego": text.encode()})


def test_a_bundle_signed_by_a_person():
    envelope = sign_bundle(bundle(), "person:alice", ALICE, NOW)
    endorsement, key_id = verify_bundle(envelope, bundle(), TRUST)
    assert key_id == ALICE.key_id
    assert (endorsement.person, endorsement.revision, endorsement.at_ms) == ("person:alice", 1, NOW)


@pytest.mark.parametrize("other", [bundle(2), bundle(1, "package bywire.a\n# other\n")])
def test_a_signature_is_over_one_bundle_only(other):
    with pytest.raises(EvidenceError) as refused:
        verify_bundle(sign_bundle(bundle(), "person:alice", ALICE, NOW), other, TRUST)
    assert refused.value.code == "bundle_signature"


@pytest.mark.parametrize(
    ("person", "key", "code"),
    [
        ("person:alice", BOB, "signature_invalid"),
        ("person:alice", AGENT, "signature_invalid"),
        ("person:carol", ALICE, "signer_unknown"),
        ("agent:x", AGENT, "signer_unknown"),
        ("", ALICE, "signer_unknown"),
    ],
)
def test_only_the_person_named_can_have_signed(person, key, code):
    with pytest.raises(EvidenceError) as refused:
        verify_bundle(sign_bundle(bundle(), person, key, NOW), bundle(), TRUST)
    assert refused.value.code == code


def test_a_key_that_was_retired_signs_nothing_new():
    envelope = sign_bundle(bundle(), "person:alice", ALICE, NOW)
    with pytest.raises(EvidenceError, match="valid now"):
        verify_bundle(envelope, bundle(), RETIRED)
    assert verify_bundle(envelope, bundle(), RETIRED, index=6).predicate.person == "person:alice"


def test_a_shadow_is_no_signature_of_a_bundle():
    with pytest.raises(EvidenceError):
        verify_bundle(sign_shadow(shadow(), ALICE), bundle(), TRUST)


def shadow(**changed):
    fields = {
        "rule": "gate.coverage_low",
        "owner": "person:alice",
        "expires_at_ms": NOW + 2 * DAY_MS,
        "environment": "staging",
        "service": "tiny",
        "reason": "the tool counts generated files",
        "at_ms": NOW,
    }
    return Shadow(**(fields | changed))


RULES = {"gate.coverage_low", "gate.hard", "grant.expired", "principal.unknown", "duties.x", "state.x", "approval.x"}
HARD = {"gate.hard": True}
OBJECTIONS = {"gate.coverage_low"}


def allowed(made, never=()):
    check_allowed(made, RULES | {"allow.table"}, HARD, never, objections=OBJECTIONS)


def test_a_shadow_counts_here_and_until_it_expires():
    signed = verify_shadow(sign_shadow(shadow(), ALICE), TRUST)
    assert signed == shadow()
    assert signed.in_force(NOW, "tiny", "staging")
    assert signed.in_force(NOW + 2 * DAY_MS - 1, "tiny", "staging")
    assert not signed.in_force(NOW + 2 * DAY_MS, "tiny", "staging")
    assert not signed.in_force(NOW - 1, "tiny", "staging")
    assert not signed.in_force(NOW, "other", "staging")
    assert not signed.in_force(NOW, "tiny", "non-production")
    allowed(signed)


@pytest.mark.parametrize("envelope", [sign_shadow(shadow(), BOB), sign_shadow(shadow(owner="agent:x"), AGENT)])
def test_rule_28_a_shadow_of_somebody_else_is_not_believed(envelope):
    with pytest.raises(EvidenceError):
        verify_shadow(envelope, TRUST)


def test_a_shadow_of_a_retired_key_is_not_believed():
    with pytest.raises(EvidenceError):
        verify_shadow(sign_shadow(shadow(), ALICE), RETIRED)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"environment": "production"}, "production"),
        ({"rule": "gate.hard"}, "hard rule"),
        ({"rule": "gate.misspelt"}, "no rule"),
        ({"rule": "allow.table"}, "refuses nothing"),
        ({"expires_at_ms": NOW}, "1 to"),
        ({"expires_at_ms": NOW + (DAYS_MAX + 1) * DAY_MS}, "1 to"),
        *(({"rule": f"{prefix}x"}, "never shadowed") for prefix in NEVER),
    ],
)
def test_rule_28_what_may_never_be_shadowed(changed, told):
    with pytest.raises(PolicyError, match=told) as refused:
        allowed(shadow(**changed))
    assert refused.value.code == "shadow_refused"
    assert refused.value.next_step


def test_a_policy_may_add_to_what_is_never_shadowed():
    allowed(shadow(), ("approval.",))
    with pytest.raises(PolicyError, match="never shadowed"):
        allowed(shadow(), ("gate.coverage_",))


@pytest.mark.parametrize("changed", [{"environment": "production"}, {"rule": "grant.expired"}, {"rule": "duties.x"}])
def test_rule_28_a_signature_does_not_make_it_so(changed):
    """Written past our own check, with a good key: it is refused when it is read."""
    with pytest.raises(EvidenceError):
        verify_shadow(sign_shadow(shadow(**changed), ALICE), TRUST)
    assert not shadow(environment="production").in_force(NOW, "tiny", "production")


@pytest.mark.parametrize("predicate", [{}, {"rule": "x"}, {"rule": "A b", "owner": "person:alice"}])
def test_a_malformed_shadow_is_refused(predicate):
    statement = Statement(subject=(subject("x", "0" * 64),), predicateType=SHADOW_RULE, predicate=predicate)
    with pytest.raises(EvidenceError):
        verify_shadow(sign_statement(statement, ALICE), TRUST)


def test_a_shadow_with_more_than_it_should_hold_is_refused():
    predicate = {**msgspec.to_builtins(shadow()), "also": 1}
    statement = Statement(subject=(subject("x", "0" * 64),), predicateType=SHADOW_RULE, predicate=predicate)
    with pytest.raises(EvidenceError):
        verify_shadow(sign_statement(statement, ALICE), TRUST)
