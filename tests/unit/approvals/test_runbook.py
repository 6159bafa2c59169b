"""A runbook is a standing grant with every bound in it: what is not bounded is no runbook."""

import copy

import pytest
from approval_fixtures import NOW, TRUST, approve, packet

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.grant import grant_facts, verify_approval
from bywire.approvals.packet import evidence_digest
from bywire.approvals.runbook import NEVER_STEPS, VALID_SECONDS_MAX, bounds, parse_runbook
from bywire.model.errors import EvidenceError
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex

RUNBOOK = {
    "service": "storefront",
    "environment": "production",
    "steps": [
        {"tool": "toggle_feature_flag", "parameters": {"flag": {"equals": "quotes"}, "on": {"equals": False}}},
        {"tool": "set_canary_weight", "parameters": {"weight": {"min": 0, "max": 25}, "arm": {"one_of": ["a", "b"]}}},
    ],
    "uses": 5,
    "valid_seconds": 86_400,
}


def asks(runbook=RUNBOOK, **changes):
    """The packet by which a runbook's standing grant is asked for."""
    action = {"tool": "start_runbook", "parameters": runbook, "principal": "agent:incident-responder"}
    given = {"evidence": (), "evidence_digest": evidence_digest(()), **changes}
    return packet(plan=runbook, action=action, action_digest=jcs.digest(action), **given)


def changed(*path, to):
    """The runbook with one value replaced."""
    copied = copy.deepcopy(RUNBOOK)
    place = copied
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return copied


def granted(of):
    return verify_approvals(Candidate(of, (approve(of),)), TRUST)


def test_rule_20_an_approved_runbook_grants_its_uses_until_its_own_time():
    grant = granted(asks())
    assert (grant.kind, grant.uses) == ("runbook", 5)
    assert grant.expires_at_ms == NOW + 86_400_000
    facts = grant_facts(grant, evidence_digest=evidence_digest(()), uses_left=4, revoked=False)
    assert (facts["kind"], facts["plan"], facts["uses_left"]) == ("runbook", None, 4)
    assert facts["plan_digest"] == facts["runbook"]["digest"] == jcs.digest(RUNBOOK)
    assert facts["expires_at_ms"] == grant.expires_at_ms
    shown = {name: RUNBOOK[name] for name in ("steps", "environment", "service")}
    assert facts["runbook"] == {"digest": jcs.digest(RUNBOOK), **shown}


def test_rule_18_evidence_that_a_runbook_binds_holds_its_steps_to_it():
    bound = (sha256_hex(b"x"),)
    free, strict = granted(asks()), granted(asks(evidence=bound, evidence_digest=evidence_digest(bound)))
    for grant, matches in ((free, True), (strict, False)):
        facts = grant_facts(grant, evidence_digest=evidence_digest((sha256_hex(b"y"),)), uses_left=1, revoked=False)
        assert facts["evidence_digest_matches"] is matches
    same = grant_facts(strict, evidence_digest=evidence_digest(bound), uses_left=1, revoked=False)
    assert same["evidence_digest_matches"] is True


MALFORMED = [
    ((), []),
    (("steps",), []),
    (("steps",), [RUNBOOK["steps"][0]] * 33),
    (("uses",), 0),
    (("uses",), 101),
    (("uses",), True),
    (("valid_seconds",), VALID_SECONDS_MAX + 1),
    (("valid_seconds",), 0),
    (("valid_seconds",), 60.5),
    (("service",), ""),
    (("more",), 1),
    (("steps", 0, "tool"), "*"),
    (("steps", 0, "tool"), "Toggle"),
    (("steps", 0, "tool"), ""),
    (("steps", 0, "more"), 1),
    (("steps", 0, "parameters", "flag"), "quotes"),
    (("steps", 0, "parameters", "flag"), {}),
    (("steps", 0, "parameters", "flag"), {"any": True}),
    (("steps", 0, "parameters", "flag"), {"equals": None}),
    (("steps", 0, "parameters", "flag"), {"equals": ["a"]}),
    (("steps", 0, "parameters", "flag"), {"equals": {"a": 1}}),
    (("steps", 0, "parameters", "flag"), {"equals": "x" * 1_025}),
    (("steps", 0, "parameters", "flag"), {"equals": 1, "one_of": [1]}),
    (("steps", 1, "parameters", "weight"), {"min": 0}),
    (("steps", 1, "parameters", "weight"), {"max": 5}),
    (("steps", 1, "parameters", "weight"), {"min": 6, "max": 5}),
    (("steps", 1, "parameters", "weight"), {"min": "0", "max": "9"}),
    (("steps", 1, "parameters", "weight"), {"min": False, "max": True}),
    (("steps", 1, "parameters", "weight"), {"min": 0, "max": float("inf")}),
    (("steps", 1, "parameters", "weight"), {"min": float("nan"), "max": 1}),
    (("steps", 1, "parameters", "arm"), {"one_of": []}),
    (("steps", 1, "parameters", "arm"), {"one_of": "ab"}),
    (("steps", 1, "parameters", "arm"), {"one_of": ["a"] * 65}),
    *((("steps", 0, "tool"), tool) for tool in sorted(NEVER_STEPS)),
]


@pytest.mark.parametrize(("path", "value"), MALFORMED)
def test_rule_20_what_is_not_bounded_is_no_runbook(path, value):
    with pytest.raises(EvidenceError) as caught:
        parse_runbook(changed(*path, to=value) if path else value)
    assert caught.value.code == "runbook_malformed"
    assert caught.value.next_step


@pytest.mark.parametrize(
    "of",
    [
        asks(changed("uses", to=101)),
        asks(changed("service", to="other")),
        asks(changed("environment", to="staging")),
        packet(plan=None, action=asks().action, action_digest=asks().action_digest),
        packet(plan=changed("uses", to=6), action=asks().action, action_digest=asks().action_digest),
    ],
)
def test_rule_18_a_signed_runbook_for_elsewhere_or_other_than_shown_grants_nothing(of):
    with pytest.raises(EvidenceError) as caught:
        verify_approval(approve(of), TRUST)
    assert caught.value.code == "approval_malformed"


def test_a_person_reads_every_bound():
    assert bounds(parse_runbook(RUNBOOK)) == (
        'toggle_feature_flag(flag = "quotes", on = false)',
        'set_canary_weight(arm in ["a","b"], weight from 0 to 25)',
    )
