"""Scores of feature sets with one group of images left out at a time: what the jackknife intervals are made of.

These are the same definitions, arranged so that twenty repetitions
cost little. Groups part the images: each is in exactly one. Each function returns one value per group.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from components.evaluation.gaussian import Features, Moments, Normal, frechet_distance
from components.evaluation.kernel import Similarity, cubic_kernel, discrepancy

Fakes = Float[Tensor, "fakes features"]
Reals = Float[Tensor, "reals features"]
Groups = Sequence[Int64[np.ndarray, " _"]]
PerGroup = Float64[np.ndarray, " groups"]


def frechet(fakes: Fakes, reals: Reals, fake_groups: Groups, real_groups: Groups) -> PerGroup:
    """Return Fréchet distances of normal distributions fitted to what is left of both sets."""
    pairs = zip(_normals_left(fakes, fake_groups), _normals_left(reals, real_groups), strict=True)
    return np.array([frechet_distance(one, other) for one, other in pairs])


def inception_score(
    logits: Float[Tensor, "images classes"], groups: Groups, splits: int, order: Int64[np.ndarray, " images"]
) -> PerGroup:
    """Return exp(mean KL(p(y|x), p(y))) averaged over `splits` runs of the images in `order`.

    Salimans et al. 2016, https://arxiv.org/abs/1606.03498.
    """
    shuffled = logits[torch.from_numpy(order)].double()
    log_p = shuffled.log_softmax(dim=1)
    return np.array([_inception_score(log_p[left], splits) for left in _left(len(logits), groups)])


def kernel_distances(fakes: Fakes, reals: Reals, fake_groups: Groups, real_groups: Groups) -> PerGroup:
    """Return the kernel distances, as `components.evaluation.kernel` defines them, of what is left of both sets.

    Over all images left at once, where torch-fidelity averages over random subsets: the same expectation, no noise of
    the draw.
    """
    one, one_diagonal = _kernel_sums(fakes, fakes, fake_groups, fake_groups)
    other, other_diagonal = _kernel_sums(reals, reals, real_groups, real_groups)
    cross, _ = _kernel_sums(fakes, reals, fake_groups, real_groups)
    values = []
    for group, (fake, real) in enumerate(zip(fake_groups, real_groups, strict=True)):
        made = Similarity(_without(one, group), _without_diagonal(one_diagonal, group), len(fakes) - len(fake))
        held = Similarity(_without(other, group), _without_diagonal(other_diagonal, group), len(reals) - len(real))
        values.append(discrepancy(made, held, _without(cross, group)))
    return np.array(values)


def precision_recall(
    fakes: Fakes, reals: Reals, fake_groups: Groups, real_groups: Groups, neighbours: int
) -> tuple[PerGroup, PerGroup]:
    """Return the fractions of fakes in the reals' manifold and of reals in the fakes' manifold.

    A manifold is the union of balls that reach to each image's `neighbours`-th nearest neighbour, Kynkäänniemi et al.
    2019, https://arxiv.org/abs/1904.06991. Distances are computed once.
    """
    among_fakes, among_reals = torch.cdist(fakes, fakes), torch.cdist(reals, reals)
    across = torch.cdist(fakes, reals)
    values = []
    for one, other in zip(_left(len(fakes), fake_groups), _left(len(reals), real_groups), strict=True):
        fake_radius = among_fakes[one][:, one].kthvalue(neighbours + 1).values
        real_radius = among_reals[other][:, other].kthvalue(neighbours + 1).values
        between = across[one][:, other]
        precise = (between <= real_radius).any(dim=1).double().mean().item()
        recalled = (between <= fake_radius[:, None]).any(dim=0).double().mean().item()
        values.append((precise, recalled))
    precision, recall = np.array(values).T
    return precision, recall


def _left(samples: int, groups: Groups) -> list[Bool[Tensor, " images"]]:
    masks = []
    for group in groups:
        mask = torch.ones(samples, dtype=torch.bool)
        mask[torch.from_numpy(group)] = False
        masks.append(mask)
    return masks


def _normals_left(features: Features, groups: Groups) -> Iterator[Normal]:
    """Yield the normal distribution of what is left by each group; all moments less the group's, where they serve."""
    everyone = Moments.of(features) if len(features) > features.shape[1] else None
    for group, left in zip(groups, _left(len(features), groups), strict=True):
        known = None if everyone is None else everyone - Moments.of(features[torch.from_numpy(group)])
        yield Normal.of(features[left], known)


def _inception_score(log_p: Float[Tensor, "images classes"], splits: int) -> float:
    scores = []
    for part in range(splits):
        chunk = log_p[part * len(log_p) // splits : (part + 1) * len(log_p) // splits]
        p = chunk.exp()
        scores.append((p * (chunk - p.mean(dim=0).log())).sum(dim=1).mean().exp().item())
    return float(np.mean(scores))


def _kernel_sums(
    one: Float[Tensor, "one features"],
    other: Float[Tensor, "other features"],
    one_groups: Groups,
    other_groups: Groups,
) -> tuple[Float64[np.ndarray, "groups others"], PerGroup]:
    """Return the kernel summed over each pair of groups, and over each group's pairs of an image with itself."""
    sums = np.zeros((len(one_groups), len(other_groups)))
    diagonal = np.zeros(len(one_groups))
    for row, group in enumerate(one_groups):
        part = one[torch.from_numpy(group)]
        kernel = cubic_kernel(part @ other.T, one.shape[1]).double().sum(dim=0)
        sums[row] = [kernel[torch.from_numpy(column)].sum().item() for column in other_groups]
        diagonal[row] = cubic_kernel(part.square().sum(dim=1), one.shape[1]).double().sum().item()
    return sums, diagonal


def _without(sums: Float64[np.ndarray, "groups others"], group: int) -> float:
    return float(np.delete(np.delete(sums, group, axis=0), group, axis=1).sum())


def _without_diagonal(sums: PerGroup, group: int) -> float:
    return float(np.delete(sums, group).sum())
