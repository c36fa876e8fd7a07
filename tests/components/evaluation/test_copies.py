"""The gate sees copies: simulated rates of what it refuses and lets pass, and what it says."""

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from components.evaluation.copies import (
    EQUAL,
    PLANTED,
    SIGNIFICANCE,
    RealDistances,
    copies_score,
    judged,
    leak_score,
    pictures_needed,
)
from components.evaluation.gate import PromotionRule, decide
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.section import digest_of

REAL, MADE = 4_000, 1_400
LIKE = Protocol(metric="m", implementation="i", reference="training", samples=1)
RULE = PromotionRule(metric="fid", must_beat_baselines=False)


def distances(generator, count, near=0.0):
    """Distances of real images, of which a share lies near a training image."""
    far = generator.lognormal(-0.5, 0.4, count)
    return np.where(generator.random(count) < near, generator.uniform(0, EQUAL, count), np.maximum(far, 0.21))


def planted(generator, count, share=PLANTED):
    """Distances of what a generator makes, each picture of which is a copy with a chance of `share`."""
    return np.where(generator.random(count) < share, generator.uniform(0, EQUAL, count), distances(generator, count))


def verdict(made, real):
    return judged(copies_score(made, real, "near_copies_x", LIKE), SIGNIFICANCE).copies


def refused(draw, near=0.0, times=1_000, made=MADE):
    """How often the rule refuses what `draw` makes, new real images being drawn each time."""
    generator = np.random.default_rng(17)
    found = 0
    for _ in range(times):
        both = distances(generator, REAL, near)
        found += verdict(draw(generator, made), RealDistances(both[: REAL // 4], both[REAL // 4 :]))
    return found


def table(made, real, fid=20.0):
    protocol = LIKE.model_copy(update={"metric": "fid"})
    scores = (
        Score(name="fid", value=fid, low=fid - 1, high=fid + 1, better="lower", protocol=protocol),
        copies_score(made, real, "near_copies_x", LIKE),
        leak_score(real, "leaked_x", LIKE),
    )
    return ScoreTable(subject="s", rows={"model": scores})


def test_a_generator_with_one_copy_in_a_hundred_is_refused_in_999_of_1000_draws():
    assert refused(planted) >= 999


@pytest.mark.parametrize("near", [0.0, 0.0005, 0.002, 0.1])
def test_a_generator_as_near_to_training_images_as_held_out_ones_is_refused_in_at_most_1_of_100_draws(near):
    count = refused(lambda generator, made: distances(generator, made, near), near)
    assert binomtest(count, 1_000).proportion_ci(0.99, "exact").low <= SIGNIFICANCE
    assert count <= 20


def test_the_chance_that_decides_is_the_hypergeometric_tail():
    generator = np.random.default_rng(3)
    real = RealDistances(distances(generator, 300, 0.02), distances(generator, 700, 0.02))
    made = planted(generator, 500, 0.05)
    near, known = int((made < real.near).sum()), int((real.both < real.near).sum())
    chance = hypergeom.sf(near - 1, 1500, near + known, 500)
    score = copies_score(made, real, "near_copies_x", LIKE)
    assert judged(score, chance * 1.000001).copies
    assert not judged(score, chance * 0.999999).copies


def test_how_many_pictures_give_copies_away_is_known_beforehand():
    needed = pictures_needed(REAL)
    assert needed is not None
    assert needed <= MADE
    assert pictures_needed(REAL, real_near=4) > needed
    assert pictures_needed(20) is None
    generator = np.random.default_rng(0)
    few = RealDistances(distances(generator, 100), distances(generator, 300))
    assert not judged(copies_score(distances(generator, 200), few, "near_copies_x", LIKE), SIGNIFICANCE).tells


def test_the_gate_refuses_a_copier_with_the_counts_whatever_its_scores_are():
    generator = np.random.default_rng(1)
    real = RealDistances(distances(generator, 1000), distances(generator, 3000))
    decision = decide(
        table(planted(generator, 2000, 0.05), real, fid=1.0), table(distances(generator, 2000), real), RULE
    )
    assert decision.verdict == "reject"
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("copies of training images: ")
    assert (
        "of 2,000 pictures are nearer to a training image than 0.2, as are 0 of 4,000 real images"
        in decision.reasons[0]
    )
    assert "a model that copies nothing makes so many with a chance of" in decision.reasons[0]


def test_an_honest_model_is_promoted_and_the_reasons_say_what_was_seen():
    generator = np.random.default_rng(2)
    real = RealDistances(distances(generator, 1000), distances(generator, 3000))
    decision = decide(table(distances(generator, 2000), real), None, RULE)
    assert decision.verdict == "promote"
    assert decision.reasons[0].startswith("there is no champion yet; ")
    assert decision.reasons[1] == (
        "no more copies of training images than chance makes: 0 of 2,000 pictures are nearer to a training image than "
        "0.2, as are 0 of 4,000 real images"
    )


def test_copies_of_the_nights_new_training_images_are_seen_too():
    generator = np.random.default_rng(4)
    real = RealDistances(distances(generator, 1000), distances(generator, 3000))
    honest, copying = (table(made, real) for made in (distances(generator, 2000), planted(generator, 2000, 0.05)))
    assert decide(honest, None, RULE, today=copying).verdict == "reject"
    assert decide(honest, None, RULE, today=honest).verdict == "promote"


def test_copies_pass_where_the_rule_asks_nothing():
    generator = np.random.default_rng(5)
    real = RealDistances(distances(generator, 1000), distances(generator, 3000))
    asking_nothing = RULE.model_copy(update={"copies_significance": 0.0})
    assert decide(table(planted(generator, 2000, 0.05), real), None, asking_nothing).verdict == "promote"


def test_a_baseline_that_copies_need_not_be_beaten_and_one_that_does_not_must_be_whatever_it_is_called():
    generator = np.random.default_rng(6)
    real = RealDistances(distances(generator, 1000), distances(generator, 3000))
    rule = PromotionRule(metric="fid")
    honest, copying = distances(generator, 2000), planted(generator, 2000, 0.2)

    def beside(name, made):
        rows = {"model": table(honest, real).rows["model"], name: table(made, real, fid=1.0).rows["model"]}
        return decide(
            ScoreTable(subject="s", rows=rows | {"random": table(honest, real, fid=300.0).rows["model"]}), None, rule
        )

    assert beside("template", copying).verdict == "promote"
    assert beside("knn", copying).verdict == "promote"
    assert beside("template", honest).verdict == "reject"


def test_held_out_images_that_are_training_images_are_refused_above_the_stated_share():
    generator = np.random.default_rng(7)
    leaking, clean = (
        RealDistances(distances(generator, 500, near), distances(generator, 1000, near)) for near in (0.4, 0.03)
    )
    made = distances(generator, 500)
    decision = decide(table(made, leaking), None, RULE)
    assert decision.verdict == "reject"
    assert "of 500 show what a training image shows" in decision.reasons[0]
    assert "more than the 25.0% that promotion.most_leaked allows" in decision.reasons[0]
    assert decide(table(made, clean), None, RULE).verdict == "promote"
    assert decide(table(made, leaking), None, RULE.model_copy(update={"most_leaked": 1.0})).verdict == "promote"


def test_rules_from_before_there_were_these_fields_keep_their_digests():
    assert digest_of(PromotionRule(metric="fid")) == "215a2516c778c62a5a39"
    assert digest_of(PromotionRule(metric="fid", most_leaked=0.1)) != "215a2516c778c62a5a39"
