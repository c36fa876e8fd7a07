"""Storage in a local folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from components.artifacts.files import (
    DRAFT,
    Listed,
    Stat,
    checked_key,
    copy_checked,
    draft_of,
    sha256_of,
    sync_file,
    sync_folder,
)

_SWEPT_AT_MOST = 3


class FolderStorage:
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def exists(self, key: str) -> bool:
        """Whether there is content under `key`."""
        return self._path(key).is_file()

    def stat(self, key: str) -> Stat | None:
        """Return the length of the file under `key`, or None if there is none."""
        try:
            there = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(there.st_size, None, there.st_mtime) if S_ISREG(there.st_mode) else None

    def sha256(self, key: str) -> str:
        """Return the sha256 of the bytes under `key`."""
        return sha256_of(self._path(key))

    def read_bytes(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to, not including, `end`."""
        with self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else max(0, end - start))

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write unless the key is taken; return whether this call wrote."""
        for _ in range(_SWEPT_AT_MOST):
            with suppress(FileNotFoundError):  # a collector whose clock is ahead took the draft for one that was left
                return self._link_if_absent(self._place(key), content)
        return self._link_if_absent(self._place(key), content)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in order; drafts are none."""
        yield from (one.key for one in self.entries(prefix))

    def entries(self, prefix: str = "") -> Iterator[Listed]:
        """Yield what lies under the keys that begin with `prefix`, in order; drafts are none."""
        found = []
        for folder, below, names in os.walk(self.root / prefix.rpartition("/")[0]):
            below[:] = [name for name in below if not name.endswith(DRAFT)]
            for path in (Path(folder) / name for name in names if not name.endswith(DRAFT)):
                key = path.relative_to(self.root).as_posix()
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if key.startswith(prefix) and S_ISREG((there := path.stat()).st_mode):
                        found.append(Listed(key, there.st_size, there.st_mtime))
        yield from sorted(found, key=lambda one: one.key)

    def remove_unfinished(self, before: float) -> int:
        """Delete drafts whose writers were killed: those that nobody has written to since `before`."""
        removed = 0
        for folder, below, names in os.walk(self.root):
            drafts = [name for name in (*below, *names) if name.startswith(".") and name.endswith(DRAFT)]
            below[:] = [name for name in below if name not in drafts]
            for draft in (Path(folder) / name for name in drafts):
                with suppress(FileNotFoundError):  # its writer has just finished
                    if max(path.stat().st_mtime for path in (draft, *draft.rglob("*"))) < before:
                        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
                        removed += 1
        return removed

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key."""
        self._path(key).unlink(missing_ok=True)

    def upload_file(self, path: Path, key: str) -> None:
        """Copy a local file in."""
        copy_checked(path, self._place(key), None)

    def download_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Copy out to a local file, which appears when its sha256 is right."""
        copy_checked(self._path(key), path, sha256)

    def _link_if_absent(self, path: Path, content: bytes) -> bool:
        draft = draft_of(path)
        try:
            draft.write_bytes(content)
            sync_file(draft)
            path.hardlink_to(draft)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _place(self, key: str) -> Path:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
