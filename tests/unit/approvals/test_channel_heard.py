"""What a channel heard: its fields, the five minutes it is good for, its signature and its name for replays."""

import hashlib

import msgspec
import pytest

from bywire.approvals.channel_heard import (
    SECRET_BYTES_MIN,
    WINDOW_MS,
    Heard,
    check_mac,
    check_window,
    mac,
    once,
    refused,
)
from bywire.model.errors import EvidenceError

NOW = 1_790_000_000_000
NEXT = "check the signing secret and the clock; see docs/gateway.md, channels"
OUTSIDE = {
    "code": "callback_refused",
    "message": "the callback is too old, or of the future",
    "next_step": NEXT,
}
FORGED = {
    "code": "callback_refused",
    "message": "the callback's signature is not the platform's",
    "next_step": NEXT,
}


def sha256(text):
    return hashlib.sha256(text).hexdigest()


def test_the_window_is_five_minutes_and_a_secret_has_sixteen_bytes():
    assert (WINDOW_MS, SECRET_BYTES_MIN) == (300_000, 16)


def test_a_refusal_says_why_and_what_to_check():
    found = refused("because")
    assert type(found) is EvidenceError
    assert found.as_json() == {"code": "callback_refused", "message": "because", "next_step": NEXT}
    assert str(found) == "because"


def test_a_verdict_holds_what_was_said_and_a_reason_may_be_missing():
    found = Heard("slack", "U0", "ap-000000000001", "a" * 16, "approved", "slack:1")
    assert msgspec.structs.asdict(found) == {
        "channel": "slack",
        "member": "U0",
        "approval": "ap-000000000001",
        "digest": "a" * 16,
        "verdict": "approved",
        "once": "slack:1",
        "reason": "",
    }


@pytest.mark.parametrize("field", Heard.__struct_fields__)
def test_nobody_rewrites_what_was_heard(field):
    found = Heard("slack", "U0", "ap-000000000001", "a" * 16, "approved", "slack:1", "read it")
    with pytest.raises(AttributeError):
        setattr(found, field, "other")


@pytest.mark.parametrize("late_ms", [-300_000, -299_999, -1, 0, 1, 299_999, 300_000])
def test_what_is_five_minutes_away_at_most_is_heard(late_ms):
    assert check_window(NOW, NOW + late_ms) is None


@pytest.mark.parametrize("late_ms", [-NOW, -300_001, 300_001, 86_400_000])
def test_what_is_further_away_is_refused(late_ms):
    with pytest.raises(EvidenceError) as found:
        check_window(NOW, NOW + late_ms)
    assert found.value.as_json() == OUTSIDE


@pytest.mark.parametrize(
    ("secret", "message", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    ],
)
def test_a_mac_is_that_of_rfc_4231(secret, message, expected):
    assert mac(secret, message).hex() == expected


def test_an_equal_mac_is_the_platforms():
    assert check_mac(bytes(range(32)), bytes(range(32))) is None


@pytest.mark.parametrize(
    "said",
    [
        b"",
        bytes(range(31)),
        bytes(range(33)),
        bytes(range(31)) + b"\x00",
        b"\x01" + bytes(range(1, 32)),
        bytes(range(32)).hex().encode(),
    ],
)
def test_any_other_mac_is_forged(said):
    with pytest.raises(EvidenceError) as found:
        check_mac(said, bytes(range(32)))
    assert found.value.as_json() == FORGED


@pytest.mark.parametrize(
    ("parts", "hashed"),
    [
        ((), b""),
        ((b"",), b"\0\0\0\0\0\0\0\0"),
        ((b"abc",), b"\0\0\0\0\0\0\0\3abc"),
        ((b"a", b"bc"), b"\0\0\0\0\0\0\0\1a\0\0\0\0\0\0\0\2bc"),
        ((b"ab", b"c"), b"\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c"),
        ((b"abc", b""), b"\0\0\0\0\0\0\0\3abc\0\0\0\0\0\0\0\0"),
        ((b"x" * 258,), b"\0\0\0\0\0\0\1\2" + b"x" * 258),
    ],
)
def test_a_messages_name_is_the_digest_of_its_parts_with_their_lengths(parts, hashed):
    assert once("teams", *parts) == f"teams:{sha256(hashed)}"


def test_a_messages_name_is_known_by_its_letters():
    assert once("slack", b"abc") == "slack:c3494ca1a2cf8eeb8a11ded316fb55b83c3bbbedb6313cd50415251e5d09e12f"


def test_the_same_message_in_two_channels_has_two_names():
    assert once("slack", b"abc") != once("teams", b"abc")
