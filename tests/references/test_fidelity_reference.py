"""Fréchet distance against its closed form, and the jackknife's repetitions against torch-fidelity's functions."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from components.evaluation.gaussian import Moments, Normal, frechet_distance
from components.evaluation.intervals import random_groups
from components.evaluation.replicates import frechet, inception_score, kernel_distances, precision_recall
from components.seeding import torch_generator

NOBODY = 2
"""Index of the group of `halves` that holds nobody."""


def halves(count):
    return [*np.array_split(np.arange(count), 2), np.array([], dtype=np.int64)]


def features(name, count, width, shift=0.0):
    return torch.randn(count, width, generator=torch_generator(0, name)) + shift


def reference(fakes, reals):
    statistics = [fid_features_to_statistics(x) for x in (fakes, reals)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


def textbook(fakes, reals):
    """The published formula, with a general matrix root as pytorch-fid and clean-fid take it."""
    (m1, s1), (m2, s2) = [(x.mean(dim=0).numpy(), np.cov(x.numpy(), rowvar=False)) for x in (fakes, reals)]
    return float(((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(scipy.linalg.sqrtm(s1 @ s2)).real)


def by_many_digits(fakes, reals):
    """The same with singular values of the centred images, in 40 digits."""
    with mpmath.workdps(40):
        one, other = (mpmath.matrix(x.tolist()) for x in (fakes, reals))
        centred, means = [], []
        for x in (one, other):
            mean = [mpmath.fsum(x[:, j]) / x.rows for j in range(x.cols)]
            scale = mpmath.sqrt(x.rows - 1)
            centred.append(mpmath.matrix([[(x[i, j] - mean[j]) / scale for j in range(x.cols)] for i in range(x.rows)]))
            means.append(mean)
        product = centred[0] * centred[1].T
        gram = product * product.T if product.rows <= product.cols else product.T * product
        roots = [mpmath.sqrt(abs(value)) for value in mpmath.eigsy(gram, eigvals_only=True)]
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(*means, strict=True))
        traces = mpmath.fsum(mpmath.fsum(value**2 for value in x) for x in centred)
        return float(shift + traces - 2 * mpmath.fsum(roots))


def distance(fakes, reals):
    return frechet_distance(Normal.of(fakes), Normal.of(reals))


def exact_gaussian(name, mean, covariance):
    """Return samples whose mean and covariance are exactly these, to rounding."""
    draws = features(name, 500, len(mean)).double()
    draws = draws - draws.mean(dim=0)
    whitened = draws @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(draws.T))).T
    return whitened @ torch.linalg.cholesky(covariance).T + mean


def test_distance_of_two_gaussians_equals_the_closed_form():
    basis = torch.linalg.qr(features("basis", 6, 6).double()).Q
    one, other = torch.tensor([1.0, 2, 3, 4, 5, 6]).double(), torch.tensor([6.0, 1, 1, 0.5, 2, 3]).double()
    shift = torch.tensor([1.0, 0, 2, 0, 0, 0]).double()
    a = exact_gaussian("a", torch.zeros(6).double(), basis @ torch.diag(one) @ basis.T)
    b = exact_gaussian("b", shift, basis @ torch.diag(other) @ basis.T)
    expected = 5 + (one.sqrt() - other.sqrt()).square().sum().item()
    assert distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert reference(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("fakes", "reals", "width"), [(200, 150, 32), (40, 30, 64), (40, 150, 64)])
def test_distance_equals_torch_fidelitys_with_more_and_with_fewer_images_than_features(fakes, reals, width):
    one, other = features("one", fakes, width), features("other", reals, width, shift=0.3)
    assert distance(one, other) == pytest.approx(reference(one, other), rel=1e-5)


@pytest.mark.parametrize(("fakes", "reals"), [(300, 200), (70, 65)])
def test_distance_equals_torch_fidelitys_and_scipys_to_twelve_digits_with_more_images_than_features(fakes, reals):
    one, other = features("one", fakes, 64).double(), features("other", reals, 64, shift=0.3).double()
    found = distance(one, other)
    assert found == pytest.approx(reference(one, other), rel=1e-12)
    assert found == pytest.approx(textbook(one, other), rel=1e-12)


@pytest.mark.parametrize(("fakes", "reals"), [(20, 15), (20, 40), (40, 20)])
def test_distance_with_fewer_images_than_features_equals_what_forty_digits_give(fakes, reals):
    """torch-fidelity and sqrtm lose half their digits here, where products of covariances have no full rank."""
    one, other = features("one", fakes, 24).double(), features("other", reals, 24, shift=0.3).double()
    assert distance(one, other) == pytest.approx(by_many_digits(one, other), rel=1e-12)


def test_distance_of_many_features_equals_torch_fidelitys():
    one, other = features("one", 420, 400).double(), features("other", 450, 400, shift=0.1).double()
    assert distance(one, other) == pytest.approx(reference(one, other), rel=1e-12)


def test_distance_where_features_never_vary_or_repeat_each_other_equals_what_forty_digits_give():
    """Such covariances have no full rank: roots of what should be 0 cost half the digits, and Cholesky may fail."""
    one, other = features("one", 40, 8).double(), features("other", 36, 8, shift=0.3).double()
    for spoilt in (one, other):
        spoilt[:, 5] = 0
        spoilt[:, 6] = spoilt[:, 7]
    assert distance(one, other) == pytest.approx(by_many_digits(one, other), rel=1e-6)


def test_moments_that_are_added_and_taken_away_equal_those_of_the_rest():
    x = features("x", 90, 16, shift=3.0)
    total = Moments.of(x[:30]) + Moments.of(x[30:80]) + Moments.of(x[80:])
    rest = total - Moments.of(x[:30])
    exact = x[30:].double()
    assert rest.count == 60
    torch.testing.assert_close(rest.mean, exact.mean(dim=0), rtol=1e-13, atol=0)
    torch.testing.assert_close(rest.covariance, torch.cov(exact.T), rtol=0, atol=1e-13)
    torch.testing.assert_close(Normal.of(x[30:], rest).root.square().sum(), torch.cov(exact.T).trace())


def test_leaving_a_group_out_by_moments_equals_scoring_the_others():
    one, other = features("one", 60, 8), features("other", 50, 8, shift=0.2)
    groups = random_groups(60, 5, 0, "a"), random_groups(50, 5, 0, "b")
    found = frechet(one, other, *groups)
    for value, left, right in zip(found, *groups, strict=True):
        rest = [np.setdiff1d(np.arange(len(x)), g) for x, g in ((one, left), (other, right))]
        assert value == pytest.approx(distance(one[rest[0]].double(), other[rest[1]].double()), rel=1e-12)


def test_leaving_nobody_out_gives_torch_fidelitys_scores():
    one, other = features("one", 90, 16), features("other", 90, 16, shift=0.2)
    kernel = kid_features_to_metric(one, other, kid_subsets=2, kid_subset_size=90, verbose=False)
    assert kernel_distances(one, other, halves(90), halves(90))[NOBODY] == pytest.approx(
        kernel["kernel_inception_distance_mean"], rel=1e-4
    )
    manifold = prc_features_to_metric(one, other, prc_neighborhood=3, verbose=False)
    precision, recall = precision_recall(one, other, halves(90), halves(90), 3)
    assert (precision[NOBODY], recall[NOBODY]) == pytest.approx((manifold["precision"], manifold["recall"]), rel=1e-6)
    logits = 3 * one
    order = np.arange(90)
    score = isc_features_to_metric(logits, splits=4, shuffle=False)["inception_score_mean"]
    assert inception_score(logits, halves(90), 4, order)[NOBODY] == pytest.approx(score, rel=1e-12)


def test_leaving_a_group_out_equals_scoring_the_others():
    one, other = features("one", 60, 8), features("other", 50, 8, shift=0.2)
    groups = random_groups(60, 5, 0, "a"), random_groups(50, 5, 0, "b")
    kept = np.setdiff1d(np.arange(60), groups[0][2]), np.setdiff1d(np.arange(50), groups[1][2])
    left, right = one[kept[0]], other[kept[1]]
    whole = halves(len(left)), halves(len(right))
    assert frechet(one, other, *groups)[2] == pytest.approx(distance(left, right), rel=1e-9)
    assert kernel_distances(one, other, *groups)[2] == pytest.approx(
        kernel_distances(left, right, *whole)[NOBODY], rel=1e-4
    )
    assert precision_recall(one, other, *groups, 3)[0][2] == precision_recall(left, right, *whole, 3)[0][NOBODY]
