"""An eye for losses: what a frozen EfficientNet-Lite0 sees in images in training, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float

from components.deferred.torch import F, Module, Tensor
from components.models.features import lite0_weights

Seen = list[Float[Tensor, "batch _channels _h _w"]]
"""Features after each block that is looked at, the first of which is the finest."""


class Eye(Module):
    """EfficientNet-Lite0 up to the last block looked at. Its weights are in no checkpoint: they are the package's.

    Gradients reach the images and nothing of the network, which stays as it is whatever is trained.
    """

    def __init__(self, resolution: int, blocks: Sequence[int]) -> None:
        """Read the weights.

        Args:
            resolution: Side to which images are resized that have another (px).
            blocks: After which of the sixteen, counted from 0, features are taken, in order.
        """
        from components.models.efficientnet import EfficientNetLite  # imports torch

        super().__init__()
        self.resolution = resolution
        self.blocks = tuple(blocks)
        network = EfficientNetLite("efficientnet-lite0", resolution, lite0_weights())
        self._hidden = (network,)  # in a tuple it is no part of the module: replicas and checkpoints pass it by

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Eye:  # noqa: FBT001, FBT002 - torch's own
        """Move the network, too, when this module is moved."""
        self._hidden[0]._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Seen:
        """Return the features, in float32, of images in [-1, 1]."""
        (network,) = self._hidden
        if image.shape[-1] != self.resolution:
            side = (self.resolution, self.resolution)
            image = F.interpolate(image, size=side, mode="bilinear", align_corners=False)
        x = (image * 127.5 + 0.5) / 128  # what (levels - 127) / 128 is of pixels in [-1, 1]
        found = []
        for number, layer in enumerate(network.layers[: max(self.blocks) + 2], start=-1):  # the stem is no block
            x = layer(x)
            if number in self.blocks:
                found.append(x.float())
        return found
