"""Removal: an artifact deleted for good, where the store keeps it and in its local copy."""

from components.artifacts.artifact import MANIFEST
from components.artifacts.files import checked_key, remove_folder
from components.artifacts.store import SharedStore, Store


def remove(store: Store, folder: str, digest: str) -> None:
    """Delete an artifact; nothing happens if there is none. Killed on the way, it leaves nothing that looks finished.

    Args:
        store: Where it is.
        folder: Its kind's folder, such as "shardset".
        digest: Its digest.

    Raises:
        StorageError: A shared store cannot be reached; the next call goes on from there.
    """
    place = f"{folder}/{checked_key(digest)}"
    if isinstance(store, SharedStore):
        store.remote.delete(f"{place}/{MANIFEST}")
        for key in list(store.remote.list(f"{place}/")):
            store.remote.delete(key)
    remove_folder(store.root / place)
