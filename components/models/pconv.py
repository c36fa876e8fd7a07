"""A U-Net of partial convolutions: each layer averages over known inputs only, and the hole shrinks on the way."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.doubling import nearest
from components.models.fill import add_and_clamp, pyramid_fill
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, initialise
from components.models.network import Inpainter, InpainterSection
from components.models.norm import BatchNorm2d

_MOST_DOUBLINGS = 3
_FIRST_KERNELS = (7, 5, 5)

_Known = tuple[Float[Tensor, "batch _channels height width"], Float[Tensor, "batch 1 height width"]]
"""Features, and 1 where they are known, else 0."""
_OutKnown = tuple[
    Float[Tensor, "batch out_channels out_height out_width"], Float[Tensor, "batch 1 out_height out_width"]
]


class PconvConfig(InpainterSection):
    """Partial convolutions of Liu et al. 2018, https://arxiv.org/abs/1804.07723.

    The paper's network is width 64, halvings 8, for 512 px. It differs here in one thing: its output is added to a
    pyramid fill, as that of the other inpainters is. The paper's second phase, which freezes the encoder's batch
    normalisation, is left out. Batch statistics are those of the batch joined over all processes.
    """

    kind: Literal["pconv"] = "pconv"
    width: int = Field(default=24, ge=4, le=128)
    """Channels at half size; doubled at each further halving, to at most 8 times."""
    halvings: int = Field(default=3, ge=1, le=8)
    """How often the side is halved; a hole wider than about 2^halvings px is not closed by its known rim."""

    @property
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return 1 << self.halvings

    def _build(self, size: int) -> "PconvInpainter":  # noqa: ARG002 - it is the same for all
        return PconvInpainter(self)


class PconvInpainter(Inpainter):
    """Sees known pixels alone, and adds to a pyramid fill of the missing ones."""

    def __init__(self, config: PconvConfig) -> None:
        super().__init__()
        self.stride = config.stride
        widths = [3, *(config.width * 2 ** min(stage, _MOST_DOUBLINGS) for stage in range(config.halvings))]
        kernels = [*_FIRST_KERNELS, *[3] * config.halvings][: config.halvings]
        self.downs = nn.ModuleList(
            _Stage(fine, coarse, kernel, stride=2, normalised=stage > 0, slope=0.0)
            for stage, ((fine, coarse), kernel) in enumerate(zip(pairwise(widths), kernels, strict=True))
        )
        self.ups = nn.ModuleList(
            _Stage(coarse + fine, fine, 3, stride=1, normalised=True, slope=LEAKY_SLOPE)
            for coarse, fine in pairwise(widths[:0:-1])
        )
        self.last = PartialConv2d(widths[1] + 3, 3, 3, stride=1)
        initialise(self, LEAKY_GAIN)
        nn.init.zeros_(self.last.convolution.weight)

    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""
        x, known = corrupted, 1 - missing
        skips: list[_Known] = []
        for down in self.downs:
            skips.append((x, known))
            x, known = down((x, known))
        for up in self.ups:
            x, known = up((nearest(x), nearest(known)), skips.pop())
        correction, _ = self.last((nearest(x), nearest(known)), skips.pop())
        return add_and_clamp(pyramid_fill(corrupted, missing), correction, training=self.training)


class PartialConv2d(Module):
    """A convolution over known inputs alone, scaled up by how few of each window are known: equations 1 and 2.

    W · (x ⊙ known) · (size of the window / number of known in it) + b where any input is known, else 0 and still
    missing. Beyond the image's edge nothing is known. Inputs are pairs of features and the one-channel mask of where
    they are known; several pairs are joined along channels, each with its own mask.
    """

    def __init__(self, channels: int, out_channels: int, kernel: int, *, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, *inputs: _Known) -> _OutKnown:
        """Return features, and 1 where at least one input of the window was known, else 0."""
        share = self._known_share(inputs)  # batch 1 out_height out_width
        reached = (share > 0).to(share.dtype)
        x = self.convolution(torch.cat([features * known for features, known in inputs], dim=1))
        x = x * (reached / share.clamp_min(1e-6)).to(x.dtype)
        if self.bias is not None:
            x = x + self.bias.view(1, -1, 1, 1) * reached
        return x, reached

    def _known_share(self, inputs: tuple[_Known, ...]) -> Float[Tensor, "batch 1 out_height out_width"]:
        """Return which share of each window's inputs is known; a mean over pixels, for all channels share a mask."""
        channels = sum(features.shape[1] for features, _ in inputs)
        shares = [known * (features.shape[1] / channels) for features, known in inputs]
        return F.avg_pool2d(torch.stack(shares).sum(dim=0), self.kernel, self.stride, self.kernel // 2)


class _Stage(Module):
    def __init__(
        self, channels: int, out_channels: int, kernel: int, *, stride: int, normalised: bool, slope: float
    ) -> None:
        super().__init__()
        self.partial = PartialConv2d(channels, out_channels, kernel, stride=stride, bias=not normalised)
        self.norm = BatchNorm2d(out_channels) if normalised else nn.Identity()
        self.slope = slope

    def forward(self, *inputs: _Known) -> _OutKnown:
        x, known = self.partial(*inputs)
        return F.leaky_relu(self.norm(x), self.slope), known
