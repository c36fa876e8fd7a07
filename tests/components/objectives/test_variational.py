"""The variational loss: its schedule, its reports and its means."""

import math

import pytest
import torch

from components.objectives.reconstruction import FixedSigma
from components.objectives.variational import VariationalConfig


def given(batch=4):
    generator = torch.Generator().manual_seed(0)
    decoded, target = torch.rand(2, batch, 3, 8, 8, generator=generator) * 2 - 1
    mean, log_variance = torch.randn(2, batch, 5, generator=generator)
    return decoded, target, mean, log_variance


def test_the_weight_rises_with_images_seen_and_then_stays():
    config = VariationalConfig(beta=2, warm_up_images=100)
    assert [config.weight(images) for images in (0, 25, 100, 1000)] == [0, 0.5, 2, 2]
    assert VariationalConfig(beta=0.5).weight(0) == 0.5


def test_the_loss_is_distortion_and_weighted_rate_and_the_rest_is_reported():
    config = VariationalConfig(beta=3, likelihood=FixedSigma())
    losses = config.losses(*given(), 0)
    rate = losses["rate_bits"] * math.log(2)
    torch.testing.assert_close(losses["loss"], losses["distortion"] + 3 * rate)
    bound = (losses["distortion"] + rate) / 192 / math.log(2) + math.log2(127.5)
    torch.testing.assert_close(losses["bound_bits"], bound)
    assert all(value.ndim == 0 for value in losses.values())


def test_the_mean_over_two_halves_is_the_loss_of_the_whole():
    config = VariationalConfig(likelihood=FixedSigma())
    whole = config.losses(*given(), 0)["loss"]
    halves = [config.losses(*(x[rows] for x in given()), 0)["loss"] for rows in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_decoder_and_encoder_both_get_gradients():
    tensors = [tensor.requires_grad_() for tensor in given()]
    VariationalConfig(free_bits=0.01).losses(*tensors, 0)["loss"].backward()
    assert all(tensors[place].grad.abs().sum() > 0 for place in (0, 2, 3))


def test_a_code_that_costs_less_than_its_free_bits_is_left_alone():
    _, _, mean, log_variance = given()
    mean.requires_grad_()
    image = torch.zeros(4, 3, 8, 8)
    VariationalConfig(free_bits=100).losses(image, image, mean, log_variance, 0)["loss"].backward()
    assert torch.equal(mean.grad, torch.zeros_like(mean))


def test_a_standard_normal_code_costs_nothing():
    image, zeros = torch.zeros(2, 3, 8, 8), torch.zeros(2, 5)
    assert VariationalConfig().losses(image, image, zeros, zeros, 0)["rate_bits"].item() == pytest.approx(0, abs=1e-7)
