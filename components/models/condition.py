"""Class conditions: how a network is told the class of an image. Built for 0 classes, each part adds nothing at all."""

from __future__ import annotations

import math

from jaxtyping import Float, Int64

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.norm import BatchNorm2d

Labels = Int64[Tensor, " batch"]

_LARGEST_CODE = 64


class ClassCode(Module):
    """Puts a learnt code of each image's class beside its noise.

    Mirza and Osindero 2014, section 3.2, https://arxiv.org/abs/1411.1784.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = min(classes, _LARGEST_CODE)
        """Numbers put beside the noise."""
        self.embedding = nn.Embedding(classes, self.features) if classes else None

    def forward(self, latent: Float[Tensor, "batch latent"], labels: Labels | None) -> Float[Tensor, "batch wider"]:
        """Return noise and code side by side."""
        return latent if self.embedding is None else torch.cat([latent, self.embedding(require_labels(labels))], 1)


class Projection(Module):
    """What an image's logit gains by its class: Miyato and Koyama 2018, equation 4, https://arxiv.org/abs/1802.05637."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, features) if classes else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(features))

    def forward(
        self, logits: Float[Tensor, " batch"], features: Float[Tensor, "batch features"], labels: Labels | None
    ) -> Float[Tensor, " batch"]:
        """Return `logits` plus the inner product of each image's features with what is learnt of its class."""
        if self.embedding is None:
            return logits
        directions: Tensor = self.embedding(require_labels(labels))
        return logits + (directions * features).sum(1)


class ClassNorm2d(Module):
    """Batch normalisation whose scale and shift depend on the class too, which starts as plain batch normalisation.

    Dumoulin et al. 2017, section 2.2, https://arxiv.org/abs/1610.07629: here what a class adds to a common scale and
    shift is learnt.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels)
        self.embedding = nn.Embedding(classes, 2 * channels) if classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], labels: Labels | None
    ) -> Float[Tensor, "batch channels height width"]:
        """Return `x` normalised, then scaled and shifted."""
        normal: Tensor = self.norm(x)
        if self.embedding is None:
            return normal
        learnt: Tensor = self.embedding(require_labels(labels))
        scale, shift = learnt.to(normal.dtype)[:, :, None, None].chunk(2, dim=1)
        return normal * (1 + scale) + shift


def require_labels(labels: Labels | None) -> Labels:
    """Return the classes.

    Raises:
        ValueError: There are none, but the network is conditional.
    """
    if labels is None:
        raise ValueError("found images without classes, expected the class of each: the network is conditional")
    return labels
