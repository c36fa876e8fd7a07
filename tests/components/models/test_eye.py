"""What losses see through a trained network: its own features, gradients for images, and nothing to train or keep."""

import pytest
import torch

from components import seeding
from components.models.efficientnet import EfficientNetLite
from components.models.eye import Eye
from components.models.features import lite0_weights

EVERY = tuple(range(16))


def pictures(count: int, size: int = 32) -> torch.Tensor:
    levels = torch.randint(0, 256, (count, 3, size, size), generator=seeding.torch_generator(0, "test"))
    return levels / 127.5 - 1


@pytest.fixture(scope="module")
def eye():
    return Eye(32, EVERY)


def test_features_are_those_of_the_extractor_after_each_block(eye):
    extractor = EfficientNetLite("efficientnet-lite0", 32, lite0_weights())
    expected = []
    for block in extractor.layers[1:-1]:
        block.register_forward_hook(lambda module, given, output: expected.append(output.clone()))
    images = pictures(2)
    extractor(((images + 1) * 127.5).round().to(torch.uint8))
    for found, goal in zip(eye(images), expected, strict=True):
        torch.testing.assert_close(found, goal, atol=1e-4, rtol=1e-4)


def test_no_more_blocks_are_computed_than_are_looked_at_and_images_may_be_resized(eye):
    computed = []
    early = Eye(32, (0, 2))
    for layer in early._hidden[0].layers:
        layer.register_forward_hook(lambda module, given, output: computed.append(module))
    assert [one.shape[1:] for one in early(pictures(1))] == [(16, 16, 16), (24, 8, 8)]
    assert len(computed) == 4  # the stem and three blocks
    assert Eye(64, (2,))(pictures(1))[0].shape == (1, 24, 16, 16)


def test_gradients_reach_the_images_and_nothing_of_the_network(eye):
    images = pictures(2).requires_grad_()
    before = [value.clone() for value in eye._hidden[0].state_dict().values()]
    sum(one.square().sum() for one in eye.train()(images)).backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in eye._hidden[0].parameters())
    for value, was in zip(eye._hidden[0].state_dict().values(), before, strict=True):
        assert torch.equal(value, was)


def test_it_has_nothing_to_train_or_keep_and_is_moved_with_the_module(eye):
    assert not list(eye.parameters())
    assert not list(eye.buffers())
    assert not eye.state_dict()
    moved = Eye(32, (0,)).double()
    assert all(value.dtype == torch.float64 for value in moved._hidden[0].parameters())
