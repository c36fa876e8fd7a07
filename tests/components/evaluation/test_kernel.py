"""The kernel distance is the mean over pairs of different images, in one definition for training and evaluation."""

import numpy as np
import pytest
import torch

from components.evaluation.kernel import kernel_distance
from components.evaluation.replicates import kernel_distances


def test_the_kernel_distance_is_the_mean_over_pairs_of_different_images():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(7, 3))

    def kernel(a, b):
        return (sum(a[i] * b[i] for i in range(3)) / 3 + 1) ** 3

    def pairs(s):
        return np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])

    across = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(pairs(x) + pairs(y) - 2 * across)


def test_leaving_a_group_out_gives_the_distance_of_the_rest():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 5)), rng.normal(1, 1, size=(9, 5))
    groups = [np.arange(0, 4), np.arange(4, 12)], [np.arange(0, 2), np.arange(2, 9)]
    found = kernel_distances(torch.from_numpy(x), torch.from_numpy(y), *groups)
    rest = [kernel_distance(x[4:], y[2:]), kernel_distance(x[:4], y[:2])]
    assert found == pytest.approx(rest, rel=1e-12)


def test_validation_scores_are_those_that_chose_exports_before_to_the_bit():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(300, 64)), rng.normal(0.1, 1, size=(280, 64))

    def within(one):
        pairs = (one @ one.T / one.shape[1] + 1) ** 3
        return float((pairs.sum() - np.trace(pairs)) / (len(one) * (len(one) - 1)))

    across = float(((x @ y.T / x.shape[1] + 1) ** 3).mean())
    assert kernel_distance(x, y) == within(x) + within(y) - 2 * across
