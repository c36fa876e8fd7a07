"""What a model was trained to please does not judge it: neither a configuration nor the gate lets it."""

import pytest
from pydantic import ValidationError

from components.config import ModelConfig
from components.evaluation.evidence import judged_by_own_features
from components.evaluation.extractors import EfficientNetLite0Config, InceptionConfig
from components.evaluation.gate import Floor, PromotionRule, decide
from components.evaluation.generation import GenerationEvaluation
from components.evaluation.mending import RestorationEvaluation
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.models.projected import ProjectedDiscriminatorConfig
from components.objectives.features import FeatureLossConfig
from components.objectives.perceptual import PerceptualConfig
from components.objectives.variational import VariationalConfig
from components.recipes.gan import GanConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.vae import VaeConfig
from components.training.config import TrainingConfig

JUDGE = EfficientNetLite0Config().sha256
RULE = PromotionRule(metric="fd_efficientnet_lite0", must_beat_baselines=False)


PLEASING = {
    "gan": GanConfig(discriminator=ProjectedDiscriminatorConfig()),
    "vae": VaeConfig(loss=VariationalConfig(features=FeatureLossConfig())),
}


def model(recipe, extractor=None):
    evaluation = GenerationEvaluation.model_validate(
        {"fidelity": {"extractor": extractor or {"kind": "efficientnet_lite0"}}}
    )
    return ModelConfig(recipe=recipe, training=TrainingConfig(images=640), evaluation=evaluation, promotion=RULE)


def scored(value, extractor_sha256=JUDGE, name="fd_efficientnet_lite0"):
    protocol = Protocol(
        metric="m", implementation="i", reference="r", samples=40, extractor="e", extractor_sha256=extractor_sha256
    )
    return Score(name=name, value=value, low=value - 1, high=value + 1, better="lower", protocol=protocol)


def table(*scores):
    return ScoreTable(subject="s", rows={"model": scores})


@pytest.mark.parametrize("family", PLEASING)
def test_a_configuration_whose_model_is_trained_on_what_judges_it_is_refused_in_words(family):
    with pytest.raises(
        ValidationError, match=f"weights sha256 {JUDGE[:16]}…, .* take another extractor, or another loss"
    ):
        model(PLEASING[family])


@pytest.mark.parametrize("family", PLEASING)
def test_another_extractor_or_another_loss_is_accepted(family):
    pleasing, plain = PLEASING[family], type(PLEASING[family])()
    assert pleasing.features_trained_on == (JUDGE,)
    assert plain.features_trained_on == ()
    assert model(plain).recipe == plain
    assert model(pleasing, {"kind": "efficientnet_lite2"}).recipe == pleasing
    assert model(pleasing, {"kind": "inception"}).evaluation.features == (InceptionConfig().sha256,)


def test_an_inpainter_says_which_network_its_perceptual_loss_looks_through():
    assert InpainterConfig().features_trained_on == ()
    loss = PerceptualConfig(weights="vgg16.pth", sha256="a" * 64)
    recipe = InpainterConfig(perceptual=loss)
    assert recipe.features_trained_on == ("a" * 64,)
    assert judged_by_own_features(recipe, RestorationEvaluation()) == ""  # it compares pixels


def test_the_gate_refuses_a_score_by_features_that_the_challenger_was_trained_on():
    better, champion = table(scored(20.0)), table(scored(30.0))
    assert decide(better, champion, RULE).verdict == "promote"
    assert decide(better, champion, RULE, trained_on=("b" * 64,)).verdict == "promote"
    refused = decide(better, champion, RULE, trained_on=(JUDGE,))
    assert refused == decide(better, table(), RULE, trained_on=(JUDGE,))  # nor is it held, for a person to let through
    assert refused.verdict == "reject"
    assert refused.reasons == (
        f"fd_efficientnet_lite0 judges by the features of a network (weights sha256 {JUDGE[:16]}…) that the challenger "
        "was trained on; a judge must be one that it was not",
    )


def test_a_floor_by_such_features_is_refused_as_well():
    rule = RULE.model_copy(update={"metric": "psnr", "floors": (Floor(metric="fd_efficientnet_lite0", at_most=50),)})
    better = table(scored(20.0), scored(1.0, None, "psnr"))
    decision = decide(better, None, rule, trained_on=(JUDGE,))
    assert decision.verdict == "reject"
    assert "fd_efficientnet_lite0 judges by" in decision.reasons[0]
