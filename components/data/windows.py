"""Windows: passes that shuffle tars, and then images within a window of tars, so that few tars are in use at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from components.seeding import numpy_generator

_Images = Int64[np.ndarray, " images"]
_Tars = Int64[np.ndarray, " tars"]
_Ends = Int64[np.ndarray, " windows"]
_Places = Int64[np.ndarray, " places"]


@dataclass(frozen=True)
class Windows:
    """How the images of a split lie in tars, and how many of these are shuffled together.

    The order of a pass follows from seed, pass, data version and tars alone: these by lot, in windows of `size`, then
    the images of each window by lot. A shuffle buffer of as many images comes near it, but no place of what that gives
    is known without those before.
    """

    tars: _Images
    """Of each image, by its number, the number of its tar."""
    size: int
    """Tars of a window; the last one of a pass may have fewer."""

    def of_pass(self, seed: int, pass_number: int, dataset_digest: str) -> "WindowedPass":
        """Return one pass over the images.

        Args:
            seed: Seed of the run.
            pass_number: 0 for the first time through the data.
            dataset_digest: Digest of the ShardSet; other data, another order.
        """
        present, counts = self._present
        drawn = numpy_generator(seed, "tars", pass_number, dataset_digest).permutation(len(present))
        firsts = np.arange(0, len(drawn), self.size)
        ends = np.cumsum(np.add.reduceat(counts[drawn], firsts))
        return WindowedPass(self, (seed, pass_number, dataset_digest), drawn, ends)

    def only(self, images: Int64[np.ndarray, " some"]) -> "Windows":
        """Return the same of some images, by their new numbers."""
        return Windows(self.tars[images], self.size)

    @cached_property
    def _present(self) -> tuple[_Tars, _Tars]:
        """The numbers of tars with images, and how many these are."""
        return np.unique(self.tars, return_counts=True)

    @cached_property
    def _by_tar(self) -> tuple[_Images, Int64[np.ndarray, " starts"]]:
        """The images in the order of their tars, and where those of each begin."""
        return np.argsort(self.tars, kind="stable"), np.concatenate(([0], np.cumsum(self._present[1])))

    def images(self, places: _Tars) -> _Images:
        """Return the images of tars, these given by their places among those that are present."""
        order, starts = self._by_tar
        return np.concatenate([order[starts[place] : starts[place + 1]] for place in places.tolist()])

    def numbers(self, places: _Tars) -> list[int]:
        """Return the numbers of tars, these given likewise."""
        found: list[int] = self._present[0][places].tolist()
        return found


class WindowedPass:
    """One pass: any place of it at once."""

    def __init__(self, windows: Windows, stream: tuple[int, int, str], tars: _Tars, ends: _Ends) -> None:
        self._windows, self._stream = windows, stream
        self._tars, self._ends = tars, ends
        self._orders: dict[int, _Images] = {}

    def images(self, places: _Places) -> _Places:
        """Return the numbers of the images at places of the pass."""
        numbers, windows = np.empty_like(places), np.searchsorted(self._ends, places, "right")
        for window in np.unique(windows).tolist():
            chosen = windows == window
            numbers[chosen] = self._order(window)[places[chosen] - (self._ends[window - 1] if window else 0)]
        return numbers

    def tars_from(self, place: int) -> Iterator[list[int]]:
        """Yield the numbers of the tars of each window, beginning with that of a place of the pass."""
        for window in range(int(np.searchsorted(self._ends, place, "right")), len(self._ends)):
            yield self._windows.numbers(self._of(window))

    def _of(self, window: int) -> _Tars:
        return self._tars[window * self._windows.size : (window + 1) * self._windows.size]

    def _order(self, window: int) -> _Images:
        if (order := self._orders.get(window)) is None:
            for old in sorted(self._orders)[:-1]:
                self._orders.pop(old, None)
            images = self._windows.images(self._of(window))
            seed, number, digest = self._stream
            order = images[numpy_generator(seed, "window", number, window, digest).permutation(len(images))]
            self._orders[window] = order
        return order
