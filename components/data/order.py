"""Order: which images each batch holds, and which of them mirrored; for any number of processes, from any image on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from components.data.cache import PixelSource
from components.data.windows import WindowedPass, Windows
from components.seeding import numpy_generator, stream_key

_Numbers = Int64[np.ndarray, " batch"]
_Pass = Int64[np.ndarray, " images"] | WindowedPass


@dataclass(frozen=True)
class Samples:
    """The images of a split, by number.

    Raises:
        ValueError: There are no images, or keys and images differ in number.
    """

    pixels: PixelSource
    keys: Sequence[str]
    """The images' keys, by number."""
    digest: str
    """Digest of the ShardSet that they come from."""
    labels: Int64[np.ndarray, " images"] | None = None
    """The numbers of the images' classes, by number of the image; None where there are no classes."""
    windows: Windows | None = None
    """Within which of them a pass shuffles; None: all images together."""

    def __post_init__(self) -> None:
        if not len(self.pixels):
            raise ValueError("the split holds no images; a larger source or other split fractions are needed")
        if len(self.keys) != len(self.pixels):
            raise ValueError(f"{len(self.keys)} keys for {len(self.pixels)} images")


@dataclass(frozen=True)
class Share:
    """One rank's rows of every global batch.

    Raises:
        ValueError: The batch does not divide evenly, or there is no such rank.
    """

    batch: int
    """Rows of the global batch, over all ranks."""
    rank: int = 0
    """Which of the processes this is, from 0."""
    processes: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or self.batch % self.processes:
            raise ValueError(f"batch {self.batch}: expected a positive multiple of the {self.processes} processes")
        if not 0 <= self.rank < self.processes:
            raise ValueError(f"rank {self.rank}: expected 0 to {self.processes - 1}")

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.batch // self.processes

    @property
    def offset(self) -> int:
        """Place of the first of them in the global batch."""
        return self.rank * self.rows


class Cut(NamedTuple):
    """Squares that are cut from images and learnt from instead of them."""

    whole: int
    """Side of the images, in pixels."""
    side: int
    """Side of what is learnt from."""
    shrinks: tuple[int, ...] = (1,)
    """How many times as large the squares are cut that are shrunk to it: one of these for each image and pass."""


class Rows(NamedTuple):
    """One rank's rows of a global batch."""

    numbers: _Numbers
    """The images, as they are numbered in the split."""
    passes: _Numbers
    """How often each has been seen before."""
    mirrored: Bool[np.ndarray, " batch"]
    """Whether left and right are exchanged."""
    squares: Int64[np.ndarray, "batch 3"] | None = None
    """Top, left and side, in pixels, of what is cut from each; None where images stay whole."""


