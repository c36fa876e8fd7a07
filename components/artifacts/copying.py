"""Copying: an artifact of a shared store brought to this machine, wholly or without some of its files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from components.artifacts.artifact import MANIFEST, ArtifactError, read_manifest
from components.artifacts.files import checked_key, draft_of, write_atomically
from components.artifacts.storage import Storage
from components.workspace import require_free


def key_of(artifact: str, name: str, sha256: str) -> str:
    """Return where a shared store keeps a file of the artifact KIND/DIGEST."""
    return f"{artifact}/{sha256}/{checked_key(name)}"


@contextmanager
def copied(remote: Storage, artifact: str, path: Path, without: str = "") -> Iterator[Path]:
    """Yield a draft beside `path` with files of an artifact of a shared store; what is left of it goes at the end.

    Args:
        remote: The shared store.
        artifact: KIND/DIGEST.
        path: Where it is to lie.
        without: Shell pattern of the names of files that are not brought.

    Raises:
        ArtifactError: What lies there is another artifact.
        WorkspaceError: There is no room for it.
    """
    draft, digest = draft_of(path), artifact.rpartition("/")[2]
    try:
        draft.mkdir(parents=True)
        write_atomically(draft / MANIFEST, remote.read_bytes(f"{artifact}/{MANIFEST}"))
        manifest = read_manifest(draft)
        if manifest["digest"] != digest:
            raise ArtifactError(f"{remote.url}: {digest} holds the manifest of {manifest['digest']}")
        listed: dict[str, dict[str, Any]] = manifest["files"]
        files = {name: facts for name, facts in listed.items() if not fnmatch(name, without)}
        require_free(draft, sum(facts["bytes"] for facts in files.values()), f"to fetch {digest}")
        for name, facts in files.items():
            target = draft / checked_key(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.download_file(key_of(artifact, name, facts["sha256"]), target, facts["sha256"])
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
