"""What the stable arm was like before, and how much it varies."""

import msgspec
import pytest
from release_fleet import ARTIFACT, row, seeded, traffic

from bywire.release.judge import judge
from bywire.release.judge_policy import JudgePolicy, ReferenceCounts, StepContext
from bywire.release.reference import calibrated, pearson_dispersion, reference_from_rows, reference_from_verdict


def test_only_sound_stable_rows_make_the_reference():
    rows = [
        row(0, "stable", "ios", 10, 1, 2),
        row(1, "stable", "ios", 5),
        row(0, "canary", "ios", 9, 9),
        row(0, "stable", "web", 3),
        row(0, "stable", "web", 1, 2),
    ]
    assert reference_from_rows(rows) == (ReferenceCounts("ios", 15, 1, 2), ReferenceCounts("web", 3, 0, 0))


def test_a_promoted_step_renews_the_reference_of_its_segments_only():
    rows = [row(i, arm, "ios", 100, 1, 3, weight=50) for i in range(10) for arm in ("canary", "stable")]
    verdict = judge(rows, JudgePolicy(), StepContext(50, 100, 0, 9, artifact=ARTIFACT))
    earlier = (ReferenceCounts("ios", 1, 1, 1), ReferenceCounts("tv", 7, 0, 0))
    assert reference_from_verdict(verdict, earlier) == (ReferenceCounts("ios", 1000, 10, 30), earlier[1])
    full = msgspec.structs.replace(verdict, control="reference")
    assert reference_from_verdict(full, earlier) == earlier


@pytest.mark.parametrize(("clump", "low", "high"), [(1, 1.0, 1.3), (4, 3.0, 5.0)])
def test_dispersion_is_that_of_the_fleet(clump, low, high):
    history = traffic(seeded(1), range(200), 0, per_segment=400, rate=0.02, clump=clump)
    assert low <= pearson_dispersion(history, "errors") <= high


def test_dispersion_needs_history_and_only_ever_raises_the_policy():
    assert pearson_dispersion([], "errors") == 1.0
    assert pearson_dispersion([row(i, "stable", errors=90 * (i % 2)) for i in range(9)], "errors") == 1.0
    assert pearson_dispersion([row(i, "stable", errors=90 * (i % 2)) for i in range(99)], "errors") == 10.0
    policy = JudgePolicy()
    calm = traffic(seeded(1), range(50), 0, per_segment=400, rate=0.02)
    assert calibrated(policy, calm) == policy
    wild = traffic(seeded(1), range(50), 0, per_segment=400, rate=0.02, clump=6)
    assert calibrated(policy, wild).metrics[0].dispersion > 3
