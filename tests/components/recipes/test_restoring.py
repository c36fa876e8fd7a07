"""A model that restores everything undoes each kind of damage that hides nothing, on pictures it has never seen."""

import hashlib
from contextlib import closing

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from components.corruption import CorruptionMix
from components.corruption.blur import GaussianBlurConfig
from components.corruption.defects import ScratchesConfig
from components.corruption.noise import GaussianNoiseConfig
from components.corruption.quality import JpegConfig, ResampleConfig
from components.data import Batch, Loader, Samples, Share
from components.models.resnet import ResnetConfig
from components.objectives.perceptual import PerceptualConfig, VggFeatures
from components.objectives.restoration import RestorationConfig
from components.recipes.export import ModelCard, load_producer, write_export
from components.recipes.inpainter import AdversaryConfig, InpainterConfig
from components.recipes.recipe import PRODUCER
from components.seeding import numpy_generator
from components.training.config import TrainingConfig
from components.training.ema import EmaConfig
from components.training.guard import Guard
from components.training.loop import TrainContext, train
from components.training.optimizer import AdamConfig
from components.training.state import TrainingState

SIZE, BATCH = 32, 16
RECIPE = InpainterConfig(
    network=ResnetConfig(width=24, blocks=2, halvings=1),
    restores="everything",
    loss=RestorationConfig(hole_weight=0.1, valid_weight=0.1, squared_weight=10),
    optimizer=AdamConfig(rate=2e-3, betas=(0.9, 0.99)),
)


def crops(photo, count):
    rng = numpy_generator(0, "crops")
    halved = photo[::2, ::2]
    corners = zip(*(rng.integers(0, side - SIZE, count) for side in halved.shape[:2]), strict=True)
    return np.stack([halved[top : top + SIZE, left : left + SIZE] for top, left in corners])


def keys(pictures):
    return [f"{number:032x}" for number in range(len(pictures))]


def restorer(mix, steps):
    pictures = np.concatenate([crops(photo, 64) for photo in (data.astronaut(), data.coffee())])
    training = TrainingConfig(images=BATCH * steps, batch=BATCH, ema=EmaConfig(half_life_images=300))
    recipe = RECIPE.build(SIZE, 0)
    recipe.networks.to(memory_format=torch.channels_last)
    state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
    loader = Loader(Samples(pictures, keys(pictures), "d"), Share(BATCH), seed=0, corruption=mix)
    context = TrainContext(torch.device("cpu"), 0, lambda: False, lambda values: None, 10**6)
    with closing(loader.batches(0)) as batches:
        train(recipe.phases, state, batches, training, context)
    return RECIPE.producer(state.averages[PRODUCER].network)


def decibels(pictures, truth):
    return float(np.mean(-10 * np.log10(np.mean((pictures / 255 - truth / 255) ** 2, axis=(1, 2, 3)) + 1e-6)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "steps", "gain_db"),
    [
        (GaussianNoiseConfig(severity=5), 60, 2.0),
        (GaussianBlurConfig(severity=5), 60, 0.5),
        (JpegConfig(severity=5), 220, 0.05),
        (ResampleConfig(severity=5), 60, 0.3),
        (ScratchesConfig(severity=5), 80, 0.3),
    ],
    ids=["noise", "blur", "jpeg", "resample", "scratches"],
)
def test_known_but_wrong_pixels_are_mended(damage, steps, gain_db):
    mix = CorruptionMix(masks=(), degradations=(damage,), degrade_fraction=1, mark_defects=False)
    unseen = crops(data.chelsea(), 32)
    damaged, missing = mix.corrupt_batch(unseen, keys(unseen), [999] * len(unseen), seed=5)
    assert not missing.any()
    mended = restorer(mix, steps).restore(damaged, missing)
    assert decibels(mended, unseen) > decibels(damaged, unseen) + gain_db