class Order:
    """Image number i of a run is place i % N of pass i // N over the N images of a split."""

    def __init__(
        self, samples: Samples, share: Share, *, seed: int, flip: bool = False, cut: Cut | None = None
    ) -> None:
        """Prepare one rank's share of every global batch.

        Args:
            samples: What the passes go over.
            share: Which rows of every global batch are wanted.
            seed: Seed of the run.
            flip: Mirror every other image, drawn anew in each pass.
            cut: What is cut from images; where, and how large, is drawn anew in each pass. None leaves images whole.
        """
        self._samples, self._share, self._seed = samples, share, seed
        self._flip, self._cut = flip, cut
        self._passes: dict[int, _Pass] = {}

    def rows(self, first_image: int) -> Rows:
        """Return the rows of the batch that begins with image `first_image`."""
        start = first_image + self._share.offset
        passes, places = np.divmod(np.arange(start, start + self._share.rows), len(self._samples.pixels))
        numbers = self._numbers(passes, places)
        return Rows(numbers, passes, self._flips(passes, numbers), self._squares(passes, numbers))

    def tars(self, first_image: int) -> tuple[list[int], list[int]]:
        """Return the numbers of the tars of the window that image `first_image` lies in, and of the window after it.

        Raises:
            ValueError: Images are not shuffled within windows.
        """
        pass_number, place = divmod(first_image, len(self._samples.pixels))
        ahead = chain.from_iterable(
            one.tars_from(start)
            for one, start in ((self._pass(pass_number), place), (self._pass(pass_number + 1), 0))
            if isinstance(one, WindowedPass)
        )
        found = list(islice(ahead, 2))
        if not found:
            raise ValueError("images are shuffled all together, not within windows of tars")
        return found[0], found[-1]

    def _numbers(self, passes: _Numbers, places: _Numbers) -> _Numbers:
        numbers = np.empty_like(places)
        for one in np.unique(passes):
            there = places[passes == one]
            order = self._pass(int(one))
            numbers[passes == one] = order.images(there) if isinstance(order, WindowedPass) else order[there]
        return numbers

    def _pass(self, number: int) -> _Pass:
        if (found := self._passes.get(number)) is None:
            for old in sorted(self._passes)[:-1]:
                self._passes.pop(old, None)
            samples = self._samples
            if samples.windows is not None:
                found = samples.windows.of_pass(self._seed, number, samples.digest)
            else:
                found = sample_order(self._seed, number, samples.digest, len(samples.pixels))
            self._passes[number] = found
        return found

    def _flips(self, passes: _Numbers, numbers: _Numbers) -> Bool[np.ndarray, " batch"]:
        """Return whether each image is mirrored: one bit of a hash of (seed, "flip", pass) and the image's key."""
        if not self._flip:
            return np.zeros(len(numbers), np.bool_)
        return (self._hashed("flip", passes, numbers) & np.uint64(1)).astype(np.bool_)

    def _squares(self, passes: _Numbers, numbers: _Numbers) -> Int64[np.ndarray, "batch 3"] | None:
        """Return what is cut from each image.

        Where are the halves of a hash of (seed, "crop", pass) and the image's key, how large is one of "shrink".
        """
        if self._cut is None:
            return None
        shrinks = np.array(self._cut.shrinks, np.int64)
        chosen = (self._hashed("shrink", passes, numbers) >> np.uint64(32)) * np.uint64(len(shrinks)) >> np.uint64(32)
        sides = self._cut.side * shrinks[chosen.astype(np.int64)]
        places = (self._cut.whole - sides + 1).astype(np.uint64)
        words = self._hashed("crop", passes, numbers)
        corners = (half * places >> np.uint64(32) for half in (words >> np.uint64(32), words & np.uint64(2**32 - 1)))
        return np.stack([*(one.astype(np.int64) for one in corners), sides], axis=1)

    def _hashed(self, purpose: str, passes: _Numbers, numbers: _Numbers) -> UInt64[np.ndarray, " batch"]:
        streams = {one: stream_key(self._seed, purpose, one) % 2**64 for one in np.unique(passes).tolist()}
        salt = np.array([streams[one] for one in passes.tolist()], np.uint64)
        words = np.array([int(self._samples.keys[number][:16], 16) for number in numbers.tolist()], np.uint64)
        return _mix(words ^ salt)


def _mix(words: UInt64[np.ndarray, " batch"]) -> UInt64[np.ndarray, " batch"]:
    """Return the words hashed by the finaliser of SplitMix64.

    Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", https://doi.org/10.1145/2660193.2660195.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, " batch"] = words ^ (words >> np.uint64(31))
    return mixed


def sample_order(seed: int, pass_number: int, dataset_digest: str, samples: int) -> Int64[np.ndarray, "{samples}"]:
    """Return the order in which pass `pass_number` over the dataset visits its images, each once.

    Args:
        seed: Seed of the run.
        pass_number: 0 for the first time through the data.
        dataset_digest: Digest of the ShardSet; other data, another order.
        samples: Number of images in the split.

    Returns:
        A permutation of 0 .. samples - 1.
    """
    return numpy_generator(seed, "order", pass_number, dataset_digest).permutation(samples)
