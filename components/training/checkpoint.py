"""Checkpoints: a training state on disk, written in the background, never half visible, verified before use.

A checkpoint is a folder named by images seen, renamed into place when its files are durable. Loading takes the newest
one whose sha256 holds, so a torn or damaged checkpoint costs one interval and not the run.
"""

import json
import logging
import shutil
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.artifacts.files import DRAFT, draft_folder, remove_folder, sha256_of
from components.section import digest_of
from components.training.state import Tensors, TrainingState, under

_SCHEMA = 2
_TENSORS = "state.safetensors"
_FACTS = "state.json"
_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes checkpoints of one run from a background thread; training waits only for the copy to memory.

    There is one writer per folder, in the main process.
    """

    def __init__(
        self, folder: Path, run: str, keep: int, resumed_at: int | None = None, keep_every: int | None = None
    ) -> None:
        self.folder = folder
        self.run = run
        self.keep = keep
        self.keep_every = keep_every
        self.durable = resumed_at
        """Images seen at the newest checkpoint that is safely on disk; None if there is none."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._saved = resumed_at  # the checkpoint at this place is whole, there is no need to write it again
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob(f".*{DRAFT}"):  # of a writer that was killed
            shutil.rmtree(draft)

    def save(self, state: TrainingState, *, good: bool = True) -> None:
        """Begin to write `state`; raises what went wrong with the one before.

        Args:
            state: It may go on changing at once.
            good: Whether a run that diverges later may go back to it.
        """
        self.wait()
        if state.images == self._saved:
            return
        facts = {"schema": _SCHEMA, "run": self.run, "good": good, **state.facts()}
        self._pending = self._thread.submit(self._write, state.tensors(), facts)
        self._saved = state.images

    def wait(self) -> None:
        """Return when the last checkpoint is durable.

        Raises:
            OSError: It could not be written. Earlier checkpoints are untouched.
            SafetensorError: Likewise; what safetensors makes of a full disk.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            saved, self._saved = self._saved, self.durable
            pending.result()
            self.durable = self._saved = saved

    def close(self) -> None:
        """Wait and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, tensors: Tensors, facts: dict[str, Any]) -> None:
        from safetensors.torch import save_file  # imports torch

        with draft_folder(self.folder / f"{facts['images']:012d}") as draft:  # in the way is at most a damaged one
            save_file(tensors, draft / _TENSORS)
            facts = facts | {"sha256": sha256_of(draft / _TENSORS)}
            (draft / _FACTS).write_text(json.dumps(facts | {"digest": digest_of(facts)}, indent=1))
        self._retain(facts["images"])

    def _retain(self, newest: int) -> None:
        places = {int(path.name): path for path in _finished_folders(self.folder)}
        older = [place for place in places if place <= newest]  # newer ones are damaged, or were gone back from
        stay = places_to_keep(older, [place for place in older if _is_good(places[place])], self.keep, self.keep_every)
        for place in places.keys() - stay:
            remove_folder(places[place])


def places_to_keep(places: Collection[int], good: Collection[int], last: int, every: int | None) -> set[int]:
    """Return the places, in images seen, whose checkpoints stay.

    The best average needs no rule: every checkpoint carries it.

    Args:
        places: All there are.
        good: Those that a diverged run may go back to. The newest of all stays too, also if it is none of them: it may
            be of a stop, which must not push out what the run would have gone back to without the stop.
        last: How many of the newest good ones stay.
        every: The first one of each so many images stays; None keeps none for that.
    """
    ordered = sorted(places)
    stay = {*ordered[-1:], *sorted(good)[-last:]}
    if every is not None:
        first: dict[int, int] = {}
        for place in ordered:
            first.setdefault(place // every, place)
        stay |= {place for number, place in first.items() if number > 0}
    return stay


def load_newest(folder: Path, run: str, state: TrainingState, *, good: bool = False) -> bool:
    """Restore the newest whole checkpoint of `run` into `state`; return whether there was one.

    With `good`, only one that was saved as good is taken.

    Raises:
        ValueError: A checkpoint is of another run, or does not fit these networks; resuming it would mix experiments.
    """
    from safetensors.torch import load_file  # imports torch

    for path in _finished_folders(folder):
        try:
            facts = _verify(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s: not a whole checkpoint (%s); trying an older one", path, error)
            continue
        if facts["run"] != run:
            raise ValueError(f"{path}: belongs to run {facts['run']}, this is run {run}")
        if good and not facts["good"]:
            continue
        try:
            state.restore(load_file(path / _TENSORS), facts)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return True
    return False


def load_weights(path: Path, producer: str, images: int) -> Tensors:
    """Return the weights in the checkpoint `path` of a finished training, by their names in its networks.

    Args:
        path: Folder of the checkpoint.
        producer: The network whose averaged weights are taken in place of its own.
        images: Images seen when these were averaged: at the end, or at the best score before.

    Raises:
        ValueError: The checkpoint is damaged.
    """
    from safetensors.torch import load_file  # imports torch

    try:
        facts = _verify(path)
        tensors = load_file(path / _TENSORS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a whole checkpoint ({error})") from error
    best = facts["best"]
    averaged = "best/" if best is not None and best["images"] == images else f"average/{producer}/"
    average = {f"{producer}.{name}": tensor for name, tensor in under(averaged, tensors).items()}
    return under("network/", tensors) | average


def _verify(path: Path) -> dict[str, Any]:
    """Return a checkpoint's facts once they and the tensors have proved undamaged."""
    facts: dict[str, Any] = json.loads((path / _FACTS).read_bytes())
    recorded = facts.pop("digest")
    if recorded != digest_of(facts) or facts["schema"] != _SCHEMA:
        raise ValueError(f"{_FACTS} is damaged, or of another version")
    if facts["sha256"] != sha256_of(path / _TENSORS):
        raise ValueError(f"the sha256 of {_TENSORS} is not the recorded one")
    return facts


def _is_good(path: Path) -> bool:
    """Return whether a checkpoint says that it may be gone back to; whether it is whole is asked when it is loaded."""
    try:
        return bool(json.loads((path / _FACTS).read_bytes())["good"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest_place(folder: Path) -> int | None:
    """Return the images seen at the newest checkpoint in `folder`, None if there is none."""
    return next((int(path.name) for path in _finished_folders(folder)), None)


def _finished_folders(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)
