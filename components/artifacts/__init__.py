"""Artifacts: finished directories named by what determined them, and the stores that keep them."""

from components.artifacts.artifact import MANIFEST, Artifact, ArtifactError, read_manifest
from components.artifacts.files import sha256_of, sync_folder, write_atomically
from components.artifacts.store import SharedStore, Store

__all__ = [
    "MANIFEST",
    "Artifact",
    "ArtifactError",
    "SharedStore",
    "Store",
    "read_manifest",
    "sha256_of",
    "sync_folder",
    "write_atomically",
]
