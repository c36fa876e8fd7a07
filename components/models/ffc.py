"""LaMa's inpainter: residual blocks of fast Fourier convolutions, whose every layer sees the whole image."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.fill import add_and_clamp, pyramid_fill
from components.models.initial import initialise
from components.models.network import Inpainter, InpainterSection
from components.models.norm import BatchNorm2d

_GLOBAL_SHARE = 0.75


class FfcConfig(InpainterSection):
    """LaMa-Fourier (Suvorov et al. 2022, https://arxiv.org/abs/2109.07161): for large holes and repeated patterns.

    The paper's network is width 64, halvings 3, blocks 9 (27 M parameters; 18 blocks are Big-LaMa). It differs here in
    three things: it corrects a pyramid fill, as the other inpainters do; it pads with zeros, not reflections, so that
    any size works and gradients are deterministic on GPUs; it limits its output instead of squashing it.
    Batch statistics are those of the batch joined over all processes; its authors advise against batches under 20.
    """

    kind: Literal["ffc"] = "ffc"
    width: int = Field(default=24, ge=4, le=128)
    """Channels at full size; doubled at each halving."""
    halvings: int = Field(default=2, ge=1, le=4)
    """How often the side is halved before the residual blocks; 3 suits 128 px and more."""
    blocks: int = Field(default=4, ge=1, le=32)
    """Residual blocks at the smallest size, of two Fourier convolutions each."""

    @property
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return 1 << self.halvings

    def _build(self, size: int) -> "FfcInpainter":  # noqa: ARG002 - it is the same for all
        return FfcInpainter(self)


class FfcInpainter(Inpainter):
    """Corrects a pyramid fill of the missing pixels."""

    def __init__(self, config: FfcConfig) -> None:
        super().__init__()
        self.stride = config.stride
        widths = [config.width * 2**stage for stage in range(config.halvings + 1)]
        self.enter = _with_norm(nn.Conv2d(4, widths[0], 7, padding=3, bias=False))
        self.downs = nn.Sequential(
            *(
                _with_norm(nn.Conv2d(fine, 2 * fine, 3, stride=2, padding=1, bias=False))
                for fine in widths[: config.halvings - 1]
            )
        )
        self.divide = FourierConv2d(widths[-2], widths[-1], share_in=0.0, stride=2)
        self.blocks = nn.ModuleList(_Block(widths[-1]) for _ in range(config.blocks))
        self.ups = nn.Sequential(
            *(
                _with_norm(nn.ConvTranspose2d(2 * fine, fine, 3, stride=2, padding=1, output_padding=1, bias=False))
                for fine in widths[-2::-1]
            )
        )
        self.last = nn.Conv2d(widths[0], 3, 7, padding=3)
        initialise(self)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""
        guess = pyramid_fill(corrupted, missing)  # batch 3 height width
        x = self.downs(self.enter(torch.cat([guess, missing], dim=1)))  # batch channels 2*height/stride 2*width/stride
        near, far = self.divide(x, None)  # at height/stride: a quarter and three quarters of 2*channels
        for block in self.blocks:
            near, far = block(near, far)
        x = self.ups(torch.cat([near, far], dim=1))  # batch width height width
        return add_and_clamp(guess, self.last(x), training=self.training)


class FourierConv2d(Module):
    """A 3 x 3 convolution between local and global channels, normalised and rectified: section 2.1 of the paper.

    Local outputs come from both kinds of input by convolution; global outputs from local inputs by convolution and
    from global inputs by a spectral transform, which sees the whole image. The layer is that of Chi et al. 2020
    (Fast Fourier Convolution, NeurIPS), without its local Fourier unit, as in LaMa.
    """

    def __init__(self, channels: int, out_channels: int, *, share_in: float = _GLOBAL_SHARE, stride: int = 1) -> None:
        super().__init__()
        far, out_far = int(channels * share_in), int(out_channels * _GLOBAL_SHARE)
        near, out_near = channels - far, out_channels - out_far
        self.near_to_near = _convolution(near, out_near, stride)
        self.near_to_far = _convolution(near, out_far, stride)
        self.far_to_near = _convolution(far, out_near, stride) if far else None
        self.far_to_far = SpectralTransform(far, out_far) if far else None
        self.near_norm = BatchNorm2d(out_near)
        self.far_norm = BatchNorm2d(out_far)

    def forward(
        self, near: Float[Tensor, "batch near height width"], far: Float[Tensor, "batch far height width"] | None
    ) -> tuple[
        Float[Tensor, "batch out_near out_height out_width"], Float[Tensor, "batch out_far out_height out_width"]
    ]:
        """Return local and global channels; `far` is None where the layer was built without global inputs."""
        out_near, out_far = self.near_to_near(near), self.near_to_far(near)
        if self.far_to_near is not None and self.far_to_far is not None:
            out_near = out_near + self.far_to_near(far)
            out_far = out_far + self.far_to_far(far)
        return torch.relu(self.near_norm(out_near)), torch.relu(self.far_norm(out_far))


class SpectralTransform(Module):
    """Half the channels, go through the frequency domain and back beside a shortcut, and widen again."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        half = max(1, out_channels // 2)
        self.narrow = _with_norm(nn.Conv2d(channels, half, 1, bias=False))
        self.unit = FourierUnit(half)
        self.widen = nn.Conv2d(half, out_channels, 1, bias=False)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        """Return the transformed features."""
        x = self.narrow(x)
        widened: Tensor = self.widen(x + self.unit(x))
        return widened


class FourierUnit(Module):
    """One 1 x 1 convolution over the real and imaginary parts of all frequencies.

    In float32 at least, whatever autocast says: bfloat16 has no Fourier transform, and float16 made LaMa diverge.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = _with_norm(nn.Conv2d(2 * channels, 2 * channels, 1, bias=False))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return features of the same shape and type, each of which depends on every pixel."""
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):  # meta knows no autocast
            spectrum = torch.fft.rfft2(wide, norm="ortho")  # complex: batch channels height width//2+1
            mixed = self.mix(torch.cat([spectrum.real, spectrum.imag], dim=1))  # batch 2*channels height width//2+1
            real, imaginary = mixed.chunk(2, dim=1)  # batch channels height width//2+1 each
            back: Tensor = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:], norm="ortho")
        return back.to(x.dtype)


class _Block(Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = FourierConv2d(channels, channels)
        self.second = FourierConv2d(channels, channels)

    def forward(
        self, near: Float[Tensor, "batch near height width"], far: Float[Tensor, "batch far height width"]
    ) -> tuple[Float[Tensor, "batch near height width"], Float[Tensor, "batch far height width"]]:
        near_change, far_change = self.second(*self.first(near, far))
        return near + near_change, far + far_change


def _convolution(channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _with_norm(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))
