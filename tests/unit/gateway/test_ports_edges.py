"""What crosses the door's ports: it does not change on its way, and says nothing that nobody said."""

import msgspec
import pytest
from gateway_doubles import NOW, SNAPSHOT, ask, decision, entrance, row_of

from bywire.gateway.condition import Comparison, Condition
from bywire.gateway.contract import Idempotency
from bywire.gateway.deciding import Judged
from bywire.gateway.ports import Credential, Debit, Intent, Miss
from bywire.model.decision import Effect, Sanitized

ROW = row_of()
SHARED = {field.name for field in msgspec.structs.fields(type(ROW))}
PLAIN = Intent(
    **{
        field.name: getattr(ROW, field.name)
        for field in msgspec.structs.fields(Intent)
        if field.required and field.name in SHARED
    },
    session_id="se-1",
    integrity="trusted",
    stop_epoch=3,
    bundle_digest="d" * 64,
    grant_id="",
    debits=(),
    exposure_reducing=False,
    now_ms=NOW,
    decision_envelope=b"{}",
)
ASKED = entrance().ask("1", ask())
SANITIZED = Sanitized(Effect.SANITIZE, "de-0", "e" * 64, {"email": 2}, 1)


@pytest.mark.parametrize(
    "made",
    [
        SNAPSHOT,
        ROW,
        PLAIN,
        ASKED,
        Judged(ASKED, decision(), {}, None, None),
        Debit("s", 1),
        Miss("r", {}),
        Credential("ci", "v", "https://ci.example:443", NOW, minted=False),
        Condition("c", "seen", Comparison.PRESENT),
    ],
    ids=lambda made: type(made).__name__,
)
def test_what_was_handed_over_does_not_change(made):
    field = msgspec.structs.fields(made)[0].name
    with pytest.raises(AttributeError):
        setattr(made, field, getattr(made, field))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({}, None),
        ({"sanitized": None}, None),
        ({"sanitized": msgspec.to_builtins(SANITIZED)}, SANITIZED),
        ({"sanitized": {"before": "sanitize"}}, None),
        ({"sanitized": "sanitize"}, None),
    ],
    ids=["nothing", "none", "whole", "in part", "a word"],
)
def test_rule_06_a_row_says_how_it_became_this_action_or_nothing(said, read):
    row = msgspec.structs.replace(ROW, request={**ROW.request, **said})
    assert row.sanitized == read


def test_what_is_not_said_is_nothing():
    assert (SNAPSHOT.incident_mode, SNAPSHOT.budget_hour, SNAPSHOT.budget_used) == (False, 0, 0)
    assert (PLAIN.grant_uses, PLAIN.break_glass_id, PLAIN.sealed) == (1, "", b"")
    assert ROW.sealed == b""


def test_the_vocabulary_of_contracts_is_that_of_the_rules():
    assert [str(word) for word in Idempotency] == ["native", "queryable", "none"]
    assert [str(word) for word in Comparison] == ["equals", "at_most", "present"]
