"""Endless batches in a fixed order: the same images for any number of processes, from any image number on."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt64

from components.corruption import CorruptionMix
from components.data.batch import Batch
from components.data.cache import PixelSource
from components.data.reader import Pictures
from components.pictures.pixels import to_tensor
from components.seeding import numpy_generator, stream_key

_AHEAD = 2
_Numbers = Int64[np.ndarray, " batch"]


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


class Loader:
    """Image number i of a run is place i % N of pass i // N over the N images of a split."""

    def __init__(
        self,
        samples: Samples,
        share: Share,
        *,
        seed: int,
        flip: bool = False,
        corruption: CorruptionMix | None = None,
    ) -> None:
        """Prepare one rank's share of every global batch.

        Args:
            samples: What the passes go over.
            share: Which rows of every global batch are loaded.
            seed: Seed of the run.
            flip: Mirror every other image, drawn anew in each pass.
            corruption: What to show the model instead of the images; None: nothing.
        """
        self._samples, self._share, self._seed = samples, share, seed
        self._corruption = corruption
        self._words = np.array([int(key[:16], 16) for key in samples.keys], np.uint64) if flip else None
        self._orders: dict[int, Int64[np.ndarray, " images"]] = {}

    def batches(self, first_image: int) -> Generator[Batch, None, None]:
        """Yield the batches that begin with image number `first_image`, without end.

        A thread prepares two batches ahead; it ends when the iterator is closed, and what it raises is raised here.
        """
        batch = self._share.batch
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as thread:
            pending = deque(thread.submit(self._load, first_image + ahead * batch) for ahead in range(_AHEAD))
            following = first_image + _AHEAD * batch
            try:
                while True:
                    loaded = pending.popleft().result()
                    pending.append(thread.submit(self._load, following))
                    following += batch
                    yield loaded
            finally:
                for future in pending:
                    future.cancel()

    def _load(self, first_image: int) -> Batch:
        samples, share = self._samples, self._share
        start = first_image + share.offset
        passes, places = np.divmod(np.arange(start, start + share.rows), len(samples.pixels))
        numbers = self._numbers(passes, places)
        images = samples.pixels.take(numbers, axis=0)
        if self._words is not None:
            mirrored = np.flatnonzero(self._flips(passes, numbers))
            images[mirrored] = _mirror(images[mirrored])
        corrupted = missing = None
        if self._corruption is not None:
            keys = [samples.keys[number] for number in numbers]
            shown, holes = self._corruption.corrupt_batch(images, keys, passes.tolist(), self._seed)
            corrupted, missing = to_tensor(shown), torch.from_numpy(holes).unsqueeze(1).float()
        return Batch(
            images=to_tensor(images),
            corrupted=corrupted,
            missing=missing,
            seed=self._seed,
            first_image=first_image,
            offset=share.offset,
            global_size=share.batch,
            labels=None if samples.labels is None else torch.from_numpy(samples.labels[numbers]),
        )

    def _numbers(self, passes: _Numbers, places: _Numbers) -> _Numbers:
        numbers = np.empty_like(places)
        for one in np.unique(passes):
            numbers[passes == one] = self._order(int(one))[places[passes == one]]
        return numbers

    def _order(self, pass_number: int) -> Int64[np.ndarray, " images"]:
        if pass_number not in self._orders:
            for old in sorted(self._orders)[:-1]:
                self._orders.pop(old, None)
            self._orders[pass_number] = sample_order(
                self._seed, pass_number, self._samples.digest, len(self._samples.pixels)
            )
        return self._orders[pass_number]

    def _flips(self, passes: _Numbers, numbers: _Numbers) -> Bool[np.ndarray, " batch"]:
        """Return whether each image is mirrored: one bit of a hash of (seed, "flip", pass) and the image's key."""
        assert self._words is not None
        streams = {one: stream_key(self._seed, "flip", one) % 2**64 for one in np.unique(passes).tolist()}
        salt = np.array([streams[one] for one in passes.tolist()], np.uint64)
        return (_mix(self._words[numbers] ^ salt) & np.uint64(1)).astype(np.bool_)


def _mix(words: UInt64[np.ndarray, " batch"]) -> UInt64[np.ndarray, " batch"]:
    """Return the words hashed by the finaliser of SplitMix64.

    Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", https://doi.org/10.1145/2660193.2660195.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, " batch"] = words ^ (words >> np.uint64(31))
    return mixed


def _mirror(images: Pictures) -> Pictures:
    """Return the images with left and right exchanged, flipped as one tall picture: 13 times faster."""
    if not len(images):
        return images
    tall = images.reshape(-1, *images.shape[2:])
    return np.asarray(cv2.flip(tall, 1), np.uint8).reshape(images.shape)


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
