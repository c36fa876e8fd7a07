"""A discriminator that also looks through a trained network: Sauer et al. 2021, https://arxiv.org/abs/2111.01007."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import Labels
from components.models.dcgan import DcganDiscriminatorConfig, normalise_spectrally
from components.models.eye import Eye, Seen
from components.models.features import LITE0_SHA256
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
        self.eye = Eye(config.resolution or size, tuple(_TAPS))
        self.mixing = Mixing(list(_TAPS.values()))
        self.heads = nn.ModuleList([_head(channels) for channels in _TAPS.values()])
        normalise_spectrally(self.heads)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        own: Tensor = self.pixels(image, labels)
        mixed = self.mixing(self.seen(image))
        said = [head(features).float().mean((1, 2, 3)) for head, features in zip(self.heads, mixed, strict=True)]
        return own.float() + self.weight * torch.stack(said).mean(0)

    def seen(self, image: Float[Tensor, "batch 3 size size"]) -> Seen:
        """Return the features after each tapped block, of deviation 1 over each image's own."""
        return [F.layer_norm(features, features.shape[1:]) for features in self.eye(image)]

    def layers(self) -> list[nn.Module]:
        """Return the layers of the network that looks at pixels."""
        assert isinstance(self.pixels, Judge)
        return list(self.pixels.layers())


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

    def forward(self, features: Seen) -> Seen:
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
