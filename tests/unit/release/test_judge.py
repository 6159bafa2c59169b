"""What the judge decides, and that it decides it for the right reason."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_fleet import ARTIFACT, SEGMENTS, row, seeded, traffic

from bywire.model.errors import ConfigError
from bywire.model.telemetry import ArmInterval
from bywire.release.judge import judge
from bywire.release.judge_policy import ERRORS, JudgePolicy, ReferenceCounts, StepContext
from bywire.release.verdict import AGGREGATE

POLICY = JudgePolicy(bake_intervals_min=5, requests_min=20)


def at(weight=5, next_weight=25, through=9, **more):
    return StepContext(weight, next_weight, 0, through, artifact=ARTIFACT, **more)


def reference(requests=5000, errors=10, segments=SEGMENTS):
    return tuple(ReferenceCounts(segment, requests, errors, 50) for segment in segments)


def rows_of(verdict, metric="errors"):
    return {r.segment: r for r in verdict.rows if r.metric == metric}


# promote, hold, rollback


def test_a_healthy_canary_is_promoted_once_every_segment_is_certain_enough():
    rows = traffic(seeded(1), range(60), 25, per_segment=80)
    early, late = judge(rows, POLICY, at(25, 50, through=6)), judge(rows, POLICY, at(25, 50, through=59))
    assert (early.decision, early.reason) == ("hold", "bound_too_wide")
    assert (late.decision, late.reason) == ("promote", "within_budget")
    assert all(r.upper <= r.tolerance for r in late.rows)


@pytest.mark.parametrize(("weight", "per_segment", "requests_max"), [(5, 60, 40), (25, 16, 60), (50, 8, 100)])
@pytest.mark.parametrize("seed", range(6))
def test_a_failing_segment_is_named_within_a_few_dozen_of_its_requests(weight, per_segment, requests_max, seed):
    """The more the arms are alike in size, the less one bad request says: medians measured are 16, 27 and 56."""
    rows = traffic(seeded(seed), range(40), weight, per_segment=per_segment, harmed={"mobile-web": 0.4})
    verdict = next(
        v
        for through in range(40)
        if (v := judge(rows, POLICY, at(weight, 100, through, judged_steps=3))).decision == "rollback"
    )
    assert (verdict.reason, verdict.metric, verdict.segments) == ("harm_detected", "errors", ("mobile-web",))
    assert rows_of(verdict)["mobile-web"].requests_canary <= requests_max
    assert verdict.e_value >= verdict.threshold == 60
    assert verdict.explanation.startswith("mobile-web: ")


def test_the_explanation_is_the_sentence_with_its_numbers():
    rows = [row(i, "canary", "mobile-web", 58, 31, weight=5) for i in range(1)] + [
        row(0, "stable", "mobile-web", 1102, 0),
        row(0, "canary", "ios", 58),
        row(0, "stable", "ios", 1102),
    ]
    verdict = judge(rows, POLICY, at(through=0))
    assert verdict.decision == "rollback"
    r = rows_of(verdict)["mobile-web"]
    assert verdict.explanation == (
        "mobile-web: 31 of 58 canary requests failed (53.4%) against 0 of 1102 on stable; "
        f"effect +53.4 points [{r.lower * 100:.1f}, {r.upper * 100:.1f}]; "
        f"minimum detectable effect {r.minimum_detectable_effect * 100:.1f} points"
    )
    assert (verdict.exposure_requests, verdict.exposure_bad) == (116, 31)


def test_a_segment_with_zero_errors_on_both_sides_is_promoted():
    rows = [
        row(i, arm, s, n, weight=50) for i in range(20) for s in SEGMENTS for arm, n in (("canary", 60), ("stable", 60))
    ]
    assert judge(rows, POLICY, at(50, 100, 19)).decision == "promote"


def test_one_client_that_retries_is_not_a_rollback():
    rows = [row(i, arm, "ios", n) for i in range(6) for arm, n in (("canary", 50), ("stable", 950))]
    rows.append(row(3, "canary", "ios", 4, 4))
    assert judge(rows, POLICY, at(through=5)).decision != "rollback"
    trigger_happy = msgspec.structs.replace(POLICY, bad_requests_min=1)
    assert judge(rows, trigger_happy, at(through=5)).decision == "rollback"


def test_slow_requests_roll_back_too():
    rows = [row(i, "canary", "ios", 50, 0, 20) for i in range(6)] + [
        row(i, "stable", "ios", 950, 0, 10) for i in range(6)
    ]
    verdict = judge(rows, POLICY, at(through=5))
    assert (verdict.decision, verdict.metric) == ("rollback", "slow")
    assert "were slow" in verdict.explanation


def test_one_point_more_errors_does_not_fit_a_budget_of_half_a_point():
    tight = JudgePolicy(
        metrics=(msgspec.structs.replace(ERRORS, budget=0.005, margin_delta=0.02),), hold_intervals_max=999
    )
    loose = JudgePolicy(
        metrics=(msgspec.structs.replace(ERRORS, budget=0.03, margin_delta=0.02),), hold_intervals_max=999
    )
    rows = traffic(seeded(4), range(60), 50, per_segment=800, harmed=dict.fromkeys(SEGMENTS, 0.012))
    assert judge(rows, tight, at(50, 100, 59)).decision == "hold"
    assert judge(rows, loose, at(50, 100, 59)).decision == "promote"


def test_little_exposure_needs_little_certainty():
    rows = traffic(seeded(5), range(40), 25, per_segment=60, rate=0)
    assert judge(rows, POLICY, at(25, 30, 39)).decision == "promote"
    assert judge(rows, POLICY, at(25, 100, 39)).reason == "bound_too_wide"


# false alarms


def false_alarms(policy, runs, **fleet):
    """The share of A/A runs that are rolled back at any of four looks."""
    rolled_back = 0
    for seed in range(runs):
        rows = traffic(seeded(seed), range(12), 20, per_segment=80, segments=("ios", "web"), **fleet)
        rolled_back += any(judge(rows, policy, at(20, 50, t)).decision == "rollback" for t in (2, 5, 8, 11))
    return rolled_back / runs


def aa_policy(dispersion, **more):
    metric = msgspec.structs.replace(ERRORS, dispersion=float(dispersion), margin_log_ratio=0.0, margin_delta=0.0)
    return JudgePolicy(metrics=(metric,), requests_min=10**6, bad_requests_min=1, **more)


@pytest.mark.parametrize(
    ("dispersion", "fleet"),
    [(1, {"rate": 0.002}), (4, {"rate": 0.01, "clump": 4, "wobble": 4})],
)
def test_healthy_rollouts_are_rolled_back_in_at_most_alpha_of_the_runs(dispersion, fleet):
    """300 A/A runs without the help of margins; the second fleet has retries in fours and a moving baseline."""
    assert false_alarms(aa_policy(dispersion), 300, **fleet) <= 0.05


def test_clumps_that_the_dispersion_does_not_pay_for_would_break_that():
    assert false_alarms(aa_policy(1), 60, rate=0.01, clump=4, wobble=4) > 0.15


def test_zero_error_baselines_do_not_make_single_errors_a_rollback():
    rolled_back = 0
    for seed in range(100):
        rows = traffic(seeded(seed), range(12), 5, per_segment=100, rate=0.0005, segments=("ios", "web"))
        rolled_back += judge(rows, POLICY, at(5, 25, 11)).decision == "rollback"
    assert rolled_back == 0


def test_a_shared_incident_holds_and_a_canary_worse_still_is_rolled_back():
    calm = traffic(seeded(6), range(10), 25, per_segment=200)
    outage = traffic(seeded(7), range(10, 14), 25, per_segment=200, rate=0.3)
    worse = traffic(seeded(7), range(10, 14), 25, per_segment=200, rate=0.3, harmed={"ios": 0.8})
    step = at(25, 50, 13, reference=reference())
    assert judge(calm + outage, POLICY, step).reason == "control_degraded"
    verdict = judge(calm + worse, POLICY, step)
    assert (verdict.decision, verdict.segments) == ("rollback", ("ios",))


def test_after_a_shared_incident_the_healthy_intervals_decide():
    calm = traffic(seeded(6), range(40), 25, per_segment=200)
    outage = traffic(seeded(7), range(40, 44), 25, per_segment=200, rate=0.3)
    again = traffic(seeded(8), range(44, 50), 25, per_segment=200)
    verdict = judge(calm + outage + again, POLICY, at(25, 100, 49, reference=reference()))
    assert (verdict.decision, verdict.intervals_excluded) == ("promote", 4)
    assert judge(calm + outage + again, POLICY, at(25, 100, 49)).reason == "bound_too_wide"


# doubtful telemetry never promotes


HEALTHY = [
    row(i, arm, s, n, weight=25) for i in range(30) for s in SEGMENTS for arm, n in (("canary", 50), ("stable", 150))
]


def check_hold(rows, step, reason):
    verdict = judge(rows, POLICY, step)
    assert (verdict.decision, verdict.reason) == ("hold", reason)


def test_the_healthy_rows_below_are_promoted_when_nothing_is_wrong():
    assert judge(HEALTHY, POLICY, at(25, 50, 29)).decision == "promote"


def test_no_rows():
    check_hold([], at(through=9), "telemetry_missing")
    check_hold([], at(through=-1), "sample_too_small")


def test_a_canary_that_went_silent():
    check_hold(HEALTHY, at(25, 50, 33), "telemetry_missing")
    silent = [r for r in HEALTHY if r.arm == "stable" or r.interval < 25]
    check_hold(silent, at(25, 50, 29), "telemetry_missing")


def test_low_traffic_is_not_missing_telemetry():
    rows = [r for i in range(8) for r in (row(i, "canary", "ios", int(i == 0)), row(i, "stable", "ios", 9))]
    check_hold(rows, at(5, 25, 7), "sample_too_small")


def test_rows_that_cannot_be_true():
    for bad in (
        row(3, "canary", errors=101, weight=25),
        row(3, "canary", requests=-1, weight=25),
        row(3, "green", weight=25),
        row(3, "canary", weight=math.nan),
        row(3, "canary", requests=10**16, weight=25),
        row(3, "canary", "*", weight=25),
    ):
        check_hold([*HEALTHY, bad], at(25, 50, 29), "telemetry_invalid")


def test_too_many_segments():
    rows = [row(0, "canary", f"s{i}", weight=25) for i in range(65)]
    check_hold(rows, at(25, 50, 0), "telemetry_invalid")


def test_another_artifact_behind_the_canary():
    check_hold([*HEALTHY, row(3, "canary", weight=25, digest="c" * 64)], at(25, 50, 29), "artifact_mismatch")


def test_a_split_that_is_not_as_configured():
    rows = [row(i, arm, "ios", 100, weight=25) for i in range(30) for arm in ("canary", "stable")]
    check_hold(rows, at(25, 50, 29), "sample_ratio_mismatch")


def test_one_segment_without_enough_requests():
    rows = [*HEALTHY, row(2, "stable", "tv", 30, weight=25), row(2, "canary", "tv", 3, weight=25)]
    verdict = judge(rows, POLICY, at(25, 50, 29))
    assert (verdict.reason, verdict.segments) == ("sample_too_small", ("tv",))


def test_a_segment_of_the_step_that_nobody_uses():
    verdict = judge(HEALTHY, POLICY, at(25, 50, 29, segments=("ios", "watch")))
    assert (verdict.reason, verdict.segments) == ("sample_too_small", ("watch",))


def test_bake_time_counts_observed_intervals_not_elapsed_ones():
    rows = [row(i, arm, "ios", n * 10, weight=25) for i in (0, 6, 7, 9) for arm, n in (("canary", 50), ("stable", 150))]
    verdict = judge(rows, POLICY, at(25, 50, 9))
    assert (verdict.reason, verdict.intervals_observed) == ("sample_too_small", 4)


def test_rows_of_other_steps_do_not_count():
    other_weight = [row(i, "canary", "ios", 50, 40, weight=5) for i in range(30)]
    earlier = [row(i, "canary", "ios", 50, 40, weight=25) for i in range(-5, 0)]
    later = [row(30, "canary", "ios", 50, 40, weight=25)]
    assert judge([*HEALTHY, *other_weight, *earlier, *later], POLICY, at(25, 50, 29)) == judge(
        HEALTHY, POLICY, at(25, 50, 29)
    )


def test_a_hold_that_lasts_too_long_is_a_rollback():
    policy = msgspec.structs.replace(POLICY, hold_intervals_max=30)
    assert judge([], policy, at(through=28)).decision == "hold"
    verdict = judge([], policy, at(through=29))
    assert (verdict.decision, verdict.reason) == ("rollback", "inconclusive")
    assert judge(HEALTHY, policy, at(25, 50, 29)).decision == "promote"


# full exposure


def test_at_full_exposure_the_reference_is_the_control():
    rows = [row(i, "canary", s, 100, 1 if i % 3 == 0 else 0, weight=100) for i in range(20) for s in SEGMENTS]
    verdict = judge(rows, POLICY, at(100, 100, 19, reference=reference()))
    assert (verdict.decision, verdict.control) == ("promote", "reference")
    failing = [row(i, "canary", "ios", 100, 30, weight=100) for i in range(5)]
    verdict = judge([*rows, *failing], POLICY, at(100, 100, 19, reference=reference()))
    assert (verdict.decision, verdict.segments) == ("rollback", ("ios",))


def test_at_full_exposure_without_a_reference_the_canary_must_be_good_by_itself():
    rows = [row(i, "canary", "ios", 100, weight=100) for i in range(20)]
    assert judge(rows, POLICY, at(100, 100, 19)).decision == "promote"
    rows = [row(i, "canary", "ios", 100, 5, weight=100) for i in range(20)]
    assert judge(rows, POLICY, at(100, 100, 19)).decision == "hold"


# algebra


cells = st.builds(
    lambda i, arm, s, n, e, slow, w: ArmInterval(i, arm, s, ARTIFACT, n, e, slow, 1.0, w),
    st.integers(-2, 12),
    st.sampled_from(["canary", "stable", "other"]),
    st.sampled_from(["ios", "web", ""]),
    st.integers(-1, 10**9),
    st.integers(-1, 10**9),
    st.integers(0, 10**9),
    st.sampled_from([5.0, 25.0, 100.0, math.nan, math.inf, -math.inf]),
)
steps = st.builds(
    StepContext,
    st.integers(-5, 120),
    st.integers(-5, 120),
    st.integers(0, 3),
    st.integers(-1, 12),
    st.sampled_from([(), ("ios",), ("tv",)]),
    st.sampled_from(["", ARTIFACT]),
    st.integers(0, 5),
    st.sampled_from([(), reference(10, 1, ("ios",))]),
)


@given(st.lists(cells, max_size=20), steps)
@settings(max_examples=150, deadline=None)
def test_never_raises_and_is_plain_finite_json(rows, step):
    verdict = judge(rows, POLICY, step)
    assert verdict.explanation
    assert b"null" not in msgspec.json.encode(verdict)  # msgspec writes a number that is not finite as null
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=type(verdict)) == verdict


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_and_segments_does_not_matter(shuffler):
    rows = traffic(seeded(9), range(8), 25, harmed={"ios": 0.3})
    step = at(25, 50, 7)
    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert judge(mixed, POLICY, step) == judge(rows, POLICY, step)
    renamed = [msgspec.structs.replace(r, segment={"ios": "zz"}.get(r.segment, r.segment)) for r in rows]
    assert judge(renamed, POLICY, step).e_value == judge(rows, POLICY, step).e_value
    assert judge(renamed, POLICY, step).decision == judge(rows, POLICY, step).decision


@given(st.lists(st.integers(0, 30), min_size=6, max_size=6), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_more_canary_errors_never_help_the_canary(errors, index):
    def verdict(counts):
        rows = [row(i, "canary", "ios", 40, e, weight=25) for i, e in enumerate(counts)]
        return judge(rows + [row(i, "stable", "ios", 120, 1, weight=25) for i in range(6)], POLICY, at(25, 50, 5))

    before = verdict(errors)
    after = verdict([e + (5 if i == index else 0) for i, e in enumerate(errors)])
    severity = ["promote", "hold", "rollback"]
    assert severity.index(after.decision) >= severity.index(before.decision)
    assert after.e_value >= before.e_value
    assert rows_of(after)["ios"].upper >= rows_of(before)["ios"].upper - 1e-6


def test_without_data_the_e_value_is_one():
    verdict = judge([], POLICY, at())
    assert verdict.e_value == 1.0
    assert {r.segment for r in verdict.rows} == {AGGREGATE}


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"alpha": math.nan},
        {"metrics": ()},
        {"metrics": (ERRORS, ERRORS)},
        {"requests_min": 0},
        {"hold_intervals_max": 1},
        {"share_tolerance": 1.0},
        {"share_dispersion": 0.5},
        {"gap_intervals_max": -1},
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        JudgePolicy(**wrong)
    assert caught.value.next_step


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"dispersion": 0.9}, {"margin_log_ratio": -1}, {"margin_delta": 2}])
def test_a_metric_policy_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ConfigError):
        msgspec.convert({**msgspec.to_builtins(ERRORS), **wrong}, type(ERRORS))
