"""Gathering: tiles of requests that wait for the same network go through it together, and get what they would alone."""

import threading
from dataclasses import dataclass, field

import numpy as np

from components.recipes.recipe import Images, Missing, Producer, Restorer
from components.serving.measuring import Measures

_MOST_PIXELS, _MOST_TILES = 1 << 19, 16
"""Of a batch: more gain nothing on a CPU and take memory."""


@dataclass(eq=False)
class _Piece:
    """Tiles that one request waits for."""

    corrupted: Images
    missing: Missing
    answer: Images | None = None
    failure: Exception | None = None
    settled: bool = field(default=False)


class GatheringRestorer:
    """A Restorer for many threads, of which one at a time mends what waits by then, if it is of one size.

    Nobody waits for others to come: a request that is alone is mended at once.
    """

    def __init__(self, inner: Restorer, measures: Measures) -> None:
        self._inner, self._measures = inner, measures
        self.stride = inner.stride
        self.restores_known = inner.restores_known
        self._waiting: list[_Piece] = []
        self._list, self._network = threading.Lock(), threading.Lock()

    def restore(self, corrupted: Images, missing: Missing) -> Images:
        """Return whole pictures."""
        piece = _Piece(corrupted, missing)
        with self._list:
            self._waiting.append(piece)
        with self._network:
            if not piece.settled:
                self._mend(self._batch_with(piece))
        if piece.answer is None:
            assert piece.failure is not None
            raise piece.failure
        return piece.answer

    def _batch_with(self, piece: _Piece) -> list[_Piece]:
        """Take a piece from those that wait, and as many of its size as fit."""
        with self._list:
            alike = [one for one in self._waiting if one is not piece and _shape(one) == _shape(piece)]
            room = max(0, min(_MOST_TILES, _MOST_PIXELS // piece.missing.size) - 1)
            batch = [piece, *alike[:room]]
            self._waiting = [one for one in self._waiting if one not in batch]
        return batch

    def _mend(self, batch: list[_Piece]) -> None:
        corrupted = np.concatenate([one.corrupted for one in batch])
        missing = np.concatenate([one.missing for one in batch])
        self._measures.passed(len(corrupted))
        try:
            mended = self._inner.restore(corrupted, missing)
        except Exception as error:
            for one in batch:
                one.failure, one.settled = error, True
            raise
        ends = np.cumsum([len(one.corrupted) for one in batch])
        for one, answer in zip(batch, np.split(mended, ends[:-1]), strict=True):
            one.answer, one.settled = answer, True


def gathered(producer: Producer, measures: Measures) -> Producer:
    """Return a producer that gathers, where pictures do not depend on what they are gathered with.

    Mended ones do not, but for single levels of single pixels with the network `ffc`; drawn ones do so more often, and
    equal wishes are to have equal answers.
    """
    return GatheringRestorer(producer, measures) if isinstance(producer, Restorer) else producer


def _shape(piece: _Piece) -> tuple[int, ...]:
    return piece.missing.shape[1:]
