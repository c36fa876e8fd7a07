"""The residual networks of spectrally normalised GANs: Miyato et al. 2018, appendix B.4, https://arxiv.org/abs/1802.05957.

Up to 32 px their CIFAR-10 layout, all blocks equally wide; above, their layout for larger images. BigGAN's parts are
options: Brock et al. 2019, https://arxiv.org/abs/1809.11096.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.biggan import SelfAttention, StyleNorm2d, initialise_orthogonally
from components.models.condition import ClassNorm2d, Labels, Projection, require_labels
from components.models.dcgan import normalise_spectrally
from components.models.doubling import nearest
from components.models.initial import LINEAR_GAIN, RELU_GAIN, initialise
from components.models.network import DiscriminatorSection, GeneratorSection, Judge, doublings
from components.section import Grown

_SMALL_PX = 32
_SHARED_NUMBERS = 128  # of the one embedding of classes, as in BigGAN


class SnganGeneratorConfig(GeneratorSection, Grown):
    """Turns noise into images by residual blocks with batch normalisation, each of which doubles the side."""

    kind: Literal["sngan_res"] = "sngan_res"
    latent: int = Field(default=128, ge=1, le=4096)
    """Numbers of noise per image."""
    width: int = Field(default=256, ge=4, le=1024)
    """Channels up to 32 px, 256 in the paper. For larger images a quarter at full size, doubled at each smaller size,
    to at most 4 times."""
    shared_classes: bool = False
    """All normalisations are told the class by one embedding, where each has its own else."""
    split_noise: bool = False
    """Noise is cut into equal parts: one makes the first features, each of the others tells a block's normalisations,
    together with the shared embedding of classes, if any."""
    attention_px: int | None = Field(default=None, ge=8)
    """Side of the features that look at each other; 16 or 32 in BigGAN, by the size of its images. None: none do."""
    initialisation: Literal["normal", "orthogonal"] = "normal"
    """How weights are drawn: as by He et al. 2015, or orthogonal as in BigGAN."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"shared_classes", "split_noise", "attention_px", "initialisation"})

    def check(self, size: int) -> None:
        """Raise ValueError unless noise can be cut, and there are features of the side that is to attend."""
        count = doublings(size)
        if self.split_noise and self.latent % (count + 1):
            raise ValueError(
                f"found {self.latent} numbers of noise to split, expected a multiple of {count + 1}: a part for the "
                f"first features, and one for each of {count} blocks at {size} px"
            )
        _check_attention(self.attention_px, [8 << stage for stage in range(count)])

    def channels(self, size: int) -> list[int]:
        """Return the channels at 4, 8, 16 ... `size` px."""
        count = doublings(size) + 1
        if size <= _SMALL_PX:
            return [self.width] * count
        return [min(self.width // 4 << stage, 4 * self.width) for stage in reversed(range(count))]

    def _build(self, size: int, classes: int) -> "SnganGenerator":
        return SnganGenerator(self, size, classes)


class SnganGenerator(Module):
    """Noise to image."""

    def __init__(self, config: SnganGeneratorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.latent = config.latent
        channels = config.channels(size)
        self.parts = len(channels) if config.split_noise else 1
        part, is_shared = config.latent // self.parts, config.shared_classes or config.split_noise
        self.embedding = nn.Embedding(classes, _SHARED_NUMBERS) if classes and is_shared else None
        told = (part if config.split_noise else 0) + (0 if self.embedding is None else _SHARED_NUMBERS)
        own_classes = 0 if is_shared else classes
        self.first = nn.Sequential(nn.Linear(part, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4)))
        blocks = [_UpBlock(coarse, fine, own_classes, told) for coarse, fine in pairwise(channels)]
        self.blocks = nn.ModuleList(blocks)
        self.attending = [4 << stage for stage in range(len(channels))].index(config.attention_px or 4)
        self.attention = SelfAttention(channels[self.attending]) if self.attending else None
        self.norm = ClassNorm2d(0, channels[-1])
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        initialise(self, RELU_GAIN)
        for layer in (self.first, self.last, *(block.shortcut for block in blocks)):
            initialise(layer, LINEAR_GAIN)
        if config.initialisation == "orthogonal":
            initialise_orthogonally(self)
        for block in blocks:
            block.start_plain()

    def forward(
        self, latent: Float[Tensor, "batch latent"], labels: Labels | None = None
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1]; `labels` are the numbers of their classes, for a conditional network."""
        part, *parts = latent.chunk(self.parts, 1)
        shared = [] if self.embedding is None else [self.embedding(require_labels(labels))]
        x = self.first(part)
        for number, block in enumerate(self.blocks, start=1):
            told = [*parts[number - 1 : number], *shared]
            x = block(x, torch.cat(told, 1) if told else labels)
            if number == self.attending and self.attention is not None:
                x = self.attention(x)
        return torch.tanh(self.last(F.relu(self.norm(x, None), inplace=True)))


class SnganDiscriminatorConfig(DiscriminatorSection, Grown):
    """Judges whole images by spectrally normalised residual blocks, the sum over all places and one linear layer."""

    kind: Literal["sngan_res"] = "sngan_res"
    width: int = Field(default=128, ge=4, le=1024)
    """Channels up to 32 px, 128 in the paper. For larger images half of it in the first block, doubled in each
    following block, to at most 8 times."""
    attention_px: int | None = Field(default=None, ge=4)
    """Side of the features that look at each other; 16 or 32 in BigGAN, by the size of its images. None: none do."""
    initialisation: Literal["normal", "orthogonal"] = "normal"
    """How weights are drawn: as by He et al. 2015, or orthogonal as in BigGAN."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"attention_px", "initialisation"})

    def check(self, size: int) -> None:
        """Raise ValueError unless there are features of the side that is to attend."""
        doublings(size)
        _check_attention(self.attention_px, self.sides(size))

    def sides(self, size: int) -> list[int]:
        """Return the side of the features after each block, in pixels."""
        halvings = accumulate(int(halves) for _, halves in self.blocks(size))
        return [size >> count for count in halvings]

    def blocks(self, size: int) -> list[tuple[int, bool]]:
        """Return each block's channels, and whether it halves the side."""
        count = doublings(size)
        if size <= _SMALL_PX:
            return [(self.width, True), (self.width, True), (self.width, False), (self.width, False)]
        widths = [min(self.width // 2 << stage, 8 * self.width) for stage in range(count + 1)]
        return [(width, stage < count) for stage, width in enumerate(widths)]

    def _build(self, size: int, classes: int) -> "SnganDiscriminator":
        return SnganDiscriminator(self, size, classes)


class SnganDiscriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: SnganDiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        (first, halves), *rest = config.blocks(size)
        blocks: list[_DownBlock] = [_FirstBlock(3, first, halves=halves)]
        given = first
        for channels, halves in rest:
            blocks.append(_DownBlock(given, channels, halves=halves))
            given = channels
        if config.attention_px is not None:
            first_there = config.sides(size).index(config.attention_px)
            blocks[first_there].attend()
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(given, 1)
        self.projection = Projection(classes, given)
        initialise(self, RELU_GAIN)
        for layer in (self.last, *(block.shortcut for block in blocks)):
            initialise(layer, LINEAR_GAIN)
        if config.initialisation == "orthogonal":
            initialise_orthogonally(self)
        normalise_spectrally(self)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        features = F.relu(self.blocks(image)).float().sum((2, 3))
        logits: Tensor = self.projection(self.last(features).squeeze(1), features, labels)
        return logits

    def layers(self) -> list[nn.Module]:
        """Return the residual blocks, from the image on."""
        return list(self.blocks)


class _UpBlock(Module):
    def __init__(self, coarse: int, fine: int, classes: int, told: int) -> None:
        super().__init__()
        norms = [StyleNorm2d(told, channels) if told else ClassNorm2d(classes, channels) for channels in (coarse, fine)]
        self.norms = nn.ModuleList(norms)
        # Without biases: what they add to a channel, the next normalisation on either way takes away again.
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(given, fine, 3, padding=1, bias=False) for given in (coarse, fine)]
        )
        self.shortcut = nn.Conv2d(coarse, fine, 1, bias=False)

    def start_plain(self) -> None:
        """Have styles begin with nothing to say."""
        for norm in self.norms:
            if isinstance(norm, StyleNorm2d):
                nn.init.zeros_(norm.style.weight)

    def forward(
        self, x: Float[Tensor, "batch coarse height width"], told: Float[Tensor, "batch features"] | Labels | None
    ) -> Float[Tensor, "batch fine 2*height 2*width"]:
        branch = nearest(F.relu(self.norms[0](x, told), inplace=True))  # batch coarse 2*height 2*width
        branch = self.convolutions[0](branch)
        branch = self.convolutions[1](F.relu(self.norms[1](branch, told), inplace=True))
        # A 1 x 1 convolution and the repetition of pixels may change places, and this order costs a quarter.
        total: Tensor = branch + nearest(self.shortcut(x))
        return total


class _DownBlock(Module):
    def __init__(self, given: int, wanted: int, *, halves: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([_convolution(given, wanted), _convolution(wanted, wanted)])
        is_plain = given == wanted and not halves
        self.shortcut = nn.Identity() if is_plain else nn.Conv2d(given, wanted, 1)
        self.halves = halves
        self.attention: SelfAttention | None = None
        self.wanted = wanted

    def attend(self) -> None:
        """Have the block's features look at each other."""
        self.attention = SelfAttention(self.wanted)

    def forward(
        self, x: Float[Tensor, "batch given height width"]
    ) -> Float[Tensor, "batch wanted out_height out_width"]:
        branch = self.convolutions[0](self.activated(x))
        branch = self.convolutions[1](F.relu(branch, inplace=True))
        # Means of 2 x 2 pixels and 1 x 1 convolutions may change places, too.
        total: Tensor = self._shrunk(branch) + self.shortcut(self._shrunk(x))
        return total if self.attention is None else self.attention(total)

    def activated(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return F.relu(x)

    def _shrunk(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        return F.avg_pool2d(x, 2) if self.halves else x


class _FirstBlock(_DownBlock):
    """The first block sees pixels, which are not to be cut off at zero."""

    def activated(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return x


def _convolution(given: int, wanted: int) -> nn.Conv2d:
    return nn.Conv2d(given, wanted, 3, padding=1)


def _check_attention(side: int | None, sides: Sequence[int]) -> None:
    if side is not None and side not in sides:
        found = ", ".join(map(str, dict.fromkeys(sides)))
        raise ValueError(f"attention_px is {side}, but the network has features of {found} px to choose from")
