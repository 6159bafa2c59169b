"""A box opens for its intent, its action and its time, and for nothing else."""

import pytest
from gateway_doubles import NOW, SECRET, WORKSPACE_KEY

from bywire.gateway.sealing import KEPT_MS, open_parameters, seal_parameters
from bywire.model.errors import EvidenceError

RAW = {"text": SECRET, "list": [1, None, {"deep": True}]}
BOX = seal_parameters(RAW, WORKSPACE_KEY, "intent", "digest", NOW)


def code_of(box, key=WORKSPACE_KEY, intent="intent", digest="digest", now_ms=NOW):
    with pytest.raises(EvidenceError) as caught:
        open_parameters(box, key, intent, digest, now_ms)
    assert caught.value.next_step
    return caught.value.code


def test_a_box_opens_until_a_day_later():
    assert KEPT_MS == 24 * 3_600_000
    for now_ms in (0, NOW, NOW + KEPT_MS - 1):
        assert open_parameters(BOX, WORKSPACE_KEY, "intent", "digest", now_ms) == RAW
    assert code_of(BOX, now_ms=NOW + KEPT_MS) == "sealed_expired"


def test_a_box_hides_and_is_the_same_for_the_same():
    assert SECRET.encode() not in BOX
    assert seal_parameters(RAW, WORKSPACE_KEY, "intent", "digest", NOW) == BOX
    others = [
        seal_parameters(RAW, WORKSPACE_KEY, "other", "digest", NOW),
        seal_parameters(RAW, WORKSPACE_KEY, "intent", "other", NOW),
        seal_parameters(RAW, WORKSPACE_KEY, "intent", "digest", NOW + 1),
        seal_parameters(RAW, b"x" * 32, "intent", "digest", NOW),
    ]
    assert len({BOX[8:], *(box[8:] for box in others)}) == 5


def test_a_box_written_by_an_older_bywire_opens():
    """Recorded: an interrupted call must survive an upgrade in between."""
    recorded = bytes.fromhex(RECORDED)
    assert open_parameters(recorded, WORKSPACE_KEY, "intent", "digest", NOW) == {"text": "hello"}


RECORDED = "000001a0c976c800f2a430b5b14748911a1aa67b6874f5215330b86546ccf2414b49e833d38a6eef"


@pytest.mark.parametrize(
    "changes", [{"key": b"x" * 32}, {"intent": "other"}, {"digest": "other"}, {"intent": "intentdigest", "digest": ""}]
)
def test_rule_04_a_box_opens_for_its_own_intent_and_action_only(changes):
    assert code_of(BOX, **changes) == "sealed_invalid"


@pytest.mark.parametrize("box", [b"", b"1234567", BOX[:8], BOX[:-1], BOX + b"0", b"\xff" * 200])
def test_what_is_no_box_does_not_open(box):
    assert code_of(box) == "sealed_invalid"


@pytest.mark.parametrize("place", range(0, len(BOX), 7))
def test_rule_04_no_byte_of_a_box_may_change(place):
    changed = bytearray(BOX)
    changed[place] ^= 1
    assert code_of(bytes(changed)) == "sealed_invalid"
