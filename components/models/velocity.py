"""A U-Net that says where each pixel of a noisy image should move: the velocity of a flow from noise to images.

After the layout of Ho et al. 2020, appendix B, https://arxiv.org/abs/2006.11239, without attention; each block is told
the time and the class.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import Labels, require_labels
from components.models.dcgan import pyramid
from components.models.doubling import nearest
from components.models.initial import LINEAR_GAIN, SILU_GAIN, initialise
from components.models.network import NetworkSection, doublings
from components.models.residual import normal_activation, residual_blocks

_TIME_SCALE = 1000.0
_LONGEST_PERIOD = 10_000.0


class VelocityUnetConfig(NetworkSection):
    """Residual blocks at every size from the image's to 4 px and back, with what was seen on the way down."""

    kind: Literal["unet"] = "unet"
    width: int = Field(default=32, ge=8, le=1024, multiple_of=8)
    """Channels at full size; doubled at each smaller size, to at most 8 times."""
    blocks: int = Field(default=1, ge=1, le=16)
    """Residual blocks at each size on the way down, and again on the way up."""

    def build(self, size: int, classes: int = 0) -> "VelocityUnet":
        """Return the network for images of `size` px and of `classes` classes, if any.

        Weights are drawn from torch's global stream.

        Raises:
            ValueError: See `check`.
        """
        self.check(size)
        return VelocityUnet(self, size, classes)


class VelocityUnet(Module):
    """Noisy images and their times to velocities, which are zero before training."""

    def __init__(self, config: VelocityUnetConfig, size: int, classes: int) -> None:
        super().__init__()
        self.size = size
        self.classes = classes
        widths = pyramid(config.width, doublings(size) + 1)
        features = 4 * config.width
        self.frequencies = config.width // 2
        self.time = nn.Sequential(nn.Linear(2 * self.frequencies, features), nn.SiLU(), nn.Linear(features, features))
        self.label = nn.Embedding(classes + 1, features) if classes else None
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(
            _Stage(fine, coarse, config.blocks, features) for fine, coarse in pairwise([widths[0], *widths])
        )
        self.ups = nn.ModuleList(
            _Stage(coarse + fine, fine, config.blocks, features) for coarse, fine in pairwise(widths[::-1])
        )
        self.leave = nn.Sequential(*normal_activation(widths[0]))
        self.last = nn.Conv2d(widths[0], 3, 3, padding=1)
        initialise(self.time, SILU_GAIN)
        initialise(self.enter, LINEAR_GAIN)
        initialise(self.last, 0.0)

    @property
    def no_class(self) -> int:
        """The label of an image of no class in particular."""
        return self.classes

    def forward(
        self,
        image: Float[Tensor, "batch 3 size size"],
        time: Float[Tensor, " batch"],
        labels: Labels | None = None,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return the velocity of each pixel.

        Args:
            image: On its way from noise at time 0 to an image in [-1, 1] at time 1.
            time: In [0, 1].
            labels: Numbers of classes, or `no_class`; None where the network knows no classes.
        """
        condition = self.time(time_features(time, self.frequencies))
        if self.label is not None:
            condition = condition + self.label(require_labels(labels))
        condition = F.silu(condition)
        x = self.enter(image)
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(F.avg_pool2d(x, 2) if skips else x, condition)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = up(torch.cat([nearest(x), skips.pop()], dim=1), condition)
        velocity: Tensor = self.last(self.leave(x))
        return velocity


class _Stage(Module):
    """The blocks of one size."""

    def __init__(self, given: int, made: int, count: int, features: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(residual_blocks(given, made, count, features))

    def forward(
        self, x: Float[Tensor, "batch given height width"], condition: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch made height width"]:
        for block in self.blocks:
            x = block(x, condition)
        return x


def time_features(time: Float[Tensor, " batch"], frequencies: int) -> Float[Tensor, "batch 2*{frequencies}"]:
    """Return cosines and sines of 1000 · time at periods from 2 pi to 20,000 pi, in geometric steps.

    Vaswani et al. 2017, section 3.5, https://arxiv.org/abs/1706.03762, with time in thousandths as in Ho et al. 2020.
    """
    place = torch.arange(frequencies, dtype=torch.float32, device=time.device)
    rates = torch.exp(-math.log(_LONGEST_PERIOD) / frequencies * place)
    angles = _TIME_SCALE * time.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)
