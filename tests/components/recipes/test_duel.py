"""What the two phases of a GAN share: images, and what is remembered from step to step."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.data import Batch
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adaptation import AdaptiveConfig
from components.objectives.adversarial import Relativistic
from components.objectives.augmentation import AugmentationConfig
from components.objectives.lecam import LecamConfig
from components.recipes.gan import GanConfig
from components.recipes.handover import Handover

SMALL = {"generator": DcganGeneratorConfig(latent=8, width=4), "discriminator": DcganDiscriminatorConfig(width=4)}


def batch(offset: int = 0, first: int = 0) -> Batch:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(first)) * 2 - 1
    return Batch(images, None, None, 1, first, offset, 8, None)


def counted(recipe):
    """Return a list to which each pass of the generator adds what it made."""
    made = []
    recipe.networks["producer"].register_forward_hook(lambda module, given, output: made.append(output))
    return made


def test_each_phase_has_images_made_for_it():
    recipe = GanConfig(augmentation=False, **SMALL).build(16, 1)
    made = counted(recipe)
    assert [phase.name for phase in recipe.phases] == ["discriminator", "generator"]
    for phase in recipe.phases:
        phase.objective(batch(), 0)["loss"].backward()
    assert len(made) == 2
    assert not torch.equal(*made)


def test_micro_batches_get_the_images_made_of_their_rows():
    handover, one, other = Handover(), batch(0), batch(4)
    images = torch.zeros(4, 3, 2, 2), torch.ones(4, 3, 2, 2, requires_grad=True)
    handover.give(one, images[0])
    handover.give(other, images[1])
    assert torch.equal(handover.take(other), images[1])
    assert not handover.take(one).requires_grad


def test_what_is_remembered_is_part_of_the_networks_that_checkpoints_hold():
    adaptive = AugmentationConfig(adaptive=AdaptiveConfig(images=40))
    recipe = GanConfig(augmentation=adaptive, lecam=LecamConfig(), **SMALL).build(16, 1)
    nn.init.constant_(recipe.networks["discriminator"].last.bias, 9.0)
    for _ in range(3):
        found = recipe.phases[0].objective(batch(), 0)
    assert {"lecam", "augmentation"} <= found.keys()
    state = recipe.networks.state_dict()
    assert state["adaptation.certainty"] != 0
    assert state["anchors.real"] != 0
    assert set(GanConfig(**SMALL).build(16, 1).networks) == {"producer", "discriminator"}


def test_the_chance_of_changes_decides_what_the_discriminator_sees():
    config = GanConfig(augmentation=AugmentationConfig(cutout=0.5, adaptive=AdaptiveConfig()), **SMALL)
    recipe = config.build(16, 1)
    critic, seen = recipe.phases[0].objective, []
    recipe.networks["discriminator"].register_forward_hook(lambda module, given, output: seen.append(given[0]))
    for chance in (0.0, 1.0):
        recipe.networks["adaptation"].chance.fill_(chance)
        critic(batch(), 0)
    assert torch.equal(seen[0][:4], batch().images)
    assert (seen[1][:4] != batch().images).flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lecam": LecamConfig()}, "lecam cannot be combined with loss 'relativistic'"),
        ({"augmentation": AugmentationConfig(adaptive=AdaptiveConfig())}, "augmentation.adaptive cannot be combined"),
    ],
)
def test_a_loss_of_differences_is_refused_where_levels_of_logits_count(options, named):
    with pytest.raises(ValidationError, match=named):
        GanConfig(loss=Relativistic(), **options)


def test_fields_at_their_defaults_are_left_out_of_the_dump_so_that_digests_stay():
    assert not {"statistics", "lecam"} & GanConfig().model_dump().keys()
    assert "cutout" not in AugmentationConfig().model_dump()
    told = GanConfig(statistics="standing", augmentation=AugmentationConfig(cutout=0.5))
    assert GanConfig.model_validate(told.model_dump()) == told
    assert told.model_dump()["augmentation"]["cutout"] == 0.5


def test_rows_of_another_rank_are_not_mixed_up():
    one, other = batch(), replace(batch(), offset=4)
    recipe = GanConfig(augmentation=False, **SMALL).build(16, 1)
    made = counted(recipe)
    for rows in (one, other):
        recipe.phases[0].objective(rows, 0)
    assert not torch.equal(made[0], made[1])
