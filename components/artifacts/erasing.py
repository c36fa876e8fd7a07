"""Erasing: an artifact that must leave no byte, also where its writer or who deleted it was killed on the way."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from components.artifacts.files import DRAFT
from components.artifacts.store import STREAMED, Store


def erase(store: Store, artifact: str) -> None:
    """Delete KIND/DIGEST from a store and from this machine, finished or not; nobody may be writing it.

    Killed on the way, the same call goes on.
    """
    store.discard(artifact)
    for draft in _drafts(store, artifact):
        shutil.rmtree(draft)


def left_of(store: Store, artifact: str) -> Iterator[str]:
    """Yield the names of what is left of KIND/DIGEST in a store and on this machine."""
    yield from (f"{store.place}/{key}" for key in store.storage.list(f"{artifact}/"))
    here = [store.root / artifact, store.root / STREAMED / artifact.rpartition("/")[2], *_drafts(store, artifact)]
    yield from (str(path) for path in here if path.exists())


def _drafts(store: Store, artifact: str) -> list[Path]:
    kind, _, digest = artifact.rpartition("/")
    return sorted((store.root / kind).glob(f".{digest}.*{DRAFT}"))
