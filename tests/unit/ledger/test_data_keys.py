"""Names of data keys, classes of entries, and dates: what retention means before anything is erased."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.ledger.entry import record_entry
from bywire.ledger.retention import (
    CLASSES,
    DAY_MS,
    ERASABLE,
    KEEP,
    DataKey,
    Erasure,
    class_of,
    first_day_kept,
    iso_day,
    key_number,
    parse_erasure,
    retention_statement,
)
from bywire.model.errors import ConfigError, EvidenceError

ROOT = bytes(32)
SAID = Erasure(
    at_ms=1, before="2026-01-05", by="person:a", classes=("decisions",), end=9, kept=(), keys=(), reason="policy"
)


def entry(kind, at_ms=0, about="dl-1"):
    return record_entry(kind, at_ms, about, b"{}")


@given(st.sampled_from(ERASABLE), st.integers(0, 2_932_896))
def test_a_key_is_its_number_and_its_name(retention_class, day):
    key = DataKey(retention_class, day)
    assert DataKey.of_number(key.number) == DataKey.of_name(key.name) == key
    assert key.number > DataKey(KEEP, 0).number == 0
    assert key.number // 16 == day


@given(st.sampled_from(ERASABLE), st.integers(0, 2**53 - 1))
def test_an_entry_lies_under_the_key_of_its_day(retention_class, at_ms):
    kind = {"decisions": "outcome", "evidence": "plan"}[retention_class]
    day = at_ms // DAY_MS
    expected = DataKey(retention_class, day) if day <= 2_932_896 else DataKey(KEEP, 0)
    assert DataKey.of_number(key_number(entry(kind, at_ms))) == expected


@pytest.mark.parametrize("number", [-1, 1 + 15, 16, 5, 2_932_897 * 16 + 1])
def test_no_key_has_other_numbers(number):
    with pytest.raises(ValueError, match="no data key"):
        DataKey.of_number(number)


@pytest.mark.parametrize(
    "name", ["", "keep-1970-01-01", "decisions", "decisions-20260105", "other-2026-01-05", "decisions-1969-12-31"]
)
def test_no_key_has_other_names(name):
    with pytest.raises(ValueError, match=r"no data key|isoformat|not a day"):
        DataKey.of_name(name)


@pytest.mark.parametrize(
    ("kind", "about", "expected"),
    [
        ("decision", "dl-1", "decisions"),
        ("reads", "workspace", "decisions"),
        ("test-report", "dl-1", "evidence"),
        ("provenance", "dl-1", "evidence"),
        ("provenance", "assets", KEEP),
        ("policy-bundle", "workspace", KEEP),
        ("agent-registration", "workspace", KEEP),
        ("key-change", "workspace", KEEP),
        ("break-glass", "workspace", KEEP),
        ("approval-revocation", "dl-1", KEEP),
        ("retention", "workspace", KEEP),
        ("fork", "workspace", KEEP),
        ("delivery-end", "dl-1", KEEP),
        ("a-kind-of-tomorrow", "dl-1", KEEP),
    ],
)
def test_what_trust_rests_on_and_what_nobody_knows_is_kept(kind, about, expected):
    assert class_of(entry(kind, about=about)) == expected
    assert expected in CLASSES


def covers(index=3, kind="decision", at_ms=0, **changed):
    return msgspec.structs.replace(SAID, **changed).covers(index, entry(kind, at_ms))


def test_an_erasure_covers_what_it_says_and_no_more():
    assert covers()
    assert covers(at_ms=20_458 * DAY_MS - 1)
    assert not covers(at_ms=20_458 * DAY_MS)  # 2026-01-05 itself
    assert not covers(kind="plan")
    assert not covers(kind="policy-bundle")
    assert not covers(index=9)
    assert not covers(kept=(3,))


NOW_MS = 20_460 * DAY_MS + 5


def test_today_and_yesterday_cannot_be_erased():
    assert first_day_kept(iso_day(20_459), NOW_MS) == 20_459
    for before in (iso_day(20_460), "9999-01-01", "yesterday", "2026-1-5", "", "20260101"):
        with pytest.raises(ConfigError) as refused:
            first_day_kept(before, NOW_MS)
        assert refused.value.code == "retention_date"
        assert refused.value.next_step


def test_a_statement_says_what_was_erased():
    assert parse_erasure(retention_statement("log.example", ROOT, SAID)) == SAID


@pytest.mark.parametrize(
    "changed", [{"classes": ("keep",)}, {"before": "someday"}, {"end": "9"}, {"more": 1}, {"kept": None}]
)
def test_a_malformed_statement_says_nothing(changed):
    statement = retention_statement("log.example", ROOT, SAID)
    forged = statement.model_copy(update={"predicate": {**statement.predicate, **changed}})
    with pytest.raises(EvidenceError):
        parse_erasure(forged)
    other = statement.model_copy(update={"predicateType": "https://bywire.dev/plan/v1"})
    with pytest.raises(EvidenceError):
        parse_erasure(other)
