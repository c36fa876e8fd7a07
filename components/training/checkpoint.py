"""Checkpoints: a training state on disk, written in the background, never half visible, verified before use.

A checkpoint is a folder named by images seen, renamed into place when its files are durable. Loading takes the newest
one whose sha256 holds, so a torn or damaged checkpoint costs one interval and not the run.
"""

import json
import logging
import os
import shutil
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from components.artifacts import sha256_of, sync_folder
from components.training.state import TrainingState

_SCHEMA = 1
_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes checkpoints of one run from a background thread; training waits only for the copy to memory."""

    def __init__(self, folder: Path, run: str, keep: int) -> None:
        self.folder = folder
        self.run = run
        self.keep = keep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: TrainingState) -> None:
        """Begin to write `state`; raises what went wrong with the one before."""
        self.wait()
        facts = {"schema": _SCHEMA, "run": self.run, "images": state.images, "skipped": state.guard.skipped}
        self._pending = self._thread.submit(self._write, state.tensors(), facts)

    def wait(self) -> None:
        """Return when the last checkpoint is durable.

        Raises:
            OSError: It could not be written, e.g. because the disk is full. Earlier checkpoints are untouched.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Wait and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, tensors: dict[str, Tensor], facts: dict[str, object]) -> None:
        final = self.folder / f"{facts['images']:012d}"
        if final.exists():
            return
        draft = self.folder / f".{final.name}.{uuid.uuid4().hex[:8]}.part"
        draft.mkdir()
        try:
            save_file(tensors, draft / "state.safetensors")
            facts = facts | {"sha256": sha256_of(draft / "state.safetensors")}
            (draft / "state.json").write_text(json.dumps(facts, indent=1))
            for file in draft.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            sync_folder(draft)
            draft.rename(final)
            sync_folder(self.folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in _finished(self.folder)[self.keep :]:
            shutil.rmtree(old)


def load_newest(folder: Path, run: str, state: TrainingState) -> bool:
    """Restore the newest whole checkpoint of `run` into `state`; return whether there was one.

    Raises:
        ValueError: A checkpoint is of another run; resuming it would mix two experiments.
    """
    for path in _finished(folder):
        try:
            facts = json.loads((path / "state.json").read_bytes())
            intact = facts["schema"] == _SCHEMA and facts["sha256"] == sha256_of(path / "state.safetensors")
        except (OSError, ValueError, KeyError) as error:
            _log.warning("%s: not a whole checkpoint (%s); trying an older one", path, error)
            continue
        if not intact:
            _log.warning("%s: sha256 differs from the recorded one; trying an older one", path)
            continue
        if facts["run"] != run:
            raise ValueError(f"{path}: belongs to run {facts['run']}, this is run {run}")
        state.restore(load_file(path / "state.safetensors"), facts["images"], facts["skipped"])
        return True
    return False


def _finished(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)
