"""Gathering: tiles of requests that wait for the same network go through it together, and get what they would alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from components.deferred.torch import torch
from components.recipes.recipe import Images, Missing, Producer, Restorer
from components.serving.measuring import Measures
from components.workspace import threads_per_process

_MOST_PIXELS, _MOST_TILES = 1 << 19, 16
"""Of a batch: more gain nothing on a CPU and take memory."""
_LARGE_PIXELS = 1 << 17
"""Batches of more pixels are worth all cores; threads of smaller ones wait for each other longer than they work."""


@dataclass(eq=False)
class _Piece:
    """Tiles that one request waits for."""

    corrupted: Images
    missing: Missing
    answer: Images | None = None
    failure: Exception | None = None
    settled: threading.Event = field(default_factory=threading.Event)


class GatheringRestorer:
    """A Restorer for many threads: each that finds the network free mends what waits by then and is of one size.

    Nobody waits for others to come: a request that is alone is mended at once. Small batches go through the network on
    one core each, as many at once as there are cores; a large one has them all.
    """

    def __init__(self, inner: Restorer, measures: Measures, cores: int) -> None:
        self._inner, self._measures = inner, measures
        self.stride = inner.stride
        self.reach_px = inner.reach_px
        self.restores_known = inner.restores_known
        self._waiting: list[_Piece] = []
        self._cores = cores
        self._list, self._whole = threading.Lock(), threading.Lock()
        self._free = threading.BoundedSemaphore(cores)

    def restore(self, corrupted: Images, missing: Missing) -> Images:
        """Return whole pictures."""
        piece = _Piece(corrupted, missing)
        with self._list:
            self._waiting.append(piece)
        with self._free:
            batch = self._batch_with(piece)
            if batch:
                with self._cores_for(batch):
                    self._mend(batch)
        piece.settled.wait()
        if piece.answer is None:
            assert piece.failure is not None
            raise piece.failure
        return piece.answer

    def _batch_with(self, piece: _Piece) -> list[_Piece]:
        """Take a piece from those that wait, and as many of its size as fit; nothing if it was taken by another."""
        with self._list:
            if piece not in self._waiting:
                return []
            alike = [one for one in self._waiting if one is not piece and _shape(one) == _shape(piece)]
            room = max(0, min(_MOST_TILES, _MOST_PIXELS // piece.missing.size) - 1)
            batch = [piece, *alike[:room]]
            self._waiting = [one for one in self._waiting if one not in batch]
        return batch

    @contextmanager
    def _cores_for(self, batch: list[_Piece]) -> Iterator[None]:
        if sum(one.missing.size for one in batch) <= _LARGE_PIXELS:
            torch.set_num_threads(1)  # of the calling thread, and of threads that begin later
            yield
            return
        with self._whole:
            torch.set_num_threads(self._cores)
            yield

    def _mend(self, batch: list[_Piece]) -> None:
        corrupted = np.concatenate([one.corrupted for one in batch])
        missing = np.concatenate([one.missing for one in batch])
        self._measures.passed(len(corrupted))
        try:
            mended = self._inner.restore(corrupted, missing)
        except Exception as error:
            for one in batch:
                one.failure = error
                one.settled.set()
            raise
        ends = np.cumsum([len(one.corrupted) for one in batch])
        for one, answer in zip(batch, np.split(mended, ends[:-1]), strict=True):
            one.answer = answer
            one.settled.set()


def gathered(producer: Producer, measures: Measures, cores: int | None = None) -> Producer:
    """Return a producer that gathers, where pictures do not depend on what they are gathered with.

    Mended ones do not, but for single levels of single pixels with the network `ffc`; drawn ones do so more often, and
    equal wishes are to have equal answers.

    Args:
        producer: What makes or mends pictures.
        measures: Where passes are counted.
        cores: For passes; None takes all of this process.
    """
    if not isinstance(producer, Restorer):
        return producer
    return GatheringRestorer(producer, measures, cores or threads_per_process())


def _shape(piece: _Piece) -> tuple[int, ...]:
    return piece.missing.shape[1:]
