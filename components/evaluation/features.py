"""Features: what an extractor's network sees in images, in float32 and in one way whatever the process uses else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from components import distributed
from components.evaluation.extractors import FidelityConfig
from components.evaluation.gaussian import Moments
from components.recipes.recipe import blocks_of

_FEWEST = 16
"""Images of a pass: of fewer, torch on one thread convolves by other kernels than on several, which round otherwise."""

Features = Float[Tensor, "images features"]
Pictures = UInt8[np.ndarray, "images height width 3"]


class FeatureSet(NamedTuple):
    """What an extractor sees in a set of images: features and logits on the CPU, moments where they were computed."""

    features: Float[Tensor, "images features"]
    logits: Float[Tensor, "images classes"]
    moments: Moments

    def joined(self) -> Self | None:
        """Return what all processes see: moments in every process, the rest in the main one, which alone gets it."""
        moments = self.moments.over_processes()
        features, logits = (distributed.gather_rows(part) for part in (self.features, self.logits))
        return None if features is None or logits is None else type(self)(features, logits, moments)


class Extractor:
    """The network of a configuration, on a device."""

    def __init__(self, fidelity: FidelityConfig, device: torch.device | str = "cpu") -> None:
        self.fidelity = fidelity
        self.device = torch.device(device)
        self.network = fidelity.extractor.network().to(self.device)

    @torch.inference_mode()
    def see(self, images: Pictures) -> FeatureSet:
        """Return what the network sees in `images`, computed in float32 (never TF32 or bfloat16).

        On a processor an image's features depend neither on the number of threads nor on how many images are beside it.

        Raises:
            ValueError: They are not uint8 of shape (images, height, width, 3).
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            found = f"{images.dtype} {images.shape}"
            raise ValueError(f"expected uint8 images of shape (n, height, width, 3), found {found}")
        kind = self.fidelity.extractor
        features, logits = [torch.empty(0, kind.FEATURES)], [torch.empty(0, kind.LOGITS)]
        moments = Moments.of(torch.empty(0, kind.FEATURES, device=self.device))
        with _full_precision():
            for rows in blocks_of(slice(0, len(images)), self.fidelity.batch):
                batch = torch.from_numpy(np.ascontiguousarray(images[rows].transpose(0, 3, 1, 2)))
                seen, classes = (part[: len(batch)] for part in self.network(_filled(batch).to(self.device)))
                moments += Moments.of(seen)
                features.append(seen.cpu())
                logits.append(classes.cpu())
        return FeatureSet(torch.cat(features), torch.cat(logits), moments)


def _filled(batch: UInt8[Tensor, "images 3 height width"]) -> UInt8[Tensor, "more 3 height width"]:
    """Return no fewer images than a pass should have, the first of them again and again."""
    lacking = _FEWEST - len(batch)
    return batch if lacking <= 0 else torch.cat([batch, batch[:1].expand(lacking, -1, -1, -1)])


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute in true float32 with deterministic convolutions, whatever the process uses otherwise."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
