"""Fills: the first guesses that a network can start from, as sections to choose one from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Tensor
from components.models.fill import Fill, pyramid_fill
from components.models.gaussian import GaussianFill
from components.models.stationary import Spectral, conditional_mean, laplacian
from components.section import Section


class GuessSection(Section, ABC):
    """Configures the first guess of missing pixels."""

    kind: str

    needs_statistics: ClassVar[bool] = False
    """Whether it is told how the training images' pixels go together."""

    @abstractmethod
    def build(self, size: int) -> Fill:
        """Return the fill, for networks that train on images of `size` px."""


class PyramidFillConfig(GuessSection):
    """Means of ever smaller copies, interpolated: the fastest by far."""

    kind: Literal["pyramid"] = "pyramid"

    def build(self, size: int) -> Fill:  # noqa: ARG002 - any size is filled alike
        """Return the fill."""
        return PyramidFill()


class HarmonicFillConfig(GuessSection):
    """Laplace's equation: each missing pixel is the mean of its neighbours."""

    kind: Literal["harmonic"] = "harmonic"

    def build(self, size: int) -> Fill:  # noqa: ARG002 - any size is filled alike
        """Return the fill."""
        return LaplacianFill(order=1, sweeps=15)


class BiharmonicFillConfig(GuessSection):
    """The bi-Laplace equation (Damelin and Hoang 2018, https://doi.org/10.1155/2018/3950312): slopes go on in holes."""

    kind: Literal["biharmonic"] = "biharmonic"

    def build(self, size: int) -> Fill:  # noqa: ARG002 - any size is filled alike
        """Return the fill."""
        return LaplacianFill(order=2, sweeps=60)


class GaussianFillConfig(GuessSection):
    """The mean of missing pixels given the known ones, where pixels go together as in the training images.

    Their mean and covariance are an artifact of the data version, and part of the model. At least as many training
    images as each has pixels are needed, up to 1,024.
    """

    kind: Literal["gaussian"] = "gaussian"
    needs_statistics: ClassVar[bool] = True

    def build(self, size: int) -> Fill:
        """Return the fill, which has yet to be told the statistics."""
        return GaussianFill(size)


FillConfig = Annotated[
    PyramidFillConfig | HarmonicFillConfig | BiharmonicFillConfig | GaussianFillConfig, Field(discriminator="kind")
]


class PyramidFill(Fill):
    """Fills by `pyramid_fill`."""

    def _filled(
        self, image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        return pyramid_fill(image, missing)


class LaplacianFill(Fill):
    """Solves the Laplacian's equation, or that of its square, in the hole, without flow through the image's edge."""

    def __init__(self, order: int, sweeps: int) -> None:
        """Choose the equation.

        Args:
            order: 1 for the Laplacian, 2 for its square.
            sweeps: Conjugate gradients, which begin at a pyramid fill.
        """
        super().__init__()
        self.order = order
        self.sweeps = sweeps

    def _filled(
        self, image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        values = laplacian(image.shape[-2], image.shape[-1], image) ** self.order
        least = values.flatten()[1:].min()  # the first is that of the mean, which is free: its inverse is infinite
        covariance = Spectral(1 / values.clamp_min(least))
        return conditional_mean(pyramid_fill(image, missing), missing, Spectral(values), covariance, self.sweeps)
