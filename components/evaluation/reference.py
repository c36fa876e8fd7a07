"""Reference: features and normal distribution of the real images, measured once per machine and kept in its cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.artifacts import Artifact, Store
from components.artifacts.artifact import digests_in
from components.evaluation.features import Extractor, Features, Pictures
from components.evaluation.gaussian import Moments, Normal
from components.evaluation.image_features import features_inputs, shared_features, undamaged
from components.recipes.recipe import blocks_of

_CODE = 1
"""Version of what is kept; raise it when equal features would have another normal distribution."""
_FILE = "normal.safetensors"
_ROWS_AT_ONCE = 1024


class ReferenceNormal(Artifact):
    """`normal.safetensors`: mean, covariance and its root of the features of more images than there are features."""

    images: int

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of the images that were looked at."""
        return digests_in(manifest["inputs"])


class Reference(NamedTuple):
    """What generated images are compared with."""

    features: Float[Tensor, "images features"]
    normal: Normal


def measured_reference(reals: Pictures, digest: str, extractor: Extractor, cache: Path | None) -> Reference | None:
    """Return the reference in the main process, None in the others; every process must ask.

    What `cache` holds, checked file by file, is taken from there, whichever model it was measured for; else processes
    share the work, and the main one keeps the result.

    Args:
        reals: All real images.
        digest: What determined them: shard set and split.
        extractor: The network; its weights and how it makes images ready are in the name of what is kept.
        cache: Folder that can be deleted at any time between runs; None keeps nothing.
    """
    features = shared_features(reals, len(reals), digest, extractor, cache)
    if features is None:
        return None
    if cache is None or len(features) <= features.shape[1]:
        return Reference(features, _normal(features))
    store = Store(cache)
    inputs = {"normal": _CODE, **features_inputs(digest, len(reals), extractor.fidelity.extractor)}
    if (kept := undamaged(store, ReferenceNormal, inputs)) is not None:
        return Reference(features, Normal(**load_file(kept.path / _FILE)))
    normal = _normal(features)
    store.materialise(ReferenceNormal, inputs, lambda draft: _write(normal, len(features), draft))
    return Reference(features, normal)


def _normal(features: Features) -> Normal:
    if len(features) <= features.shape[1]:
        return Normal.of(features)
    parts = (Moments.of(features[rows]) for rows in blocks_of(slice(0, len(features)), _ROWS_AT_ONCE))
    return Normal.of(features, sum(parts, start=next(parts)))


def _write(normal: Normal, images: int, draft: Path) -> Mapping[str, Any]:
    tensors = {"mean": normal.mean, "covariance": normal.covariance, "root": normal.root}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}, draft / _FILE)
    return {"images": images}
