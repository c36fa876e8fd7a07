"""A discriminator that also looks through a trained network: Sauer et al. 2021, https://arxiv.org/abs/2111.01007."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import Labels
from components.models.dcgan import DcganDiscriminatorConfig, normalise_spectrally
from components.models.features import LITE0_SHA256, lite0_weights
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, initialise
from components.models.network import DiscriminatorSection, Judge

_TAPS = {2: 24, 4: 40, 10: 112, 15: 320}  # blocks whose features are taken, the last of their size, and channels
_HIDDEN = 48


class ProjectedDiscriminatorConfig(DiscriminatorSection):
    """Judges images by their pixels and by features that a frozen EfficientNet-Lite0 has of them.

    For trainings of hours, on a GPU: in minutes of a CPU it costs more images than it is worth (`README.md` of the
    room). Models that it trained may not be judged by Lite0. Where the paper adds up the losses of its heads, their
    mean logit is added to that of the pixels here, as losses and penalties expect one logit per image.
    """

    kind: Literal["projected"] = "projected"
    pixels: DcganDiscriminatorConfig = DcganDiscriminatorConfig()
    """The network that looks at pixels, and is told the class."""
    weight: float = Field(default=0.3, gt=0)
    """What the mean logit of the heads counts beside that of the pixels."""
    resolution: int | None = Field(default=None, ge=32, le=512)
    """Side to which images are resized before Lite0 sees them (px); None: as they are."""

    @property
    def mixes_samples(self) -> bool:
        """Whether an image's logit depends on the rest of its batch."""
        return self.pixels.mixes_samples

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of Lite0's weights."""
        return (LITE0_SHA256,)

    def _build(self, size: int, classes: int) -> "ProjectedDiscriminator":
        return ProjectedDiscriminator(self, size, classes)


class ProjectedDiscriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: ProjectedDiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.weight = config.weight
        self.pixels = config.pixels.build(size, classes)
        self.eye = Eye(config.resolution or size)
        self.mixing = Mixing(list(_TAPS.values()))
        self.heads = nn.ModuleList([_head(channels) for channels in _TAPS.values()])
        normalise_spectrally(self.heads)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        own: Tensor = self.pixels(image, labels)
        mixed = self.mixing(self.eye(image))
        said = [head(features).float().mean((1, 2, 3)) for head, features in zip(self.heads, mixed, strict=True)]
        return own.float() + self.weight * torch.stack(said).mean(0)

    def layers(self) -> list[nn.Module]:
        """Return the layers of the network that looks at pixels."""
        assert isinstance(self.pixels, Judge)
        return list(self.pixels.layers())


class Eye(Module):
    """EfficientNet-Lite0 up to its last block. Its weights are in no checkpoint: they are the package's, and stay."""

    def __init__(self, resolution: int) -> None:
        from components.models.efficientnet import EfficientNetLite  # imports torch

        super().__init__()
        self.resolution = resolution
        network = EfficientNetLite("efficientnet-lite0", resolution, lite0_weights())
        self._hidden = (network,)  # in a tuple it is no part of the module: replicas and checkpoints pass it by

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Eye:  # noqa: FBT001, FBT002 - torch's own
        """Move the network, too, when this module is moved."""
        self._hidden[0]._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _channels _h _w"]]:
        """Return the features after each tapped block, of deviation 1 over each image's own."""
        (network,) = self._hidden
        if image.shape[-1] != self.resolution:
            side = (self.resolution, self.resolution)
            image = F.interpolate(image, size=side, mode="bilinear", align_corners=False)
        x = (image * 127.5 + 0.5) / 128  # what (levels - 127) / 128 is of pixels in [-1, 1]
        found = []
        for number, layer in enumerate(network.layers[: max(_TAPS) + 2], start=-1):  # the stem is no block
            x = layer(x)
            if number in _TAPS:
                found.append(F.layer_norm(x.float(), x.shape[1:]))
        return found


class Mixing(Module):
    """Mixes channels, then scales from coarse to fine, by 1 x 1 convolutions that stay random: section 3.2.

    So that heads cannot keep to what a few channels say. Drawn with the other weights, and kept in checkpoints.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        across = [nn.Conv2d(one, one, 1, bias=False) for one in channels]
        down = [nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels)]
        self.across, self.down = nn.ModuleList(across), nn.ModuleList(down)
        initialise(self, LINEAR_GAIN)
        for layer in (*across, *down):  # as buffers nothing trains them
            weight = layer.weight.detach().clone()
            del layer.weight
            layer.register_buffer("weight", weight)

    def forward(
        self, features: list[Float[Tensor, "batch _channels _h _w"]]
    ) -> list[Float[Tensor, "batch _channels _h _w"]]:
        """Return what each scale and all coarser ones say, of as many channels and places as before."""
        mixed = [layer(one) for layer, one in zip(self.across, features, strict=True)]
        for number in reversed(range(len(self.down))):
            coarse = F.interpolate(self.down[number](mixed[number + 1]), size=mixed[number].shape[2:], mode="nearest")
            mixed[number] = (mixed[number] + coarse) * 0.5**0.5
        return mixed


def _head(channels: int) -> nn.Sequential:
    head = nn.Sequential(
        nn.Conv2d(channels, _HIDDEN, 3, padding=1), nn.LeakyReLU(LEAKY_SLOPE, inplace=True), nn.Conv2d(_HIDDEN, 1, 1)
    )
    initialise(head, LEAKY_GAIN)
    initialise(head[-1], LINEAR_GAIN)
    return head
