"""Perceptual and style losses: distance of images as a trained VGG-16 sees them, its weights read from a local file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import Float, Shaped
from pydantic import Field
from safetensors import SafetensorError

from components.artifacts import sha256_of
from components.deferred.torch import F, Module, Tensor, nn, torch
from components.section import Section

# Columns D of table 1, up to the third pooling; the numbers are the layers' places in torchvision's `features`.
_CONVOLUTIONS = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
)
Features = Float[Tensor, "batch _channels _rows _columns"]
Weights = dict[str, Shaped[Tensor, "..."]]
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class PerceptualConfig(Section):
    """Equations 4 to 6 of Liu et al. 2018, https://arxiv.org/abs/1804.07723, with the paper's weights.

    Features are those after the first three poolings of VGG-16 (Simonyan and Zisserman 2015,
    https://arxiv.org/abs/1409.1556). Nothing is downloaded; the weights are in no checkpoint and in no export.
    """

    weights: Path
    """Local file of trained weights, with the names that torchvision's `vgg16` gives them: .safetensors, or what
    torch.save wrote of its state_dict, such as torchvision's own vgg16-397923af.pth."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """What `sha256sum` says of the file; another file is refused."""
    perceptual: float = Field(default=0.05, ge=0)
    """Weight of the mean absolute difference of features."""
    style: float = Field(default=120.0, ge=0)
    """Weight of the mean absolute difference of the features' Gram matrices."""

    def read(self) -> "VggFeatures":
        """Return the trained network.

        Raises:
            ValueError: The file is missing, another than the one named by `sha256`, or not of a VGG-16.
        """
        if not self.weights.is_file():
            raise ValueError(
                f"{self.weights}: there is no such file; expected the weights of torchvision's vgg16, "
                f"sha256 {self.sha256[:16]}…"
            )
        if (found := sha256_of(self.weights)) != self.sha256:
            raise ValueError(f"{self.weights}: its sha256 is {found[:16]}…, expected {self.sha256[:16]}…")
        network = VggFeatures()
        try:
            network.load_state_dict(_weights_for(_tensors(self.weights), network))
        except (SafetensorError, OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{self.weights}: expected the weights of torchvision's vgg16 ({error})") from error
        return network.requires_grad_(requires_grad=False).eval()


class VggFeatures(Module):
    """The first seven convolutions of VGG-16, in three stages that each end in a pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                str(place): nn.Conv2d(channels, out_channels, 3, padding=1)
                for stage in _CONVOLUTIONS
                for place, channels, out_channels in stage
            }
        )

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> tuple[Features, ...]:
        """Return the features after each pooling, 64, 128 and 256 channels, of images in [-1, 1] of 8 px or more."""
        x = ((image + 1) / 2 - _per_channel(_MEAN, image)) / _per_channel(_DEVIATION, image)
        return tuple(self._stages(x))

    def _stages(self, x: Float[Tensor, "batch 3 height width"]) -> Iterator[Features]:
        for stage in _CONVOLUTIONS:
            for place, _, _ in stage:
                x = torch.relu(self.features[str(place)](x))
            x = F.max_pool2d(x, 2)
            yield x


class PerceptualLoss:
    """Both losses, of the network's whole image and of the one that is delivered.

    No module: a trained network that nothing trains has no place among replicas and checkpoints.
    """

    def __init__(self, config: PerceptualConfig) -> None:
        self.config = config
        self.network = config.read()

    def losses(
        self,
        restored: Float[Tensor, "batch 3 height width"],
        delivered: Float[Tensor, "batch 3 height width"],
        target: Float[Tensor, "batch 3 height width"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return "loss", weighted, to add to another, and detached "perceptual" and "style"."""
        self.network.to(restored.device)
        with torch.no_grad():
            true = self.network(target)
        both = self.network(torch.cat([restored, delivered]))
        with torch.autocast(restored.device.type, enabled=False):
            perceptual = torch.stack([_apart(features, goal) for features, goal in zip(both, true, strict=True)]).sum()
            style = torch.stack(
                [_apart(gram(features), gram(goal)) for features, goal in zip(both, true, strict=True)]
            ).sum()
        loss = self.config.perceptual * perceptual + self.config.style * style
        return {"loss": loss, "perceptual": perceptual.detach(), "style": style.detach()}


def gram(features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels channels"]:
    """Return the products of all pairs of channels, summed over pixels, divided by channels · height · width."""
    flat = features.float().flatten(2)  # batch channels height*width
    return flat @ flat.transpose(1, 2) / features[0].numel()


def _apart(both: Float[Tensor, "two_batches *shape"], goal: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
    """Return the mean absolute difference to `goal` of the first half of `both` plus that of the second."""
    return 2 * F.l1_loss(both.float(), goal.float().repeat(2, *[1] * (goal.dim() - 1)))


def _per_channel(values: tuple[float, ...], like: Float[Tensor, "..."]) -> Float[Tensor, "1 channels 1 1"]:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)


def _tensors(path: Path) -> Weights:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # imports torch

        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise KeyError(f"found {type(state).__name__} instead of names and tensors")
    return state


def _weights_for(tensors: Weights, network: nn.Module) -> Weights:
    return {name: tensors[name] for name in network.state_dict()}
