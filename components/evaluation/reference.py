"""Reference: features and normal distribution of the real images, measured once per machine and kept in its cache."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from components import distributed
from components.artifacts import Artifact, ArtifactError, Store
from components.artifacts.artifact import digests_in
from components.evaluation.features import Extractor, Pictures
from components.evaluation.gaussian import Normal
from components.evaluation.sharing import own_rows

Kind = TypeVar("Kind", bound=Artifact)

_CODE = 1
"""Version of what is kept; raise it when equal images would get other features."""
_FILE = "reference.safetensors"


class ReferenceFeatures(Artifact):
    """`reference.safetensors`: features and, with more images than features, mean, covariance and its root."""

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
    kind = extractor.fidelity.extractor
    inputs = {
        "code": _CODE,
        "images": digest,
        "count": len(reals),
        "size": reals.shape[1],
        "extractor": kind.sha256,
        "preprocessing": kind.preprocessing,
    }
    store = Store(cache) if cache is not None else None
    known = _kept(store, inputs) if store is not None and distributed.is_main() else None
    if distributed.any_rank(known is not None):
        return known
    seen = extractor.see(reals[own_rows(len(reals), extractor.fidelity.batch)]).joined()
    if seen is None:
        return None
    reference = Reference(seen.features, Normal.of(seen.features, seen.moments))
    if store is not None:
        store.materialise(ReferenceFeatures, inputs, lambda draft: _write(reference, draft))
    return reference


def _write(reference: Reference, draft: Path) -> Mapping[str, Any]:
    normal = reference.normal
    tensors = {"features": reference.features}
    if normal.covariance is not None:
        tensors |= {"mean": normal.mean, "covariance": normal.covariance, "root": normal.root}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft / _FILE)
    return {"images": len(reference.features)}


def undamaged(store: Store, kind: type[Kind], inputs: Mapping[str, Any]) -> Kind | None:
    """Return what a cache holds, checked file by file; what is damaged is thrown away, for it can be measured again."""
    try:
        kept = store.find(kind, inputs)
        if kept is not None:
            kept.verify()
    except ArtifactError as error:
        logging.getLogger(__name__).warning("%s; it is measured again", error)
        shutil.rmtree(store.path_of(kind, inputs))
        return None
    return kept


def _kept(store: Store, inputs: Mapping[str, Any]) -> Reference | None:
    if (kept := undamaged(store, ReferenceFeatures, inputs)) is None:
        return None
    tensors = load_file(kept.path / _FILE)
    features = tensors.pop("features")
    return Reference(features, Normal(**tensors) if tensors else Normal.of(features))
