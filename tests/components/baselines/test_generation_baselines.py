"""Every generation baseline: seeded, of the asked size, and made of what it says."""

import numpy as np
import pytest

from components.baselines import GenerationBaseline
from components.baselines.generation import Random, Template
from components.section import kinds

EVERY_KIND = [pytest.param(kind, id=kind.model_fields["kind"].default) for kind in kinds(GenerationBaseline)]


@pytest.fixture(scope="module")
def training_images():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_images_are_bytes_of_the_asked_size_and_number(kind, training_images):
    generated = kind().generate(7, 16, training_images, seed=0)
    assert (generated.dtype, generated.shape) == (np.uint8, (7, 16, 16, 3))
    assert kind().generate(0, 16, training_images, seed=0).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_equal_seeds_give_equal_images_and_more_samples_change_no_earlier_one(kind, training_images):
    few, many, other = (kind().generate(n, 16, training_images, seed) for n, seed in ((3, 1), (6, 1), (3, 2)))
    assert np.array_equal(few, many[:3])
    assert not np.array_equal(few, other)
    assert len({image.tobytes() for image in many}) == 6


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_images_can_be_made_from_any_number_on(kind, training_images):
    everyone = kind().generate(6, 16, training_images, 1)
    assert np.array_equal(kind().generate(2, 16, training_images, 1, first=3), everyone[3:5])


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_training_images_are_left_alone(kind, training_images):
    before = training_images.copy()
    kind().generate(10, 16, training_images, seed=0)
    assert np.array_equal(before, training_images)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    ("samples", "size", "training"),
    [
        (-1, 16, np.zeros((1, 16, 16, 3), np.uint8)),
        (1, 4, np.zeros((1, 4, 4, 3), np.uint8)),
        (1, 16, np.zeros((0, 16, 16, 3), np.uint8)),
        (1, 16, np.zeros((1, 32, 32, 3), np.uint8)),
        (1, 16, np.zeros((1, 16, 16, 3), np.float32)),
    ],
)
def test_impossible_requests_are_refused(kind, samples, size, training):
    with pytest.raises(ValueError, match="expected"):
        kind().generate(samples, size, training, seed=0)


def test_random_images_are_uniform_noise(training_images):
    values = Random().generate(200, 16, training_images, seed=0)
    assert np.bincount(values.reshape(-1), minlength=256).min() > 0.7 * values.size / 256
    assert values.mean() == pytest.approx(127.5, abs=0.5)


def test_a_template_without_changes_is_a_training_image(training_images):
    copies = Template(colour=0, shift=0, flip=False, patches=0).generate(10, 16, training_images, seed=0)
    originals = {image.tobytes() for image in training_images}
    assert {copy.tobytes() for copy in copies} <= originals


def test_a_template_can_only_flip(training_images):
    copies = Template(colour=0, shift=0, patches=0).generate(20, 16, training_images, seed=0)
    originals = {image.tobytes() for image in training_images}
    mirrored = {image[:, ::-1].tobytes() for image in training_images}
    found = {copy.tobytes() for copy in copies}
    assert found <= originals | mirrored
    assert found & originals
    assert found & mirrored


def test_patches_come_from_the_same_place_of_other_training_images(training_images):
    mixed = Template(colour=0, shift=0, flip=False, patches=3).generate(10, 16, training_images, seed=0)
    from_some = (mixed[:, None] == training_images[None]).all(axis=-1).any(axis=1)
    assert from_some.all()
    from_one = (mixed[:, None] == training_images[None]).all(axis=(2, 3, 4)).any(axis=1)
    assert not from_one.all()


def test_colour_and_shift_change_levels_and_place(training_images):
    flat = np.full((1, 16, 16, 3), 100, dtype=np.uint8)
    recoloured = Template(shift=0, patches=0).generate(50, 16, flat, seed=0)
    assert recoloured.std(axis=(1, 2)).max() == 0
    assert recoloured.min() >= 100 * 0.8 - 51 - 1
    assert recoloured.max() <= 100 * 1.2 + 51 + 1
    assert len(np.unique(recoloured)) > 30
    shifted = Template(colour=0, flip=False, patches=0).generate(10, 16, training_images[:1], seed=0)
    centre = training_images[0, 2:-2, 2:-2]
    windows = np.lib.stride_tricks.sliding_window_view(shifted, (12, 12), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    assert (windows == centre).all(axis=(3, 4, 5)).any(axis=(1, 2)).all()
