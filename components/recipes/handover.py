"""Handover: images that one phase has made, on their way to the next phase of the same step."""

from __future__ import annotations

from jaxtyping import Float

from components.data.batch import Batch
from components.deferred.torch import Tensor


class Handover:
    """Mended images on their way from a network's phase to the discriminator's, of the same step and batch."""

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}

    def give(self, batch: Batch, images: Float[Tensor, "batch 3 height width"]) -> None:
        """Keep the images of `batch`, detached, until they are taken."""
        self._kept[batch.offset] = images.detach()

    def take(self, batch: Batch) -> Float[Tensor, "batch 3 height width"]:
        """Return the images of `batch` and let go of them."""
        return self._kept.pop(batch.offset)
