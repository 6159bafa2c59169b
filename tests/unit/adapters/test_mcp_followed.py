"""Places of those who follow resources: nobody ends another's, and nobody takes them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters.mcp_followed import FOLLOWED_EACH_MAX, FOLLOWED_MAX, Followed, Follower
from bywire.model.errors import TargetError

A, A2, B = Follower("agent:a", "1"), Follower("agent:a", "2"), Follower("agent:b", "1")
STEPS = st.tuples(st.sampled_from(["add", "remove", "release"]), st.sampled_from("xyz"), st.sampled_from([A, A2, B]))


@given(st.lists(STEPS))
def test_a_resource_is_followed_as_long_as_anybody_holds_it(steps):
    followed, held = Followed("up"), set()
    for act, uri, who in steps:
        before = {one for one, _ in held}
        if act == "add":
            held.add((uri, who))
            changed = followed.add(uri, who)
        elif act == "remove":
            held.discard((uri, who))
            changed = followed.remove(uri, who)
        else:
            held = {(one, other) for one, other in held if other != who}
            changed = followed.release(who)
        assert followed.uris() == sorted({one for one, _ in held})
        assert changed == ({one for one, _ in held} != before)


def test_a_principal_that_follows_too_much_loses_its_own_oldest():
    followed = Followed("up")
    followed.add("others", B)
    for number in range(FOLLOWED_MAX + 1):
        followed.add(f"{number:04}", A)
    assert followed.uris() == [*(f"{FOLLOWED_MAX + 1 - n:04}" for n in range(FOLLOWED_EACH_MAX, 0, -1)), "others"]


def test_a_server_is_asked_to_follow_a_bounded_number():
    followed = Followed("up")
    for number in range(FOLLOWED_MAX):
        followed.add(str(number), Follower(f"agent:{number // FOLLOWED_EACH_MAX}"))
    with pytest.raises(TargetError):
        followed.add("one more", B)
    followed.add("7", B)
    followed.release(Follower("agent:0"))
    followed.add("one more", B)
    assert "7" in followed.uris()
