"""Trying often does not win: a simulated rate; and one attempt, or a real gain, is judged as ever."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from components.evaluation.gate import PromotionRule, decide
from components.evaluation.luck import ALPHA, share, stretch
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.section import digest_of

STATED = 2 * ALPHA
ATTEMPTS, PICTURES, WEEKS = 50, 100, 4000
PROTOCOL = Protocol(metric="m", implementation="i", reference="r", samples=PICTURES)
RULE = PromotionRule(metric="psnr", must_beat_baselines=False)


def scored(values, half=1.0):
    mean = float(np.mean(values))
    score = Score(
        name="psnr",
        value=mean,
        low=mean - half,
        high=mean + half,
        better="higher",
        protocol=PROTOCOL,
        per_image=tuple(values.tolist()) if len(values) > 1 else None,
    )
    return ScoreTable(subject="s", rows={"model": (score,)})


def lucky(challengers, champion, attempts):
    """Whether the gate promotes any of a week's challengers, each row one of them; `attempts` says which each is."""
    gaps = challengers - champion
    hopeful = gaps.mean(axis=1) > 1.9 * gaps.std(axis=1, ddof=1) / math.sqrt(PICTURES)  # the gate refuses the others
    table = scored(champion)
    return any(
        decide(scored(challengers[row]), table, RULE, attempt=attempts[row]).verdict == "promote"
        for row in np.flatnonzero(hopeful)
    )


def rate_of_lucky_weeks(attempts, weeks):
    generator = np.random.default_rng(17)
    count = sum(
        lucky(generator.normal(size=(ATTEMPTS, PICTURES)), generator.normal(size=PICTURES), attempts)
        for _ in range(weeks)
    )
    return binomtest(count, weeks).proportion_ci(0.99, "exact")


def test_of_fifty_equal_challengers_a_week_one_is_promoted_in_at_most_the_stated_share_of_weeks():
    assert rate_of_lucky_weeks(range(1, ATTEMPTS + 1), WEEKS).high <= STATED


def test_without_counting_attempts_fifty_equal_challengers_would_win_in_over_a_quarter_of_weeks():
    assert rate_of_lucky_weeks([1] * ATTEMPTS, 200).low > 0.25


def test_what_attempts_may_spend_sums_to_the_stated_rate_and_the_first_keeps_its_whole_part():
    assert share(1) == 1
    assert ALPHA * sum(share(n) for n in range(1, 100_000)) <= STATED
    with pytest.raises(ValueError, match="expected 1 or more"):
        share(0)


@given(st.integers(1, 500))
def test_each_further_attempt_must_show_more(attempt):
    assert stretch(attempt) < stretch(attempt + 1)


@given(st.floats(-10, 10), st.floats(0.01, 5), st.floats(0.01, 5))
def test_a_single_attempt_is_decided_as_by_a_gate_that_counts_nothing_to_the_digit(gain, half, other):
    challenger, champion = scored(np.array([20 + gain]), half), scored(np.array([20.0]), other)
    counting, plain = (
        decide(challenger, champion, rule) for rule in (RULE, RULE.model_copy(update={"attempt_days": 0}))
    )
    assert counting == plain
    assert "attempt" not in " ".join(counting.reasons)


def test_a_clear_gain_is_promoted_however_often_was_tried_and_the_reasons_say_how_many_were_counted():
    generator = np.random.default_rng(5)
    champion = generator.normal(20, 1, size=PICTURES)
    clearly, barely = (champion + gain + generator.normal(0, 0.5, size=PICTURES) for gain in (0.5, 0.12))
    decision = decide(scored(clearly), scored(champion), RULE, attempt=ATTEMPTS)
    assert decision.verdict == "promote"
    assert decision.reasons[-1] == (
        "attempt 50 within 7 days: intervals of the improvement are 2.37 times as wide as a first attempt's"
    )
    assert "95 % widened 2.37 times" in decision.reasons[0]
    assert decide(scored(barely), scored(champion), RULE).verdict == "promote"
    refused = decide(scored(barely), scored(champion), RULE, attempt=7)
    assert refused.verdict == "reject"
    assert "within noise" in refused.reasons[0]
    assert refused.reasons[-1].startswith("attempt 7 within 7 days")


def test_where_noise_is_not_asked_for_attempts_are_not_either():
    rule = PromotionRule(metric="psnr", must_beat_baselines=False, beyond_noise=False)
    challenger, champion = scored(np.array([20.1])), scored(np.array([20.0]))
    assert decide(challenger, champion, rule, attempt=50) == decide(challenger, champion, rule)


def test_where_approval_is_required_the_gate_holds_what_it_would_promote_and_says_so():
    rule = RULE.model_copy(update={"approval": "required"})
    better, champion = scored(np.array([30.0])), scored(np.array([20.0]))
    held, free = decide(better, champion, rule), decide(better, champion, RULE)
    assert (held.verdict, free.verdict) == ("hold", "promote")
    assert "a person's approval is awaited" in held.reasons[0]
    assert held.reasons[1:] == free.reasons
    assert decide(champion, better, rule) == decide(champion, better, RULE)


def test_rules_from_before_there_were_these_fields_keep_their_digests():
    assert digest_of(PromotionRule(metric="fid")) == "215a2516c778c62a5a39"
    assert digest_of(PromotionRule(metric="fid", approval="none", attempt_days=7)) == "215a2516c778c62a5a39"
    changed = [PromotionRule(metric="fid", approval="required"), PromotionRule(metric="fid", attempt_days=0)]
    assert len({"215a2516c778c62a5a39", *map(digest_of, changed)}) == 3
    for rule in changed:
        assert PromotionRule.model_validate(rule.model_dump(mode="json")) == rule
