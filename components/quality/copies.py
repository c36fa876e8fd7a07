"""Copies: groups of images that are near-copies of each other, and those that training leaves out because of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.artifacts import Artifact, Store
from components.data import SPLITS, ShardSet
from components.executors import LOCAL, ExecutorConfig
from components.quality.facts import ImageFacts, find_image_facts, image_facts
from components.quality.pairs import APART, REACH_BITS, Pairs, near_pairs
from components.section import digest_of

_CODE = 1
"""Version of what is kept; raise it when equal images would be grouped otherwise."""
_TRAIN = SPLITS.index("train")

Groups = Int64[np.ndarray, " images"]
"""The number of each image's group; -1 where there is no near-copy."""


class NearCopies(Artifact):
    """`groups.npy`, the group of each row of the ImageFacts; `left_out.json`, keys of images not trained on."""

    facts: str
    """Digest of the ImageFacts."""
    groups: int
    """Groups of two images or more."""
    images: int
    """Images in them."""
    largest: int
    """Images of the largest."""
    straddling: int
    """Groups with images both to train on and held out."""
    left_out: int
    """Images of those groups that are there to train on."""
    list_digest: str
    """Digest of the list of their keys."""

    @property
    def numbers(self) -> Groups:
        """The group of each row of the facts; groups are numbered by their first image."""
        numbers: Groups = np.load(self.path / "groups.npy", allow_pickle=False)
        return numbers

    @property
    def list_path(self) -> Path:
        """The file that lists the keys of the images left out."""
        return self.path / "left_out.json"


def near_copies(shards: ShardSet, store: Store, executor: ExecutorConfig = LOCAL) -> NearCopies:
    """Return the groups of near-copies among the images of `shards`, found only if the store lacks them.

    `executor` takes the images' facts, if the store lacks those; it changes nothing.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """
    facts = image_facts(shards, store, executor=executor)

    def write(draft: Path) -> Mapping[str, Any]:
        groups = grouped(near_pairs(facts.prints), facts.images)
        return _write(draft, groups, facts)

    return store.materialise(NearCopies, _inputs(facts), write)


def find_near_copies(shards: ShardSet, store: Store) -> NearCopies | None:
    """Return what `near_copies` would reuse, or None."""
    facts = find_image_facts(shards, store)
    return None if facts is None else store.find(NearCopies, _inputs(facts))


def grouped(pairs: Pairs, count: int) -> Groups:
    """Return the group of each of `count` images: those that a chain of pairs connects, numbered by their first."""
    ends = (pairs[:, 0], pairs[:, 1])
    joined = coo_array((np.ones(len(pairs), np.bool_), ends), shape=(count, count))
    _, labels = connected_components(joined, directed=False)
    sizes = np.bincount(labels, minlength=1)
    ranks = np.cumsum(sizes > 1) - 1  # components are numbered by their first image already
    groups: Groups = np.where(sizes[labels] > 1, ranks[labels], -1).astype(np.int64)
    return groups


def left_out(groups: Groups, splits: Shaped[np.ndarray, " images"]) -> Bool[np.ndarray, " images"]:
    """Return which images are not trained on: those to train on whose group has an image that is held out.

    The rule looks at the images alone, not at the order in which they came, and moves none: what is held out stays so
    while data grow. An image that is trained on today is left out from the night on in which a near-copy of it is held
    out. The other way round, moving a group as a whole, would let a new image change the split of old ones, and could
    train on what an evaluation set has pinned.
    """
    is_held = splits != _TRAIN
    held_groups = np.unique(groups[is_held & (groups >= 0)])
    out: Bool[np.ndarray, " images"] = ~is_held & np.isin(groups, held_groups)
    return out


def read_left_out(path: Path) -> list[str]:
    """Return the keys in a list of images left out."""
    keys: list[str] = json.loads(path.read_text())
    return keys


def _inputs(facts: ImageFacts) -> dict[str, Any]:
    return {"code": _CODE, "facts": facts.digest, "reach": REACH_BITS, "apart": APART}


def _write(draft: Path, groups: Groups, facts: ImageFacts) -> Mapping[str, Any]:
    rows = facts.rows
    out = left_out(groups, rows["split"])
    keys = sorted(key.decode() for key in rows["key"][out])
    np.save(draft / "groups.npy", groups, allow_pickle=False)
    (draft / "left_out.json").write_text(json.dumps(keys))
    sizes = np.bincount(groups[groups >= 0])
    return {
        "facts": facts.digest,
        "groups": len(sizes),
        "images": int(sizes.sum()),
        "largest": int(sizes.max(initial=0)),
        "straddling": len(np.unique(groups[out])),
        "left_out": len(keys),
        "list_digest": digest_of(keys),
    }
