"""Compiling: how long it is until each network takes steps, all side by side; other parts use what was compiled."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import trainings
from trainings import Piece

from components.data import ShardSet

_STEPS = 12  # at most: of every kind that is compiled
_IN_THE_REHEARSAL = ("dcgan",)


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield of each network the seconds from the training's start until it has taken a few steps."""
    shards = trainings.drawn(scale, folder)
    names = _IN_THE_REHEARSAL if scale.small else tuple(trainings.MODELS)
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(names)) as pool:
        running = {name: pool.apply_async(_seconds, (name, scale, shards, folder / name)) for name in names}
        for name, result in running.items():
            yield Piece({"model": name}, result.get)


def _seconds(name: str, scale: trainings.Scale, shards: ShardSet, folder: Path) -> dict[str, float]:
    job = trainings.job_of(name, scale, shards, folder, 10**9, step="graph", compile=not scale.small)
    begun = time.monotonic()
    trainings.train(job, scale.device, seconds=0.0, after=min(_STEPS, trainings.REPORT_STEPS[name]))
    return {"seconds": time.monotonic() - begun}
