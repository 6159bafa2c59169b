"""A key that is believed for one thing is believed for no other."""

import pytest

from bywire.identity.signing import may_sign
from bywire.model import statement
from bywire.model.principal import KeyRole

KINDS = sorted(
    value for name, value in vars(statement).items() if name.isupper() and isinstance(value, str) and "://" in value
)


@pytest.mark.parametrize("kind", KINDS)
def test_rule_03_a_token_key_signs_no_statement(kind):
    assert not may_sign(KeyRole.TOKEN, kind)
    assert not may_sign(KeyRole.TOKEN, "https://bywire.dev/unheard-of/v1")


@pytest.mark.parametrize("kind", KINDS)
def test_rule_03_nobody_but_a_person_or_their_channel_signs_for_a_person(kind):
    people = {role for role in (KeyRole.APPROVER, KeyRole.CHANNEL) if may_sign(role, kind)}
    others = {role for role in KeyRole if may_sign(role, kind)} - people
    assert not (people and others)
    assert people or others
    assert may_sign(KeyRole.CHANNEL, kind) == (kind == statement.APPROVAL)


@pytest.mark.parametrize(
    ("role", "kind", "may"),
    [
        (KeyRole.AGENT, statement.PLAN, True),
        (KeyRole.AGENT, statement.PROVENANCE, False),
        (KeyRole.AGENT, statement.DECISION, False),
        (KeyRole.AGENT, statement.OUTCOME, False),
        (KeyRole.AGENT, statement.APPROVAL, False),
        (KeyRole.BUILDER, statement.PROVENANCE, True),
        (KeyRole.BUILDER, statement.RETENTION, False),
        (KeyRole.LOG, statement.DECISION, True),
        (KeyRole.LOG, statement.BREAK_GLASS, False),
        (KeyRole.LOG, statement.INTENT_SETTLEMENT, False),
        (KeyRole.APPROVER, statement.APPROVAL, True),
        (KeyRole.APPROVER, statement.PLAN, False),
        (KeyRole.APPROVER, statement.KEY_CHANGE, False),
    ],
)
def test_rule_03_who_signs_what(role, kind, may):
    assert may_sign(role, kind) is may