def drawn_batch():
    shown, truth = (torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in (1, 2))
    missing = torch.zeros(4, 1, 16, 16)
    missing[..., 4:8, 4:8] = 1
    return Batch(truth, shown, missing, seed=1, first_image=0, offset=0, global_size=4)


def adversarial_phases(restores):
    adversary = AdversaryConfig(weight=1.0)
    loss = RestorationConfig(hole_weight=0, valid_weight=0)
    config = InpainterConfig(network=ResnetConfig(width=8, blocks=1), restores=restores, loss=loss, adversary=adversary)
    return config.build(16, 1)


def test_the_discriminator_judges_known_pixels_only_of_a_model_that_may_change_them():
    changed = {}
    for restores in ("missing", "everything"):
        recipe, outputs = adversarial_phases(restores), []
        recipe.networks[PRODUCER].register_forward_hook(lambda _, given, out, outputs=outputs: outputs.append(out))
        (gradient,) = torch.autograd.grad(recipe.phases[0].objective(drawn_batch(), 0)["loss"], outputs)
        changed[restores] = (gradient != 0).any(dim=1, keepdim=True)
    known = drawn_batch().missing == 0
    assert not changed["missing"][known].any()
    assert changed["everything"][known].float().mean() > 0.9


def test_one_forward_of_the_network_serves_both_phases():
    recipe, passes = adversarial_phases("missing"), []
    recipe.networks[PRODUCER].register_forward_hook(lambda *_: passes.append(1))
    for phase in recipe.phases:
        phase.objective(drawn_batch(), 0)
    assert len(passes) == 1


def judged(restores):
    """Return the loss of the discriminator, which judges what the network's phase has made."""
    mender, critic = adversarial_phases(restores).phases
    mender.objective(drawn_batch(), 0)
    return critic.objective(drawn_batch(), 0)["loss"]


def test_every_patch_of_a_model_that_restores_everything_counts_as_made():
    losses = {restores: judged(restores) for restores in ("missing", "everything")}
    recipe = adversarial_phases("everything")
    batch, discriminator = drawn_batch(), recipe.networks["discriminator"]
    recipe.phases[0].objective(batch, 0)  # each pass of the discriminator moves its spectral norms
    real, fake = discriminator(
        torch.cat([batch.images, recipe.networks[PRODUCER](batch.corrupted, batch.missing)])
    ).chunk(2)
    torch.testing.assert_close(losses["everything"], torch.relu(1 - real).mean() + torch.relu(1 + fake).mean())
    assert losses["everything"] != losses["missing"]


def test_a_restorer_delivers_what_the_network_says_of_known_pixels_too(producers, shapes):
    missing = np.zeros(shapes.shape[:3], bool)
    assert not np.array_equal(producers["restorer"].restore(shapes, missing), shapes)
    assert np.array_equal(producers["resnet"].restore(shapes, missing), shapes)
    assert (producers["restorer"].restores_known, producers["resnet"].restores_known) == (True, False)


def test_vggs_weights_are_trained_by_nobody_and_exported_nowhere(tmp_path, shapes):
    network = VggFeatures()
    path = tmp_path / "vgg.safetensors"
    save_file(network.state_dict(), path)
    perceptual = PerceptualConfig(weights=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    config = InpainterConfig(network=ResnetConfig(width=8, blocks=1), perceptual=perceptual)
    recipe = config.build(16, 1)
    path.unlink()  # serving does without it
    assert set(recipe.networks) == {PRODUCER}
    (phase,) = recipe.phases
    assert {id(value) for value in phase.objective.parameters()} == {id(v) for v in phase.trains.parameters()}
    losses = phase.objective(drawn_batch(), 0)
    losses["loss"].backward()
    assert losses["style"] > 0
    write_export(tmp_path, recipe.networks[PRODUCER], ModelCard(size=16, recipe=config, images=0))
    assert load_producer(tmp_path).restore(shapes, np.zeros(shapes.shape[:3], bool)).shape == shapes.shape
