"""Vae: what every variational autoencoder is, and the plain convolutional one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.dcgan import pyramid
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, initialise
from components.models.network import NetworkSection, doublings
from components.models.norm import BatchNorm2d

LOG_VARIANCE_RANGE = (-30.0, 20.0)  # exp stays finite and above zero in float32 and bfloat16


class Vae(Module, ABC):
    """Encoder to a diagonal Gaussian over the code, and decoder from a code to what is said of each pixel.

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114. A code is a flat row of numbers, standard normal before an
    image is seen, to all who use it, however the network arranges them inside, so prior, mixture, loss and export are
    the same for every network.
    """

    latent: int
    """Numbers in a code."""

    @abstractmethod
    def encode(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"] | None = None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return the mean and the natural logarithm of the variance of each latent number.

        Args:
            image: In [-1, 1].
            noise: Standard normal, by which numbers are drawn that others depend on; None puts them at their means.
        """

    @abstractmethod
    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch numbers size size"]:
        """Return what is said of each pixel of the image of each code, for a likelihood to read."""

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"]
    ) -> tuple[Float[Tensor, "batch numbers size size"], Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return what is decoded from a draw, mean and log-variance; `noise` is standard normal."""
        mean, log_variance = self.encode(image, noise)
        return self.decode(reparameterise(mean, log_variance, noise)), mean, log_variance


class SingleLevelVae(Vae):
    """A VAE all of whose latent numbers are drawn at once."""

    def __init__(
        self,
        latent: int,
        *,
        encoder: nn.Module,
        posterior: nn.Module,
        expand: nn.Module,
        decoder: nn.Module,
        last: nn.Module,
    ) -> None:
        """Join the parts in the order in which they act.

        Args:
            latent: Numbers in a code.
            encoder: Image in [-1, 1] to features.
            posterior: Features to the means, then the log-variances, of the code.
            expand: Code to features.
            decoder: Features to features of the full size.
            last: Those to what is said of each pixel.
        """
        super().__init__()
        self.latent = latent
        self.encoder = encoder
        self.posterior = posterior
        self.expand = expand
        self.decoder = decoder
        self.last = last

    def encode(
        self,
        image: Float[Tensor, "batch 3 size size"],
        noise: Float[Tensor, "batch latent"] | None = None,  # noqa: ARG002 - no number depends on another's draw
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return the mean and the natural logarithm of the variance of each latent number, given images in [-1, 1]."""
        mean, log_variance = self.posterior(self.encoder(image)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch numbers size size"]:
        """Return what is said of each pixel of the image of each code."""
        said: Tensor = self.last(self.decoder(self.expand(latent)))
        return said


def reparameterise(
    mean: Float[Tensor, "batch *code"],
    log_variance: Float[Tensor, "batch *code"],
    noise: Float[Tensor, "batch *code"],
) -> Float[Tensor, "batch *code"]:
    """Return a draw from the posterior through which gradients pass, equation 10 of Kingma and Welling 2014.

    Args:
        mean: Of the posterior.
        log_variance: Natural logarithm of its variance.
        noise: Standard normal.
    """
    return mean + torch.exp(0.5 * log_variance) * noise


class VaeSection(NetworkSection):
    """Configures encoder and decoder of a VAE."""

    @property
    @abstractmethod
    def code_size(self) -> int:
        """Numbers that describe one image."""

    def build(self, size: int, numbers: int = 3) -> Vae:
        """Return the network for images of `size` px, with weights drawn from torch's global stream.

        Args:
            size: Side of the images.
            numbers: What the decoder says of each pixel; three are a colour, before tanh.

        Raises:
            ValueError: See `check`.
        """
        self.check(size)
        return self._build(size, numbers)

    @abstractmethod
    def _build(self, size: int, numbers: int) -> Vae: ...


class ConvVaeConfig(VaeSection):
    """Halves the side by strided convolutions to 4 x 4, and doubles it back by transposed ones."""

    kind: Literal["conv"] = "conv"
    latent: int = Field(default=128, ge=1, le=4096)
    """Numbers that describe one image."""
    width: int = Field(default=32, ge=4, le=1024)
    """Channels next to the image; doubled at each smaller size, to at most 8 times."""

    @property
    def code_size(self) -> int:
        """Numbers that describe one image."""
        return self.latent

    def _build(self, size: int, numbers: int) -> Vae:
        widths = pyramid(self.width, doublings(size))
        coarsest = widths[-1]
        encoder: list[nn.Module] = []
        for fine, coarse in pairwise([3, *widths]):
            encoder += [nn.Conv2d(fine, coarse, 4, stride=2, padding=1, bias=False), *_finish(coarse)]
        posterior = nn.Linear(coarsest * 16, 2 * self.latent)
        expand = nn.Sequential(
            nn.Linear(self.latent, coarsest * 16, bias=False), nn.Unflatten(1, (coarsest, 4, 4)), *_finish(coarsest)
        )
        decoder: list[nn.Module] = []
        for coarse, fine in pairwise([*widths[::-1], widths[0]]):
            decoder += [nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1, bias=False), *_finish(fine)]
        network = SingleLevelVae(
            self.latent,
            encoder=nn.Sequential(*encoder, nn.Flatten()),
            posterior=posterior,
            expand=expand,
            decoder=nn.Sequential(*decoder),
            last=nn.Conv2d(widths[0], numbers, 3, padding=1),
        )
        initialise(network, LEAKY_GAIN)
        initialise(network.posterior, LINEAR_GAIN)
        initialise(network.last, LINEAR_GAIN)
        return network


def _finish(channels: int) -> list[nn.Module]:
    return [BatchNorm2d(channels), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)]
