"""The gate's truth table, and what must hold for any numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.evaluation.gate import Floor, PromotionRule, decide, improvement
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.evaluation.rule import Guard

PROTOCOL = Protocol(metric="m", implementation="i", reference="r", samples=40)
OTHER = PROTOCOL.model_copy(update={"samples": 41})


def fid(value, half=1.0, protocol=PROTOCOL, name="fid", better="lower", per_image=None):
    return Score(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        better=better,
        protocol=protocol,
        per_image=per_image,
    )


def table(model, **baselines):
    rows = {"model": (model,)} if model else {"model": ()}
    return ScoreTable(subject="s", rows=rows | {name: (score,) for name, score in baselines.items()})


def good(value=20.0, **keywords):
    return table(fid(value, **keywords), random=fid(300), template=fid(1))


RULE = PromotionRule(metric="fid", margin=1.0)

TRUTH = {
    "clearly better": (good(20), good(30), RULE, "promote", "is better: the improvement is 10"),
    "worse": (good(31), good(30), RULE, "reject", "is not better"),
    "equal": (good(30), good(30), RULE, "reject", "is not better"),
    "under the margin": (
        good(29.5, half=0.0),
        good(30, half=0.0),
        RULE,
        "reject",
        "by 0.5, less than the margin of 1",
    ),
    "under the relative margin": (
        good(28, half=0.0),
        good(30, half=0.0),
        PromotionRule(metric="fid", relative_margin=0.1),
        "reject",
        "less than the margin of 3",
    ),
    "within noise": (good(28, half=2), good(30, half=2), RULE, "reject", "within noise"),
    "noise not asked for": (
        good(28, half=2),
        good(30, half=2),
        PromotionRule(metric="fid", beyond_noise=False),
        "promote",
        "better",
    ),
    "first champion": (good(20), None, RULE, "promote", "no champion yet"),
    "first but no better than random": (good(299.5), None, RULE, "reject", "baseline random"),
    "first, baselines not measured": (table(fid(20)), None, RULE, "hold", "no baseline was measured"),
    "first, baselines not asked for": (
        table(fid(20)),
        None,
        PromotionRule(metric="fid", must_beat_baselines=False),
        "promote",
        "no champion yet",
    ),
    "template when it is not exempt": (
        good(20),
        None,
        PromotionRule(metric="fid", exempt_baselines=()),
        "reject",
        "baseline template",
    ),
    "named baseline missing": (
        good(20),
        None,
        PromotionRule(metric="fid", must_beat_baselines=("knn",)),
        "hold",
        "the baseline knn has no score 'fid'",
    ),
    "beats champion but not a baseline": (
        table(fid(20), random=fid(10)),
        good(30),
        RULE,
        "reject",
        "baseline random",
    ),
    "score missing": (table(None, random=fid(300)), good(30), RULE, "hold", "the challenger has no score 'fid'"),
    "champion's score missing": (good(20), table(None), RULE, "hold", "the champion has no score 'fid'"),
    "other protocol": (
        good(20),
        table(fid(30, protocol=OTHER)),
        RULE,
        "hold",
        "samples is 40 in one and 41 in the other",
    ),
    "baseline under another protocol": (
        table(fid(20), random=fid(300, protocol=OTHER)),
        None,
        RULE,
        "hold",
        "cannot be compared",
    ),
    "direction disagrees": (
        good(20),
        good(30),
        PromotionRule(metric="fid", better="higher"),
        "hold",
        "the rule takes higher fid for better",
    ),
    "over a limit": (
        good(20),
        good(30),
        PromotionRule(metric="fid", floors=(Floor(metric="fid", at_most=15),)),
        "reject",
        "over its limit of 15",
    ),
    "under a floor": (
        good(20),
        None,
        PromotionRule(metric="fid", floors=(Floor(metric="fid", at_least=25),)),
        "reject",
        "under its floor of 25",
    ),
    "floor on a score that is missing": (
        good(20),
        good(30),
        PromotionRule(metric="fid", floors=(Floor(metric="recall", at_least=0.1),)),
        "hold",
        "no finite score 'recall'",
    ),
}


@pytest.mark.parametrize("case", TRUTH)
def test_truth_table(case):
    challenger, champion, rule, verdict, words = TRUTH[case]
    decision = decide(challenger, champion, rule)
    assert decision.verdict == verdict, decision.reasons
    assert any(words in reason for reason in decision.reasons), decision.reasons


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("owner", ["challenger", "champion"])
def test_number_that_slipped_past_validation_is_held(number, owner):
    bad = fid(1).model_copy(update={"value": number})
    tables = {"challenger": good(20), "champion": good(30)}
    tables[owner] = tables[owner].model_copy(update={"rows": tables[owner].rows | {"model": (bad,)}})
    decision = decide(tables["challenger"], tables["champion"], RULE)
    assert decision.verdict == "hold"
    assert "not finite" in " ".join(decision.reasons)


def test_pictures_compared_one_by_one_see_what_intervals_hide():
    noise = [20 + 5 * math.sin(i) for i in range(40)]
    mean = math.fsum(noise) / 40
    before = fid(mean, half=3, name="psnr", better="higher", per_image=tuple(noise))
    lifted = tuple(x + 0.5 + 0.05 * math.cos(i) for i, x in enumerate(noise))
    after = fid(math.fsum(lifted) / 40, half=3, name="psnr", better="higher", per_image=lifted)
    rule = PromotionRule(metric="psnr", must_beat_baselines=False)
    assert improvement(after, before).pairs == 40
    assert decide(table(after), table(before), rule).verdict == "promote"
    assert decide(table(before), table(after), rule).verdict == "reject"
    alone = after.model_copy(update={"per_image": None})
    assert "within noise" in decide(table(alone), table(before), rule).reasons[0]


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_champion_is_named_first_then_baselines_the_hardest_to_beat_first(better):
    sign = 1 if better == "lower" else -1
    numbers = {"easy": 90.0, "hard": 40.0, "middling": 60.0}
    challenger = table(fid(sign * 20.0, better=better), **{n: fid(sign * x, better=better) for n, x in numbers.items()})
    against = ["baseline hard", "baseline middling", "baseline easy"]
    for champion, expected in (
        (table(fid(sign * 30.0, better=better)), ["champion", *against]),
        (None, [*against, "no champion"]),
    ):
        reasons = decide(challenger, champion, RULE).reasons
        assert len(reasons) == len(expected)
        assert all(owner in reason for owner, reason in zip(expected, reasons, strict=True)), reasons


def test_floor_that_limits_nothing_is_refused():
    with pytest.raises(ValidationError, match="at_least or at_most"):
        Floor(metric="fid")


numbers = st.floats(-1e6, 1e6)
halves = st.floats(0, 1e3)
rules = st.builds(
    PromotionRule,
    metric=st.just("fid"),
    margin=st.floats(0, 10),
    relative_margin=st.floats(0, 0.5),
    beyond_noise=st.booleans(),
    must_beat_baselines=st.just(value=False) | st.just(value=True) | st.just(("random",)),
    floors=st.just(()) | st.builds(lambda limit: (Floor(metric="fid", at_most=limit),), numbers),
)
directions = st.sampled_from(["lower", "higher"])


@given(numbers, numbers, numbers, halves, halves, st.floats(0, 1e5), rules)
def test_worse_challenger_never_turns_a_refusal_into_a_promotion(new, old, base, h1, h2, worse, rule):
    champion, random = table(fid(old, h2)), fid(base, h2)
    before = decide(table(fid(new, h1), random=random), champion, rule).verdict
    after = decide(table(fid(new + worse, h1), random=random), champion, rule).verdict
    assert not (before != "promote" and after == "promote")


@given(numbers, halves, halves, directions, rules)
def test_equal_scores_never_promote(value, h1, h2, better, rule):
    decision = decide(
        table(fid(value, h1, better=better), random=fid(value - 1e7 if better == "higher" else value + 1e7)),
        table(fid(value, h2, better=better)),
        rule,
    )
    assert decision.verdict != "promote"


@given(numbers, numbers, halves, halves, directions)
def test_two_models_never_both_beat_each_other(one, two, h1, h2, better):
    rule = PromotionRule(metric="fid", must_beat_baselines=False)
    a, b = table(fid(one, h1, better=better)), table(fid(two, h2, better=better))
    assert {decide(a, b, rule).verdict, decide(b, a, rule).verdict} != {"promote"}


@given(st.sets(st.sampled_from(["model", "champion", "random", "floor"])), directions)
def test_missing_evidence_is_always_held(missing, better):
    rule = PromotionRule(metric="fid", floors=(Floor(metric="recall", at_most=1),), must_beat_baselines=("random",))
    sign = 1 if better == "higher" else -1
    scores = () if "model" in missing else (fid(sign * 30.0, better=better),)
    scores += () if "floor" in missing else (fid(0.5, 0.1, name="recall"),)
    rows = {"model": scores, "random": () if "random" in missing else (fid(sign * 5.0, better=better),)}
    champion = table(None if "champion" in missing else fid(sign * 20.0, better=better))
    decision = decide(ScoreTable(subject="s", rows=rows), champion, rule)
    assert decision.verdict == ("hold" if missing else "promote")
    assert decision.reasons


GUARDED = RULE.model_copy(update={"also": (Guard(metric="recall", may_worsen=0.02),)})


def with_recall(value, recall):
    both = (fid(value), fid(recall, 0.01, name="recall", better="higher"))
    return ScoreTable(subject="s", rows={"model": both, "random": (fid(300),)})


@pytest.mark.parametrize(
    ("recall", "verdict", "words"),
    [
        (0.60, "promote", "is not worse by more than the 0.02 allowed"),
        (0.485, "promote", "is not worse by more than the 0.02 allowed"),
        (0.45, "reject", "recall 0.45 (0.44 to 0.46) against the champion's 0.5 is worse by 0.05, more than the 0.02"),
    ],
)
def test_one_score_decides_and_others_must_not_get_worse_by_more_than_is_stated(recall, verdict, words):
    decision = decide(with_recall(20, recall), with_recall(30, 0.5), GUARDED)
    assert decision.verdict == verdict
    assert words in " ".join(decision.reasons)


def test_a_score_that_must_not_get_worse_and_is_not_there_is_a_hold():
    decision = decide(good(20), with_recall(30, 0.5), GUARDED)
    assert decision.verdict == "hold"
    assert decision.reasons[0] == "the challenger has no score 'recall', which must not get worse"
    assert decide(with_recall(20, 0.1), None, GUARDED).verdict == "promote"
