"""What every family promises to those who use its pictures."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from components.corruption import CorruptionMix
from components.data import Batch
from components.models.dcgan import DcganGeneratorConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.vae import SingleLevelVae
from components.objectives.adversarial import Relativistic, Wasserstein
from components.pictures.pixels import to_pixels, to_tensor
from components.recipes import RecipeConfig
from components.recipes.gan import GanConfig
from components.recipes.inpainter import AdversaryConfig, InpainterConfig
from components.recipes.mixture import MixtureConfig
from components.recipes.recipe import (
    ClassGenerator,
    Generator,
    GeneratorRecipe,
    LatentModel,
    Reconstructor,
    Restorer,
)
from components.recipes.vae import VaeConfig
from components.section import kinds
from tests.components.recipes.conftest import FILLERS, RECIPES

VAES = [name for name, recipe in RECIPES.items() if isinstance(recipe, VaeConfig)]
GENERATORS = [name for name, recipe in RECIPES.items() if isinstance(recipe, GeneratorRecipe)]


@pytest.fixture
def damaged(shapes):
    keys = [f"{number:032x}" for number in range(len(shapes))]
    return CorruptionMix().corrupt_batch(shapes, keys, [0] * len(shapes), seed=1)


def test_pixels_survive_the_way_to_floats_and_back(shapes):
    tensor = to_tensor(shapes, torch.device("cpu"))
    assert tensor.shape == (16, 3, 16, 16)
    assert -1 <= tensor.min() < tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), shapes)
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    assert np.array_equal(to_pixels(to_tensor(every, torch.device("cpu"))), every)


def test_values_beyond_the_range_are_clipped():
    pixels = to_pixels(torch.tensor([-9.0, -1.0, 1.0, 9.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2))
    assert pixels[0, :, :, 0].tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize("name", GENERATORS)
def test_fewer_pictures_are_the_first_of_more_and_seeds_differ(name, producers):
    # Networks round differently in batches of different sizes, by less than half a grey level.
    producer = producers[name]
    assert isinstance(producer, Generator)
    more, fewer = producer.generate(300, 7), producer.generate(5, 7)
    assert (more.shape, more.dtype) == ((300, 16, 16, 3), np.uint8)
    assert np.abs(more[:5].astype(int) - fewer).max() <= 1
    assert np.array_equal(fewer, producer.generate(5, 7))
    assert not np.array_equal(fewer, producer.generate(5, 8))
    assert len({picture.tobytes() for picture in more}) == 300


@pytest.mark.parametrize("name", GENERATORS)
def test_pictures_can_be_made_from_any_number_on(name, producers):
    everyone = producers[name].generate(9, 7).astype(int)
    assert np.abs(producers[name].generate(3, 7, first=4) - everyone[4:7]).max() <= 1
    assert np.abs(producers[name].generate(3, 7, first=5) - everyone[4:7]).max() > 1


@pytest.mark.parametrize("name", GENERATORS)
def test_no_pictures_at_all_is_refused(name, producers):
    with pytest.raises(ValueError, match="0 pictures were asked for"):
        producers[name].generate(0, 7)


@pytest.mark.parametrize("name", RECIPES)
def test_the_served_interface_is_that_of_what_the_recipe_produces(name, producers, recipes):
    producer, interface = producers[name], recipes[name].interface
    columns = {column.name: column.required for column in interface.inputs}
    if isinstance(producer, Restorer):
        assert not isinstance(producer, Generator)
        assert columns == {"image": True, "mask": True}
    else:
        assert columns == {"seed": True, "class": False}
        classes = producer.classes if isinstance(producer, ClassGenerator) else ()
        assert classes == recipes[name].class_names
        assert set(interface.example.get("class", ())) <= set(classes)
        assert bool(classes) == ("class" in interface.example)
    assert set(interface.example) <= set(columns)
    assert [column.name for column in interface.outputs] == ["image"]


def test_only_the_vae_reconstructs(producers, shapes):
    assert {name for name, producer in producers.items() if isinstance(producer, Reconstructor)} == set(VAES)
    assert {name for name, producer in producers.items() if isinstance(producer, LatentModel)} == set(VAES)
    for name in VAES:
        again = producers[name].reconstruct(shapes)
        assert (again.shape, again.dtype) == (shapes.shape, np.uint8)


@pytest.mark.parametrize("name", VAES)
def test_the_ways_between_pictures_start_and_end_at_their_reconstructions(name, producers, shapes):
    views = producers[name].between(shapes[:3], shapes[3:6], 5)
    ends = producers[name].reconstruct(shapes[:6])
    assert [view.shape for view in views] == [(3, 16, 16, 3)] * 5
    assert np.abs(views[0].astype(int) - ends[:3]).max() <= 1
    assert np.abs(views[-1].astype(int) - ends[3:]).max() <= 1
    assert not np.array_equal(views[1], views[2])


@pytest.mark.parametrize("name", VAES)
def test_the_ways_between_draws_join_neighbours_of_the_sample_grid(name, producers):
    views, samples = producers[name].between_draws(2, 3, seed=7), producers[name].generate(4, 7)
    assert np.abs(views[0].astype(int) - samples[::2]).max() <= 1
    assert np.abs(views[-1].astype(int) - samples[1::2]).max() <= 1
    again = producers[name].between_draws(2, 3, seed=7)
    assert all(np.array_equal(view, same) for view, same in zip(views, again, strict=True))


@pytest.mark.parametrize("name", VAES)
def test_the_bound_follows_from_the_seed_and_its_divergence_only_where_codes_have_levels(name, producers, shapes):
    one, same, other = (producers[name].bound(shapes, shapes, seed) for seed in (1, 1, 2))
    assert one.distortion.shape == one.rate.shape == (16,)
    assert len(one.means) == 16
    assert np.array_equal(one.distortion, same.distortion)
    assert not np.allclose(one.distortion, other.distortion, rtol=1e-6)
    assert np.array_equal(one.rate, same.rate)
    assert np.array_equal(one.rate, other.rate) is isinstance(producers[name].network.vae, SingleLevelVae)


@pytest.mark.parametrize("name", FILLERS)
def test_restoring_leaves_known_pixels_untouched_and_ignores_what_holes_hold(name, producers, damaged):
    corrupted, missing = damaged
    producer = producers[name]
    assert isinstance(producer, Restorer)
    restored = producer.restore(corrupted, missing)
    assert np.array_equal(restored[~missing], corrupted[~missing])
    assert not np.array_equal(restored[missing], corrupted[missing])
    other = np.where(missing[..., None], 255 - corrupted, corrupted)
    assert np.array_equal(producer.restore(other, missing), restored)


@pytest.mark.parametrize("name", FILLERS)
def test_arrays_that_may_not_be_written_are_read_without_complaint(name, producers, damaged):
    corrupted, missing = damaged
    for array in damaged:
        array.setflags(write=False)
    producers[name].restore(corrupted[::-1], missing[::-1])


@pytest.mark.parametrize("member", kinds(RecipeConfig))
def test_a_recipe_builds_the_same_networks_from_the_same_seed_and_survives_json(member):
    config = member()
    again = TypeAdapter(RecipeConfig).validate_json(config.model_dump_json())
    assert again == config
    one, same, other = (
        recipe.build(16, seed).networks.state_dict() for recipe, seed in ((config, 1), (again, 1), (config, 2))
    )
    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_building_leaves_torchs_own_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    GanConfig().build(16, 1)
    assert torch.equal(torch.rand(3), expected)


def test_too_few_images_for_the_mixture_are_refused_before_training():
    config = VaeConfig(mixture=MixtureConfig(components=10))
    config.check(16, 100)
    with pytest.raises(ValueError, match="components 10 for 99 training images, expected at least ten images for each"):
        config.check(16, 99)


def test_a_mixture_whose_covariances_would_not_fit_into_memory_is_refused_before_training():
    config = VaeConfig(network=ResidualVaeConfig(latent=4096, map_px=16), mixture=MixtureConfig(components=10))
    with pytest.raises(ValueError, match=r"components 10 for codes of 4,096 numbers, expected at most 2, because each"):
        config.check(64)


@pytest.mark.parametrize("loss", [Relativistic(), Wasserstein()])
def test_batch_statistics_and_a_gradient_penalty_are_refused_together(loss):
    with pytest.raises(
        ValidationError, match=rf"'batch' cannot be combined with the gradient penalty of loss '{loss.kind}'"
    ):
        GanConfig.model_validate({"discriminator": {"kind": "dcgan", "normalisation": "batch"}, "loss": loss})


def test_the_penalty_of_an_inpainters_game_is_part_of_its_loss(damaged, shapes):
    corrupted, missing = damaged
    device = torch.device("cpu")
    holes = torch.from_numpy(missing).unsqueeze(1).float()
    shown = (to_tensor(shapes, device), to_tensor(corrupted, device), holes)
    batch = Batch(*shown, seed=1, first_image=0, offset=0, global_size=len(shapes))
    losses = {}
    for gamma in (0, 5):
        loss = {"game": {"kind": "hinge", "r1": gamma}}
        recipe = InpainterConfig(adversary=AdversaryConfig.model_validate({"loss": loss})).build(16, 1)
        losses[gamma] = [phase.objective(batch, 0) for phase in recipe.phases][1]
    assert losses[0]["penalty"] == 0
    assert losses[5]["penalty"] > 0
    torch.testing.assert_close(losses[5]["loss"].detach(), losses[0]["loss"].detach() + losses[5]["penalty"])


def test_an_inpainter_without_damaged_pictures_says_so(shapes):
    batch = Batch(to_tensor(shapes, torch.device("cpu")), None, None, seed=1, first_image=0, offset=0, global_size=16)
    (phase,) = InpainterConfig().build(16, 1).phases
    with pytest.raises(ValueError, match="needs batches with corrupted images and masks"):
        phase.objective(batch, 0)


def test_a_smaller_sampling_scale_draws_pictures_nearer_to_the_mean():
    network = GanConfig(generator=DcganGeneratorConfig(latent=8, width=8)).serving_network(16)
    wide, narrow = (GanConfig(generator=DcganGeneratorConfig(latent=8, width=8), sampling_scale=s) for s in (1.0, 0.25))
    spread = [one.producer(network).generate(24, seed=3).std(axis=0).mean() for one in (wide, narrow)]
    assert spread[1] < 0.8 * spread[0]
