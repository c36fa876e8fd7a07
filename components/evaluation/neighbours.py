"""Neighbours: the training images, and how far from the nearest of them real and made pictures lie.

Candidates are found by the judge's features, which no judged model was trained on, and by thumbnails; `likeness.py`
compares pixels with pixels. Features alone would not do: slight noise moves them farther than another picture of the
same thing does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.artifacts import Artifact, Store
from components.artifacts.artifact import digests_in
from components.data import PixelSource
from components.evaluation.copies import LEFT_OUT, RealDistances
from components.evaluation.features import Extractor
from components.evaluation.image_features import shared_features, undamaged
from components.evaluation.likeness import Sketches, distances, sketches, thumbnails
from components.recipes.recipe import blocks_of

MOST_IMAGES = 50_000
"""Training images that are looked at, the first by key, which is as good as at random."""
CANDIDATES = 4
"""Training images that each picture is compared with, the nearest by features, and as many by thumbnails."""
_CODE = 2
"""Version of what is kept; raise it when equal images would get other distances."""
_FILE = "neighbours.safetensors"
_ROWS_AT_ONCE = 512

Features = Float[Tensor, "images features"]


class TrainingNeighbours(Artifact):
    """`neighbours.safetensors`: distances of real images to the nearest training images."""

    images: int

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of the images that were looked at."""
        return digests_in(manifest["inputs"])


@dataclass(frozen=True)
class Neighbours:
    """What pictures are compared with, in the main process."""

    features: Float[Tensor, "training features"]
    sketches: Sketches
    real: RealDistances

    def nearest(self, features: Features, pictures: Sketches) -> Float[np.ndarray, " images"]:
        """Return the distance of each picture to its nearest training image."""
        return _nearest(features, pictures, self.features, self.sketches)

    def nearest_images(self, pictures: Sketches) -> Int64[np.ndarray, " images"]:
        """Return the number of each picture's nearest training image, of candidates by thumbnails, by pixels."""
        small = _thumbnailed(self.sketches)
        views = [torch.cdist(thumbnails(view), small) for view in (pictures, pictures.flip(3))]
        count = min(4 * CANDIDATES, len(small))
        chosen = torch.minimum(*views).topk(count, dim=1, largest=False).indices
        best = distances(pictures, self.sketches[chosen]).argmin(dim=1, keepdim=True)
        return chosen.gather(1, best).squeeze(1).numpy()


def held_distances(images: PixelSource, training: PixelSource) -> Float[np.ndarray, " images"]:
    """Return how far held-out images are from their nearest training images, of candidates by thumbnails alone."""
    known = sketched(training, slice(0, min(len(training), MOST_IMAGES)))
    return _nearest(None, sketched(images, slice(0, len(images))), None, known)


def sketched(source: PixelSource, rows: slice) -> Sketches:
    """Return pictures at the size at which they are compared, a few at a time."""
    few = [slice(0, 0), *blocks_of(rows, _ROWS_AT_ONCE)]
    return torch.cat([sketches(torch.from_numpy(source.take(np.arange(r.start, r.stop), axis=0))) for r in few])


def measured_neighbours(
    training: PixelSource,
    digest: str,
    held: tuple[Features | None, Sketches | None],
    held_digest: str,
    extractor: Extractor,
    cache: Path | None,
) -> Neighbours | None:
    """Return what made pictures are compared with in the main process, None in the others; every process must ask.

    Processes share the work of seeing the training images; the main one compares, and keeps the result in `cache`.

    Args:
        training: The training images, of which no more than `MOST_IMAGES` are looked at.
        digest: What determined them: shard set and split.
        held: Features and sketches of the held-out images, in the main process.
        held_digest: What determined those.
        extractor: The network that finds candidates.
        cache: Folder that can be deleted at any time between runs; None keeps nothing.
    """
    kind, count = extractor.fidelity.extractor, min(len(training), MOST_IMAGES)
    inputs = {
        "code": _CODE,
        "training": digest,
        "held": held_digest,
        "count": count,
        "extractor": kind.sha256,
        "preprocessing": kind.preprocessing,
        "compared": [LEFT_OUT, CANDIDATES],
    }
    features = shared_features(training, count, f"{digest}[:{MOST_IMAGES}]", extractor, cache)
    if features is None or held[0] is None or held[1] is None:
        return None
    store, own = Store(cache) if cache is not None else None, sketched(training, slice(0, count))
    kept = undamaged(store, TrainingNeighbours, inputs) if store is not None else None
    if kept is not None:
        return Neighbours(features, own, _read(kept.path / _FILE))
    real = RealDistances(
        held=_nearest(held[0], held[1], features, own),
        left_out=_nearest(features[:LEFT_OUT], own[:LEFT_OUT], features, own, are_first=True),
    )
    if store is not None:
        store.materialise(TrainingNeighbours, inputs, lambda draft: _write(real, count, draft))
    return Neighbours(features, own, real)


def _nearest(
    features: Features | None, pictures: Sketches, known: Features | None, others: Sketches, *, are_first: bool = False
) -> Float[np.ndarray, " images"]:
    """Return distances to the nearest of `others`, not counting itself where the pictures are the first of them."""
    count = min(CANDIDATES, len(others) - are_first)
    if count < 1:
        return np.empty(0, np.float32)
    small = _thumbnailed(others)
    found = [torch.empty(0)]
    for rows in blocks_of(slice(0, len(pictures)), _ROWS_AT_ONCE):
        some = pictures[rows]
        views = [torch.cdist(thumbnails(view), small) for view in (some, some.flip(3))]
        tables, chosen = [torch.minimum(*views)], []
        if features is not None and known is not None:
            tables.append(torch.cdist(features[rows], known))
        for apart in tables:
            if are_first:
                apart[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = torch.inf
            chosen.append(apart.topk(count, dim=1, largest=False).indices)
        found.append(distances(some, others[torch.cat(chosen, dim=1)]).amin(dim=1))
    return torch.cat(found).numpy()


def _thumbnailed(pictures: Sketches) -> Float[Tensor, "images numbers"]:
    return torch.cat([thumbnails(pictures[rows]) for rows in blocks_of(slice(0, len(pictures)), _ROWS_AT_ONCE)])


def _write(real: RealDistances, images: int, draft: Path) -> Mapping[str, Any]:
    save_file({"held": torch.from_numpy(real.held), "left_out": torch.from_numpy(real.left_out)}, draft / _FILE)
    return {"images": images}


def _read(path: Path) -> RealDistances:
    kept = load_file(path)
    return RealDistances(kept["held"].numpy(), kept["left_out"].numpy())
