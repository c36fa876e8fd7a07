"""Trash: what a store's collector means to delete: marked first and deleted later, unless somebody uses it meanwhile.

Of an artifact KIND/DIGEST two small contents may lie beside the artifacts. `trash/KIND/DIGEST.mark` says that nothing
was seen to need it; the artifact stays, and is found as before. `trash/KIND/DIGEST.verdict` is written where none is
yet, so that of a collector who deletes it and a stage that uses it again one is first, and both know who. Whoever dies
in between leaves a mark, and the next collector, or the next who wants the artifact, goes on from there.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from components.artifacts.files import Listed
from components.artifacts.storage import Storage
from components.servers.patience import ServerAwayError, outlast

TRASH = "trash"
"""Folder of the marks."""

_MARK, _VERDICT = ".mark", ".verdict"
_KEEP, _DELETE = b"keep", b"delete"
_LEASE_S = 600.0
"""A deletion takes seconds. One that was begun so long ago has nobody who ends it, and may be taken over."""

_CLOCK_S = 1.0
"""A listing and an answer may round the time of one content differently."""


class Trash:
    """The marks in one storage. An artifact is called KIND/DIGEST."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def marks(self) -> dict[str, Listed]:
        """Return the marks by artifact."""
        return self._listed(_MARK)

    def tidy(self) -> None:
        """Remove verdicts that a kill left without a mark."""
        marks, verdicts = self._listed(_MARK), self._listed(_VERDICT)
        for artifact, one in verdicts.items():
            if artifact not in marks and time.time() - one.at > _LEASE_S:  # else its writer is about to remove it
                self._storage.delete(one.key)

    def mark(self, artifact: str) -> None:
        """Mark an artifact as one that may be deleted later."""
        self._storage.put_if_absent(_mark_of(artifact), b"{}")

    def keep(self, artifact: str, delete: Callable[[], None]) -> None:
        """Take an artifact off the marks because it is used again; if it is being deleted, wait until that is over.

        Args:
            artifact: What is about to be used, whether or not it is marked or there.
            delete: Deletes it; called where whoever began to is gone.

        Raises:
            PatienceEndedError: It is being deleted, for longer than this process waits.
        """
        mark = _mark_of(artifact)
        while self._storage.exists(mark):
            if self._decide(artifact, _KEEP):
                self._forget(artifact)
                return
            outlast(f"a collector that deletes {artifact}", lambda: self._end_of(artifact, delete))

    def claim(self, artifact: str, mark: Listed) -> bool:
        """Return whether the caller alone may delete the artifact now, and then calls `done`.

        Args:
            artifact: What is to go.
            mark: Its mark, as it was listed; a later one does not count.
        """
        if not self._decide(artifact, _DELETE) and not self._is_left(artifact):
            return False
        there = self._storage.stat(mark.key)
        if there is not None and abs(there.at - mark.at) < _CLOCK_S:
            return True
        self._storage.delete(_verdict_of(artifact))  # taken off the marks between the listing and the verdict
        return False

    def done(self, artifact: str) -> None:
        """Forget an artifact that is deleted."""
        self._forget(artifact)

    def _listed(self, what: str) -> dict[str, Listed]:
        listed = ((one.key.removeprefix(f"{TRASH}/"), one) for one in self._storage.entries(f"{TRASH}/"))
        return {key.removesuffix(what): one for key, one in listed if key.endswith(what)}

    def _decide(self, artifact: str, verdict: bytes) -> bool:
        """Return whether the verdict on an artifact is this one, by us or by others who want to keep it, too."""
        key = _verdict_of(artifact)
        if self._storage.put_if_absent(key, verdict):
            return True
        with suppress(FileNotFoundError):  # forgotten meanwhile
            return verdict == _KEEP and self._storage.read_bytes(key) == _KEEP
        return False

    def _is_left(self, artifact: str) -> bool:
        """Return whether a verdict was left by somebody who is gone: then a deletion may be taken over."""
        key = _verdict_of(artifact)
        there = self._storage.stat(key)
        if there is None or time.time() - there.at < _LEASE_S:
            return False
        with suppress(FileNotFoundError):
            if self._storage.read_bytes(key) == _DELETE:
                return True
            self._forget(artifact)
        return False

    def _end_of(self, artifact: str, delete: Callable[[], None]) -> None:
        verdict = self._storage.stat(_verdict_of(artifact))
        if verdict is None or not self._storage.exists(_mark_of(artifact)):
            return
        if time.time() - verdict.at < _LEASE_S:
            raise ServerAwayError("it began moments ago")
        delete()
        self._forget(artifact)

    def _forget(self, artifact: str) -> None:
        # The mark first: without it nobody asks for a verdict.
        self._storage.delete(_mark_of(artifact))
        self._storage.delete(_verdict_of(artifact))


def _mark_of(artifact: str) -> str:
    return f"{TRASH}/{artifact}{_MARK}"


def _verdict_of(artifact: str) -> str:
    return f"{TRASH}/{artifact}{_VERDICT}"
