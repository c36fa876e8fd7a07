"""A model moved if it is worse on today's data by more than both intervals explain."""

import pytest

from components.evaluation.drift import drift_of
from components.evaluation.protocol import Protocol, Score


def score(value, half=0.5, *, better="higher", reference="then", samples=100, name="psnr_hole", per_image=None):
    protocol = Protocol(metric="a metric", implementation="ours 1", reference=reference, samples=samples)
    ends = {"value": value, "low": value - half, "high": value + half}
    return Score(name=name, better=better, protocol=protocol, per_image=per_image, **ends)


@pytest.mark.parametrize(
    ("then", "now", "better", "verdict"),
    [
        (18.0, 16.0, "higher", "moved"),
        (18.0, 17.5, "higher", "held"),  # within hypot(0.5, 0.5) = 0.71
        (18.0, 17.2, "higher", "moved"),
        (18.0, 20.0, "higher", "held"),  # better is not drift
        (18.0, 18.0, "higher", "held"),
        (400.0, 402.0, "lower", "moved"),
        (400.0, 398.0, "lower", "held"),
    ],
)
def test_only_what_is_worse_beyond_both_intervals_moved(then, now, better, verdict):
    drift = drift_of(score(then, better=better), score(now, better=better, reference="now"))
    assert drift.verdict == verdict


def test_wide_intervals_explain_more():
    assert drift_of(score(18.0, 2.0), score(16.0, 2.0, reference="now")).verdict == "held"


def test_images_are_not_paired_for_they_are_others():
    then, now = ([value + shift for value in range(40)] for shift in (0.0, -0.2))
    half, mean = 3.6, 19.5  # of the mean of 0 to 39
    one = score(mean, half, per_image=tuple(then))
    other = score(mean - 0.2, half, reference="now", per_image=tuple(now))
    assert drift_of(one, other).verdict == "held"  # paired, the difference would be exactly 0.2


def test_the_reason_holds_both_scores_and_the_difference():
    (reason,) = drift_of(score(18.0), score(16.0, reference="now")).reasons
    assert reason == (
        "psnr_hole is 16 (15.5 to 16.5) on today's data, it was 18 (17.5 to 18.5) on the yardstick: "
        "worse by 2 (1.293 to 2.707, 95 %, from both intervals)"
    )


def test_scores_of_other_counts_are_not_compared():
    drift = drift_of(score(400.0, better="lower"), score(500.0, better="lower", samples=120, reference="now"))
    assert drift.verdict == "unknown"
    assert "samples was 100 and is 120" in drift.reasons[0]


def test_other_metrics_are_not_compared():
    assert drift_of(score(18.0), score(1.0, name="l1_hole", better="lower")).verdict == "unknown"
