"""One rank's rows of a global batch, and random numbers that do not depend on the number of ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from jaxtyping import Float, Int64

from components.deferred.torch import Tensor, torch
from components.seeding import torch_generator


class Drawing(NamedTuple):
    """What random numbers are asked for."""

    law: Literal["normal", "uniform"]
    """Standard normal, or uniform in [0, 1)."""
    purpose: str
    """Name of the stream."""
    shape: tuple[int, ...]
    """Of one row."""


@dataclass(frozen=True)
class Batch:
    """Rows [offset, offset + len) of the global batch that begins with image `first_image`."""

    images: Float[Tensor, "batch 3 height width"]
    """The whole pictures, in [-1, 1]."""
    corrupted: Float[Tensor, "batch 3 height width"] | None
    """What a model is shown, in [-1, 1]; None where nothing is corrupted."""
    missing: Float[Tensor, "batch 1 height width"] | None
    """1 where pixels are missing, else 0."""
    seed: int
    """Seed of the run."""
    first_image: int
    """Number of the first image of the global batch, counted over all passes."""
    offset: int
    """Place of this rank's first row in the global batch."""
    global_size: int
    """Rows of the global batch, over all ranks."""
    labels: Int64[Tensor, " batch"] | None = None
    """Numbers of the images' classes; None where there are no classes."""
    numbers: Callable[[Drawing, Batch], Float[Tensor, "batch ..."]] | None = None
    """Where random numbers are kept that were drawn before; None: they are drawn when they are asked for."""

    def __len__(self) -> int:
        """Return the number of this rank's rows."""
        return len(self.images)

    def noise(self, purpose: str, *shape: int) -> Float[Tensor, "batch ..."]:
        """Return standard normal numbers, one block of `shape` per row.

        Drawn for the global batch from (seed, purpose, first image) and cut to this rank's rows, so that any number
        of ranks sees the same numbers for the same image.
        """
        return self._own(Drawing("normal", purpose, shape))

    def uniform(self, purpose: str, *shape: int) -> Float[Tensor, "batch ..."]:
        """Return numbers uniform in [0, 1), drawn as in `noise`."""
        return self._own(Drawing("uniform", purpose, shape))

    def drawn(self, drawing: Drawing) -> Float[Tensor, "global_batch ..."]:
        """Return the numbers of the global batch, on the CPU."""
        generator = torch_generator(self.seed, drawing.purpose, self.first_image)
        draw = torch.randn if drawing.law == "normal" else torch.rand
        return draw(self.global_size, *drawing.shape, generator=generator)

    def to(self, device: torch.device | str, *, channels_last: bool = False) -> "Batch":
        """Return the batch on a device, in the memory format asked for."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        moved = {
            name: None if value is None else value.to(device, non_blocking=True, memory_format=layout)
            for name, value in (("images", self.images), ("corrupted", self.corrupted), ("missing", self.missing))
        }
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        return replace(self, labels=labels, **moved)  # type: ignore[arg-type]

    def _own(self, drawing: Drawing) -> Float[Tensor, "batch ..."]:
        if self.numbers is not None:
            return self.numbers(drawing, self)
        return self.drawn(drawing)[self.offset : self.offset + len(self)].to(self.images.device)
