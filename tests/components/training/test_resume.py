"""An interrupted training ends in the same bytes as one that never stopped, for every family."""

import pytest
import torch

from tests.components.training.small import RECIPES

STEPS, BATCH = 10, 8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", RECIPES)
def test_resume_equals_no_interruption(name, precision, trained, tmp_path):
    recipe, images = RECIPES[name], STEPS * BATCH
    whole = trained(recipe, images, precision=precision).tensors()
    for stop_at in (images // 2, 3 * images // 4, None):
        last = trained(recipe, images, tmp_path, stop_at=stop_at, precision=precision)
    assert last.images == images
    resumed = last.tensors()
    assert resumed.keys() == whole.keys()
    unequal = [key for key, tensor in whole.items() if not torch.equal(tensor, resumed[key])]
    assert unequal == []


@pytest.mark.parametrize("name", RECIPES)
def test_training_moves_the_networks(name, trained):
    # Without this, the equality above could be that of networks that stand still.
    recipe = RECIPES[name]
    short, longer = (trained(recipe, steps * BATCH).tensors() for steps in (2, 6))
    assert any(
        not torch.equal(tensor, longer[key]) for key, tensor in short.items() if key.startswith("network/producer")
    )
