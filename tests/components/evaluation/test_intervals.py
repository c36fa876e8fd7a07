"""Intervals cover what they promise to cover, and are the same for the same seed."""

import numpy as np
import pytest

from components.evaluation.intervals import bootstrap_means, jackknife_halfwidth, random_groups
from components.seeding import numpy_generator


def test_bootstrap_of_a_mean_agrees_with_the_central_limit():
    values = numpy_generator(1, "values").normal(5, 2, size=(400, 1))
    low, high = bootstrap_means(values, seed=0)
    half = 1.96 * values.std() / 20
    assert (high - low)[0] / 2 == pytest.approx(half, rel=0.12)
    assert low[0] < values.mean() < high[0]
    assert np.array_equal(low, bootstrap_means(values, seed=0)[0])
    assert not np.array_equal(low, bootstrap_means(values, seed=1)[0])


def test_bootstrap_of_one_picture_is_a_point():
    low, high = bootstrap_means(np.array([[3.0]]), seed=0)
    assert low == high == 3.0


def test_jackknife_interval_covers_the_true_mean_as_often_as_promised():
    covered = 0
    for trial in range(400):
        values = numpy_generator(trial, "trial").exponential(size=200)
        groups = random_groups(200, 20, trial, "trial")
        replicates = np.array([np.delete(values, group).mean() for group in groups])
        covered += abs(values.mean() - 1) < jackknife_halfwidth(replicates)
    assert 0.91 <= covered / 400 <= 0.98


def test_groups_part_all_images_evenly():
    groups = random_groups(103, 20, 0, "x")
    assert sorted(np.concatenate(groups)) == list(range(103))
    assert {len(group) for group in groups} == {5, 6}
