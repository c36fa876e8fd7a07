"""Audit: whether what a store keeps is what its manifests say, read where it is and not only in a local copy."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.artifacts.artifact import MANIFEST, Artifact, ArtifactError, read_manifest
from components.artifacts.files import StorageError, checked_key
from components.artifacts.store import SharedStore, Store
from components.section import digest_of

Progress = Callable[[str, int, int | None], None]
"""Takes what is looked at, how many bytes of it are done, and of how many."""


def audit(store: Store, folder: str, digest: str, *, deep: bool, progress: Progress) -> Iterator[str]:
    """Yield what is wrong with one artifact or with one that holds files of it, in words; nothing if all is whole.

    A folder's files are always hashed. In a shared store every object's presence, length and recorded sha256 are
    compared, and the local copy, if there is one, is hashed.

    Args:
        store: Where the artifact is.
        folder: The kind's folder, such as "shardset".
        digest: Its digest.
        deep: Also read every byte of a shared store's objects and hash it.
        progress: Told of bytes read.
    """
    for one in (digest, *_holders(store, folder, digest)):
        yield from _of_one(store, folder, one, deep=deep, progress=progress)


def audit_all(store: Store, *, deep: bool, progress: Progress) -> Iterator[tuple[str, str]]:
    """Yield the name and one problem, in words, of every artifact of the store with which something is wrong."""
    for folder in store.folders():
        digests = list(store.digests(folder))
        for digest in digests:
            for problem in _of_one(store, folder, digest, deep=deep, progress=progress):
                yield f"{folder}/{digest}", problem
            for holder in set(_holders(store, folder, digest)) - set(digests):
                yield f"{folder}/{digest}", f"files of it are to lie in {folder}/{holder}, which is not there"


def _of_one(store: Store, folder: str, digest: str, *, deep: bool, progress: Progress) -> Iterator[str]:
    try:
        manifest = store.manifest(folder, digest)
        yield from _name_problems(manifest, folder, digest)
        if isinstance(store, SharedStore):
            yield from _in_bucket(store, f"{folder}/{digest}", manifest, deep=deep, progress=progress)
            yield from _local_copy(store, folder, digest, manifest)
        else:
            Artifact(path=store.root / folder / digest, digest=digest).verify()
    except (ArtifactError, StorageError, ValueError) as error:
        yield str(error)


def _holders(store: Store, folder: str, digest: str) -> Sequence[str]:
    try:
        holders: Sequence[str] = store.manifest(folder, digest).get("holders", ())
    except (ArtifactError, StorageError):
        return ()  # told of already
    return holders


def _name_problems(manifest: dict[str, Any], folder: str, digest: str) -> Iterator[str]:
    if manifest["kind"].lower() != folder:
        yield f"{folder}/{digest}: its manifest is that of a {manifest['kind']}"
    if digest_of([manifest["kind"], manifest["inputs"]]) != digest:
        yield f"{folder}/{digest}: the inputs in its manifest are not those that it is named by"


def _in_bucket(
    store: SharedStore, place: str, manifest: dict[str, Any], *, deep: bool, progress: Progress
) -> Iterator[str]:
    files: dict[str, dict[str, Any]] = manifest["files"]
    total, done = sum(facts["bytes"] for facts in files.values()), 0
    for name, facts in files.items():
        key = f"{place}/{facts['sha256']}/{checked_key(name)}"
        there = store.remote.stat(key)
        if there is None:
            yield f"{store.place}/{key}: missing"
        elif there.size != facts["bytes"]:
            yield f"{store.place}/{key}: {there.size:,} bytes, the manifest says {facts['bytes']:,}"
        elif there.sha256 not in {None, facts["sha256"]}:
            yield f"{store.place}/{key}: the sha256 recorded with it is not the one in the manifest"
        elif deep and store.remote.sha256(key) != facts["sha256"]:
            yield f"{store.place}/{key}: its bytes were altered: their sha256 is not the one in the manifest"
        done += facts["bytes"]
        progress(place, done, total)


def _local_copy(store: SharedStore, folder: str, digest: str, manifest: dict[str, Any]) -> Iterator[str]:
    path = store.root / folder / digest
    if not (path / MANIFEST).is_file():
        return
    if read_manifest(path) != manifest:
        yield f"{path}: the local copy's manifest is not the store's; delete the copy"
        return
    try:
        Artifact(path=path, digest=digest).verify()
    except ArtifactError as error:
        yield f"the local copy: {error}; delete {path}"
