"""The distance of features: its closed form, its bounds, and whom its gradient reaches."""

import math

import pytest
import torch
from pydantic import ValidationError

from components import seeding
from components.objectives.features import FeatureLossConfig, features_apart
from components.objectives.variational import VariationalConfig


def features(seed=0, channels=5):
    return torch.randn(2, channels, 4, 4, generator=seeding.torch_generator(seed, "test"))


def test_it_is_that_of_the_paper_with_equal_weights():
    made, true = [features(1), features(2, 7)], [features(3), features(4, 7)]
    expected = 0.0
    for one, goal in zip(made, true, strict=True):
        batch, _, height, width = one.shape
        for place in torch.cartesian_prod(torch.arange(batch), torch.arange(height), torch.arange(width)).tolist():
            image, row, column = place
            a, b = (value[image, :, row, column] for value in (one, goal))
            expected += (a / a.norm() - b / b.norm()).square().sum() / (batch * height * width)
    torch.testing.assert_close(features_apart(made, true), expected / 2)


def test_it_is_twice_what_the_cosine_lacks_to_one_whatever_the_size():
    made, true = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    true[0, :, 0, 0] = torch.tensor([3.0, 0.0])
    for angle in (0.0, 0.5, math.pi / 2, math.pi):
        made[0, :, 0, 0] = 7 * torch.tensor([math.cos(angle), math.sin(angle)])
        assert features_apart([made], [true]).item() == pytest.approx(2 - 2 * math.cos(angle), abs=1e-6)


def test_equal_features_cost_nothing_and_of_two_only_what_is_made_gets_a_gradient():
    made, true = features().requires_grad_(), features().requires_grad_()
    apart = features_apart([made], [true])
    assert apart == 0
    features_apart([made * torch.linspace(1, 2, 5).view(1, 5, 1, 1)], [true]).backward()
    assert made.grad.abs().sum() > 0
    assert true.grad is None


def test_where_there_are_no_features_at_all_gradients_stay_finite():
    made = torch.zeros(1, 5, 2, 2, requires_grad=True)
    features_apart([made], [features()[:1, :, :2, :2]]).backward()
    assert torch.isfinite(made.grad).all()


def test_blocks_are_named_once_each_and_in_order():
    assert FeatureLossConfig(blocks=(0, 15)).blocks == (0, 15)
    with pytest.raises(ValidationError, match=r"found \[4, 0, 4\], expected each block once, in order: \[0, 4\]"):
        FeatureLossConfig(blocks=(4, 0, 4))
    with pytest.raises(ValidationError, match="less than or equal to 15"):
        FeatureLossConfig(blocks=(16,))


def test_a_loss_without_it_is_written_as_before_there_was_one():
    assert "features" not in VariationalConfig().model_dump()
    assert VariationalConfig(features=FeatureLossConfig()).model_dump()["features"]["blocks"] == (0, 2, 4)
