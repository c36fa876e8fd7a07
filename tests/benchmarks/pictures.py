"""Pictures to measure with: random crops of the photographs that come with scikit-learn and scikit-image."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, JpegEncoding, ShardSet, SplitConfig, write_shards


def crops(count: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` different square crops as uint8 RGB (size, size, 3); the same ones on any machine.

    Small crops are cut larger and reduced by area, so that they hold as much detail as a thumbnail does.
    """
    photographs = [*load_sample_images().images, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    rng = np.random.Generator(np.random.Philox(size))
    for number in range(count):
        photograph = photographs[number % len(photographs)][..., :3]
        side = int(rng.integers(max(size, 96), 280))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in photograph.shape[:2])
        crop = photograph[top : top + side, left : left + side]
        yield np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def shards(folder: Path, count: int, size: int, store: Store | None = None, **options: object) -> ShardSet:
    """Return `count` crops as JPEG shards of quality 95, all in the training split.

    Args:
        folder: Where the crops are kept.
        count: How many.
        size: Their side in pixels.
        store: Where the shards go; None: below the folder.
        options: More of the dataset's configuration, such as `shard_bytes`.
    """
    originals = folder / f"originals-{size}"
    originals.mkdir()
    for number, crop in enumerate(crops(count, size)):
        Image.fromarray(crop).save(originals / f"{number:06d}.bmp")
    dataset = DatasetConfig(
        source=FolderSource(path=originals),
        size=size,
        encoding=JpegEncoding(),
        split=SplitConfig(validation=0, test=0),
        **options,
    )
    return write_shards(dataset, store or Store(folder / "store"))
