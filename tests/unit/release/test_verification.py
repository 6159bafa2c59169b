"""Whether telemetry proves the end of a rollout."""

import pytest
from release_fleet import ARTIFACT, LAST_GOOD, row

from bywire.release.judge_policy import JudgePolicy, ReferenceCounts
from bywire.release.verification import Expectation, exposed, verify

EXPECTED = Expectation(LAST_GOOD, 10, 19, 3, 0.02, (ReferenceCounts("desktop", 10_000, 20, 0),))
CALM = [row(i, "stable", errors=0) for i in range(10, 15)]


def without(interval):
    return [r for r in CALM if r.interval != interval]


@pytest.mark.parametrize(
    ("rows", "finding"),
    [
        (CALM, "proved"),
        ([], "open"),
        (CALM[:2], "open"),
        ([row(i, "stable") for i in (7, 8, 9, 20, 21)], "open"),
        ([*CALM, row(14, "canary", requests=1)], "open"),
        ([*CALM, row(10, "canary", requests=50)], "proved"),
        ([*without(13), row(13, "stable", digest=ARTIFACT)], "open"),
        ([*without(14), row(14, "stable", requests=0)], "proved"),
        ([*without(14), row(14, "stable", errors=12)], "open"),
        ([row(i, "stable", errors=60) for i in range(10, 15)], "refuted"),
        ([*CALM, *(row(i, "stable", "tv", errors=70) for i in range(10, 15))], "refuted"),
    ],
)
def test_finding(rows, finding):
    assert verify(rows, EXPECTED, JudgePolicy()) == finding


def test_exposure_counts_every_request_that_the_artifact_served_as_canary():
    rows = [
        row(4, "canary"),
        row(5, "canary", requests=10, errors=3),
        row(6, "canary", "ios", 5, 9),
        row(6, "canary", digest="c" * 64),
        row(6, "stable", errors=5),
        row(7, "canary", requests=-4),
    ]
    assert exposed(rows, 5, ARTIFACT) == (15, 8)
