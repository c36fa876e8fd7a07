"""Nats, bits, divergence and active units of models with codes."""

from dataclasses import replace

import numpy as np
import pytest

from components.evaluation.likelihood import active_units, likelihood_scores
from components.objectives.logistic import LogisticMixture
from components.objectives.reconstruction import FixedSigma
from components.recipes.recipe import Bound


def bound_of(distortion, rate, means=None):
    means = np.zeros((len(rate), 2)) if means is None else means
    return Bound(np.asarray(distortion), np.asarray(rate), means, FixedSigma().protocol(100))


def scored(bound, dimensions=48, **more):
    return {score.name: score for score in likelihood_scores(bound, dimensions, "r", **more)}


def test_256_equal_levels_need_eight_bits_per_number():
    scores = scored(bound_of(np.full(20, 48 * np.log(256)), np.zeros(20)))
    assert scores["bits_per_dim"].value == pytest.approx(8)
    assert scores["negative_elbo_nats"].value == pytest.approx(48 * 8 * np.log(2))
    assert scores["kl_nats"].value == 0


def test_the_bound_is_distortion_and_divergence_together_picture_by_picture():
    rng = np.random.default_rng(0)
    distortion, rate = rng.uniform(100, 200, 50), rng.uniform(10, 20, 50)
    scores = scored(bound_of(distortion, rate))
    np.testing.assert_allclose(scores["negative_elbo_nats"].per_image, distortion + rate, rtol=1e-8)
    np.testing.assert_allclose(scores["kl_nats"].per_image, rate, rtol=1e-8)
    low, high = scores["bits_per_dim"].low, scores["bits_per_dim"].high
    deviation = (distortion + rate).std() / np.sqrt(50) / 48 / np.log(2)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.15)


def test_the_protocol_says_how_pixels_are_observed_and_what_sigma_was_fitted_to():
    protocol = scored(bound_of([1.0, 2.0], [0.0, 0.0]))["bits_per_dim"].protocol
    assert "256 levels" in protocol.settings["observation"]
    assert protocol.settings["sigma_images"] == 100
    other = scored(bound_of([1.0, 2.0], [0.0, 0.0]), dimensions=12)["bits_per_dim"].protocol
    assert protocol.digest != other.digest


def test_the_protocol_of_a_normal_is_that_of_earlier_releases_so_that_their_champions_can_be_compared():
    assert scored(bound_of(np.ones(3), np.ones(3)))["bits_per_dim"].protocol.digest == "e277cf5380c2a0510638"


def test_bits_by_other_probabilities_of_pixels_have_another_protocol():
    bound = bound_of([1.0, 2.0], [0.0, 0.0])
    other = replace(bound, observation=LogisticMixture().protocol(100))
    assert len({scored(one)["bits_per_dim"].protocol.digest for one in (bound, other)}) == 2
    assert "sigma" not in scored(other)["bits_per_dim"].protocol.settings


def test_units_that_vary_are_active_and_those_near_the_line_are_inside_the_interval():
    rng = np.random.default_rng(0)
    deviations = np.array([1.0, 1.0, 0.5, 0.1, 0.01, 0.0])  # the line is at a deviation of 0.1
    means = 3 + rng.standard_normal((400, 6)) * deviations
    value, low, high = active_units(means)
    assert (low, high) == (3, 4)
    assert value == int((means.var(axis=0) > 0.01).sum())


def test_the_count_of_active_units_comes_with_its_interval():
    means = np.random.default_rng(0).standard_normal((64, 5)) * np.array([1, 1, 1, 0, 0])
    score = scored(bound_of(np.ones(64), np.ones(64), means))["active_units"]
    assert (score.value, score.low, score.high, score.better) == (3, 3, 3, "higher")


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match="no pictures"):
        likelihood_scores(bound_of(np.zeros(0), np.zeros(0)), 48, "r")
