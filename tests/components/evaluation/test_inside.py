"""What people look at to trust a model shows what it should: where it looks, its worst pictures, its neighbours."""

import numpy as np
import torch

from components.data import FrozenImages
from components.evaluation.copies import RealDistances
from components.evaluation.inside import _changes, extremes, looked_at, ways
from components.evaluation.likeness import sketches
from components.evaluation.neighbours import Neighbours
from components.pictures import figures

RNG = np.random.default_rng(0)
SIZE = 32


class Copycat:
    """Fills holes with the mean colour of the known pixels in the top left quarter of the picture."""

    stride, reach_px, restores_known = 1, 6.0, False

    def restore(self, corrupted, missing):
        filled = corrupted.copy()
        for image, hole in zip(filled, missing, strict=True):
            seen = image[:16, :16][~hole[:16, :16]]
            image[hole] = seen.mean(axis=0) if len(seen) else 0
        return filled


def frozen(count=8, bins=2):
    images = RNG.integers(0, 200, (count, SIZE, SIZE, 3), np.uint8)
    missing = np.zeros((count, SIZE, SIZE), bool)
    missing[:, 20:28, 20:28] = True
    corrupted = np.where(missing[..., None], np.uint8(127), images)
    numbers = np.arange(count) % bins
    return FrozenImages([str(n) for n in range(count)], images, missing, corrupted, [{}] * count, numbers)


def test_hiding_what_a_model_looks_at_changes_its_fill_and_hiding_all_else_does_not():
    image = np.full((SIZE, SIZE, 3), 10, np.uint8)
    image[4:8, 8:12] = 250
    hole = np.zeros((SIZE, SIZE), bool)
    hole[20:28, 20:28] = True
    changes = _changes(Copycat(), image, hole)
    assert np.unravel_index(changes.argmax(), (8, 8)) == (1, 2)
    assert changes[:4, :4].min() > 0
    assert not changes[4:].any()
    assert not changes[:, 4:].any()


def test_a_model_that_fills_nothing_is_not_asked_where_it_looks():
    whole = frozen()
    assert looked_at(Copycat(), whole) is not None
    whole.missing[:] = False
    assert looked_at(Copycat(), whole) is None


def test_the_worst_and_the_best_of_each_bin_are_shown():
    whole = frozen(count=12, bins=2)
    restored = whole.images.copy()
    for row in range(12):
        restored[row, 20:28, 20:28, 0] += row  # rows err more and more
    shown = extremes(restored, whole)
    for name, rows in (("worst", [10, 8, 11, 9]), ("best", [0, 2, 1, 3])):
        views = [("truth", whole.images[rows]), ("damaged", whole.corrupted[rows]), (name, restored[rows])]
        assert np.array_equal(shown[name], figures.panels(views))


def test_what_has_no_code_has_no_ways():
    assert ways(Copycat(), 1) == ()


def test_the_nearest_training_image_is_found_though_mirrored_shifted_or_recoloured():
    coarse = RNG.integers(0, 256, (300, 4, 4, 3), np.uint8)
    training = torch.from_numpy(coarse).permute(0, 3, 1, 2).float()
    training = torch.nn.functional.interpolate(training, size=SIZE, mode="bicubic").clamp(0, 255).byte()
    known = Neighbours(torch.zeros(300, 1), training, RealDistances(np.empty(0), np.empty(0)))
    made = torch.stack([training[7], training[70].flip(2), training[99].roll(2, 2), (training[200] / 2).byte() + 60])
    assert known.nearest_images(made).tolist() == [7, 70, 99, 200]
    assert sketches(made.permute(0, 2, 3, 1)).equal(made)


def test_views_of_photographs_are_shrunk_and_small_ones_stay():
    large, small = np.full((2, 400, 400, 3), 9, np.uint8), np.full((2, 64, 64, 3), 9, np.uint8)
    (_, one), (_, other) = figures.shrunk([("large", large), ("small", small)])
    assert one.shape == (2, 192, 192, 3)
    assert (one == 9).all()
    assert other is small
