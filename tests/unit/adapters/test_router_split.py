"""Assignment to arms: shares, stickiness, leases and segments, as laws."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters.router_split import BUCKETS, CANARY, OTHER_SEGMENT, STABLE, TrafficSplit, segment_of

SPLIT = TrafficSplit(salt=b"s" * 32, stable="a" * 64, canary="b" * 64, weight=25.0, lease_expires=100.0)
weights = st.integers(0, BUCKETS).map(lambda hundredths: hundredths / 100)
buckets = st.integers(0, BUCKETS - 1)


@given(weights)
def test_the_share_is_exact_to_a_hundredth_of_a_percent(weight):
    split = replace(SPLIT, weight=weight)
    canary = sum(split.arm(bucket, "ios", 0.0) == CANARY for bucket in range(BUCKETS))
    assert canary == round(weight * 100)


@given(buckets, weights, weights)
def test_nobody_leaves_the_canary_while_it_grows(bucket, one, other):
    small, large = sorted((one, other))
    if replace(SPLIT, weight=small).arm(bucket, "ios", 0.0) == CANARY:
        assert replace(SPLIT, weight=large).arm(bucket, "ios", 0.0) == CANARY


@given(buckets, weights, st.floats(0, 1e6))
def test_after_the_lease_everything_is_stable(bucket, weight, late):
    assert replace(SPLIT, weight=weight).arm(bucket, "ios", 100.0 + late) == STABLE
    assert replace(SPLIT, weight=weight).share("ios", 100.0 + late) == 0


@given(buckets, st.sampled_from(["ios", "android", OTHER_SEGMENT]))
def test_a_canary_limited_to_segments_stays_there(bucket, segment):
    split = replace(SPLIT, weight=100.0, segments=frozenset({"ios"}))
    assert split.arm(bucket, segment, 0.0) == (CANARY if segment == "ios" else STABLE)


@given(buckets)
def test_no_canary_no_share(bucket):
    assert replace(SPLIT, canary="").arm(bucket, "ios", 0.0) == STABLE
    assert SPLIT.without_canary_traffic().arm(bucket, "ios", 0.0) == STABLE


@given(st.binary(max_size=300))
def test_a_user_keeps_a_bucket_that_depends_on_the_secret_and_the_release(user):
    assert SPLIT.bucket(user) == SPLIT.bucket(user)
    assert 0 <= SPLIT.bucket(user) < BUCKETS


def test_buckets_are_uniform_and_differ_between_salts_and_releases():
    users = [f"user-{number}".encode() for number in range(20_000)]
    low = sum(SPLIT.bucket(user) < BUCKETS // 4 for user in users)
    assert 4_800 < low < 5_200
    for other in (replace(SPLIT, salt=b"t" * 32), replace(SPLIT, canary="c" * 64)):
        moved = sum(SPLIT.bucket(user) != other.bucket(user) for user in users)
        assert moved > 19_900


@given(st.binary(max_size=100))
def test_clients_cannot_invent_segments(claimed):
    assert segment_of(claimed, frozenset({"ios"})) in {"ios", OTHER_SEGMENT}
    assert segment_of(b"ios", frozenset({"ios"})) == "ios"
