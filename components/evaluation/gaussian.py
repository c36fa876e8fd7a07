"""Normal distributions fitted to features, and the Fréchet distance between two of them, all in float64."""

from functools import cached_property
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from components import distributed

Features = Float[Tensor, "images features"]


class Moments:
    """Count, sum and sum of outer products of features: they add over batches, processes and groups of images.

    All three lie in one table, the sum of [1 x]ᵀ[1 x] over images x, so that processes add theirs in one collective.
    Nothing is centred while adding; in float64 that loses about 1e-15 of the features' mean square.
    """

    def __init__(self, table: Float[Tensor, "1+features 1+features"]) -> None:
        self.table = table

    @classmethod
    def of(cls, features: Features) -> Self:
        """Return the moments of these images."""
        rows = torch.cat([features.new_ones(len(features), 1), features], dim=1).double()
        return cls(rows.T @ rows)

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of images together."""
        return Moments(self.table + other.table)

    def __sub__(self, other: "Moments") -> "Moments":
        """Return the moments of this set without the images of `other`, which are in it."""
        return Moments(self.table - other.table)

    def over_processes(self) -> "Moments":
        """Return the moments of all processes' images together; every process must ask."""
        return Moments(distributed.all_reduce_sum(self.table).cpu())

    @property
    def count(self) -> int:
        """Return the number of images."""
        return round(self.table[0, 0].item())

    @property
    def mean(self) -> Float[Tensor, " features"]:
        """Return the mean of the features."""
        return self.table[0, 1:] / self.table[0, 0]

    @property
    def covariance(self) -> Float[Tensor, "features features"]:
        """Return the sample covariance of the features, divided by the count less one."""
        outer = self.table[1:, 1:] - self.table[0, 0] * torch.outer(self.mean, self.mean)
        return outer / (self.table[0, 0] - 1)


class Normal:
    """A mean, and a covariance or, with few images, only a smaller factor F of it: FᵀF = the covariance."""

    def __init__(
        self,
        mean: Float[Tensor, " features"],
        *,
        covariance: Float[Tensor, "features features"] | None = None,
        root: Float[Tensor, "rows features"] | None = None,
    ) -> None:
        if covariance is None and root is None:
            raise ValueError("a normal distribution needs a covariance or a factor of it")
        self.mean = mean
        self.covariance = covariance
        self._root = root

    @classmethod
    def of(cls, features: Features, moments: Moments | None = None) -> Self:
        """Return the normal distribution with the features' mean and sample covariance.

        Args:
            features: Of all images; with no more images than features they serve as the factor themselves.
            moments: Theirs, where they are known already.
        """
        if len(features) > features.shape[1]:
            known = moments or Moments.of(features)
            return cls(known.mean, covariance=known.covariance)
        exact = features.double()
        mean = exact.mean(dim=0)
        return cls(mean, root=(exact - mean) / max(1, len(features) - 1) ** 0.5)

    @cached_property
    def root(self) -> Float[Tensor, "rows features"]:
        """A factor F with FᵀF = the covariance; decomposes a covariance the first time."""
        if self._root is not None:
            return self._root
        lower, failed_at = torch.linalg.cholesky_ex(self.covariance)
        if not failed_at:  # it takes a tenth of the time, but needs every variance to be above 0
            return torch.adjoint(lower)
        values, vectors = torch.linalg.eigh(self.covariance)
        factor: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return factor

    @property
    def trace(self) -> Float[Tensor, ""]:
        """Return the sum of the variances."""
        return self.root.square().sum() if self.covariance is None else self.covariance.trace()


def frechet_distance(one: Normal, other: Normal) -> float:
    """Return |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½), Heusel et al. 2017, https://arxiv.org/abs/1706.08500.

    With factors S = FᵀF the eigenvalues of S1 S2 are those of the symmetric F2 S1 F2ᵀ, and their roots the singular
    values of F1 F2ᵀ. So no general matrix needs decomposing, and with fewer images than features only one as large as
    the image counts. `other` is decomposed once however often it is compared with: put the reference there.
    """
    if one.covariance is None or other.covariance is None:
        shared = torch.linalg.svdvals(one.root @ other.root.T).sum()
    else:
        product = other.root @ one.covariance @ other.root.T
        shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    shift = (one.mean - other.mean).square().sum()
    return float(shift + one.trace + other.trace - 2 * shared)
