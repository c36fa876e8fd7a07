"""Reach: what a store keeps, and which of it something in use needs, directly or through other artifacts."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from components.artifacts.artifact import MANIFEST, Artifact, ArtifactError, digests_in, kinds
from components.artifacts.store import Store
from components.artifacts.trash import TRASH

RECORDS = "records"
_DEPTH = 3
_AT_ONCE = 16


@dataclass(frozen=True)
class Kept:
    """One artifact, or what is left of one."""

    folder: str
    """Of its kind, such as "checkpoint"."""
    digest: str
    bytes: int
    """Size of all its files, the manifest included."""
    at: float
    """When its newest file was written, in seconds since 1970."""
    is_whole: bool
    """Whether there is a manifest: without one nobody finds it."""

    @property
    def name(self) -> str:
        """KIND/DIGEST."""
        return f"{self.folder}/{self.digest}"


def survey(store: Store) -> dict[str, Kept]:
    """Return all that the store keeps, by digest, from one listing. Records and marks are no artifacts."""
    found: dict[str, Kept] = {}
    for one in store.storage.entries():
        folder, *below = one.key.split("/")
        if folder in {RECORDS, TRASH} or len(below) < _DEPTH - 1:
            continue
        digest, known = below[0], found.get(below[0])
        if digests_in(digest) != {digest}:  # a cache holds other things, too
            continue
        found[digest] = Kept(
            folder,
            digest,
            one.size + (known.bytes if known else 0),
            max(one.at, known.at if known else one.at),
            below[1:] == [MANIFEST] or (known is not None and known.is_whole),
        )
    return found


def reach(
    kept: Mapping[str, Kept], manifests: Mapping[str, dict[str, Any] | str], roots: Mapping[str, str]
) -> dict[str, str]:
    """Return why artifacts are needed, by digest; those that are missing nothing needs.

    Args:
        kept: What is there.
        manifests: Of each that is whole, as `manifests_of` returns them. One that could not be read counts as needed:
            nobody knows what it is.
        roots: Why a digest is in use, by digest, of artifacts and of other things that they tell of.
    """
    asked, why = kinds(), {digest: words for digest, words in roots.items() if digest in kept}
    for digest, manifest in manifests.items():
        if isinstance(manifest, str):
            why.setdefault(digest, f"not readable: {manifest}")
        elif used := roots.keys() & asked.get(kept[digest].folder, Artifact).belongs_to(manifest):
            why.setdefault(digest, f"tells of {roots[min(used)]}")
    left = list(why)
    while left:
        digest = left.pop()
        manifest = manifests.get(digest, "")
        if isinstance(manifest, str):
            continue
        for needed in asked.get(kept[digest].folder, Artifact).needs(manifest) - why.keys():
            if needed in kept:
                why[needed] = f"needed by a {kept[digest].folder}"
                left.append(needed)
    return why


def manifests_of(store: Store, kept: Mapping[str, Kept]) -> dict[str, dict[str, Any] | str]:
    """Return the manifests of the artifacts that have one, by digest; of one that cannot be read, why."""

    def read(one: Kept) -> tuple[str, dict[str, Any] | str]:
        try:
            return one.digest, store.manifest(one.folder, one.digest)
        except ArtifactError as error:
            return one.digest, str(error)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(read, (one for one in kept.values() if one.is_whole)))
