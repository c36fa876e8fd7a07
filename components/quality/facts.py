"""Facts: what each image of a ShardSet is like, in one pass over its pixels, and the artifact that keeps it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from components.artifacts import Artifact, Store
from components.data import SPLITS, ShardReader, ShardSet
from components.data.reader import decode_of
from components.data.rows_on_disk import write_rows
from components.executors import LOCAL, ExecutorConfig, Packed
from components.quality.fingerprints import AREAS, Fingerprints, fingerprints

Progress = Callable[[int, int | None], None]

_CODE = 1
"""Version of what is kept; raise it when equal images would get other facts."""
_AT_ONCE = 128
"""Images of a partition."""
_FLAT = 1e-4
"""Variance of luma (range 0 to 1) below which there is nothing that could be sharp."""
_DARK, _BRIGHT = 10, 245
_FINEST = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)

ROW = np.dtype(
    [
        ("key", "S32"),
        ("split", "u1"),
        ("hash", "<u8"),
        ("mirrored", "<u8"),
        ("areas", "u1", (AREAS, AREAS, 3)),
        ("width", "<u4"),
        ("height", "<u4"),
        ("format", "S8"),
        ("brightness", "<f4"),
        ("contrast", "<f4"),
        ("saturation", "<f4"),
        ("sharpness", "<f4"),
        ("grain", "<f4"),
        ("dark", "<f4"),
        ("bright", "<f4"),
    ]
)
"""Of an image: key, number of its split, fingerprints, size and format of the file it came from, and of its pixels the
mean and deviation of luma, the mean difference of the largest and smallest channel (all of the range 0 to 1), how sharp
it is, its finest noise, and the shares of pixels that are nearly black or white."""
Rows = Shaped[np.ndarray, " images"]
"""Of `ROW`."""
Keys = Shaped[np.ndarray, " images"]
"""32 bytes of each image."""


class ImageFacts(Artifact):
    """`facts.npy`: a row of each image of a ShardSet, split by split, in the order of their numbers."""

    images: int
    """Number of rows."""

    @property
    def rows(self) -> Rows:
        """The rows, mapped and not read as a whole."""
        rows: Rows = np.load(self.path / "facts.npy", mmap_mode="r", allow_pickle=False)
        return rows

    @property
    def prints(self) -> Fingerprints:
        """What tells near-copies."""
        rows = self.rows
        return Fingerprints(np.array(rows["hash"]), np.array(rows["mirrored"]), np.array(rows["areas"]))


def image_facts(
    shards: ShardSet, store: Store, progress: Progress | None = None, executor: ExecutorConfig = LOCAL
) -> ImageFacts:
    """Return the facts of all images of `shards`, decoding them only if the store lacks the artifact.

    Args:
        shards: The images.
        store: Where the artifact is kept.
        progress: Called with images done and images in all.
        executor: Who decodes and looks; changes nothing.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """

    def write(draft: Path) -> Mapping[str, Any]:
        path = draft / "facts.npy"
        write_rows(path, ROW, shards.accepted, _all_measured(shards, executor, progress))
        _add_files(path, shards)
        return {"images": shards.accepted}

    return store.materialise(ImageFacts, _inputs(shards), write)


def find_image_facts(shards: ShardSet, store: Store) -> ImageFacts | None:
    """Return what `image_facts` would reuse, or None."""
    return store.find(ImageFacts, _inputs(shards))


def measured(pictures: UInt8[np.ndarray, "images height width 3"]) -> Rows:
    """Return rows of what the pixels of pictures say; keys, splits and files are left empty.

    Sharpness is the variance of the Laplacian over that of the luma, so that faint or dark pictures do not pass for
    blurred ones; after Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", who take the first
    alone. It is 0 where there is nothing to be seen. Grain is the deviation of noise that Immerkaer 1996, "Fast noise
    variance estimation", https://doi.org/10.1006/cviu.1996.0060, estimates from what no straight edge or slope leaves;
    a codec takes it away.
    """
    rows = np.zeros(len(pictures), ROW)
    prints = fingerprints(pictures)
    rows["hash"], rows["mirrored"], rows["areas"] = prints
    for row, picture in zip(rows, pictures, strict=True):
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        scaled = luma.astype(np.float32) / 255
        variance = float(scaled.var())
        row["brightness"], row["contrast"] = scaled.mean(), variance**0.5
        row["saturation"] = float((picture.max(axis=2) - picture.min(axis=2)).mean()) / 255
        row["sharpness"] = cv2.Laplacian(scaled, cv2.CV_32F).var() / variance if variance > _FLAT else 0
        row["grain"] = np.sqrt(np.pi / 2) / 6 * np.abs(cv2.filter2D(scaled, -1, _FINEST)).mean()
        row["dark"], row["bright"] = (luma <= _DARK).mean(), (luma >= _BRIGHT).mean()
    return rows


def _all_measured(shards: ShardSet, executor: ExecutorConfig, progress: Progress | None) -> Iterator[Rows]:
    """Yield rows of all images, some at a time, without what the shards say of their files."""
    done = 0
    with executor.open() as crew:
        for (number, keys), block in crew.each(_measured, _partitions(shards)):
            block["key"], block["split"] = keys, number
            yield block
            done += len(block)
            if progress is not None:
                progress(done, shards.accepted)


def _partitions(shards: ShardSet) -> Iterator[tuple[tuple[int, Keys], tuple[object, ...]]]:
    """Yield of some images each the number of their split and their keys, and the encoded images and their names."""
    for number, split in enumerate(SPLITS):
        reader = ShardReader(shards, split)
        for start in range(0, len(reader), _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, len(reader)))
            contents, names = reader.contents(numbers)
            yield (number, reader.packed_keys[start : numbers.stop]), (shards.size, Packed.of(contents), names)


def _measured(size: int, contents: Packed, names: Sequence[str]) -> Rows:
    pieces = zip(contents.pieces(), names, strict=True)
    return measured(np.stack([decode_of(content, name, size) for content, name in pieces]))


def _inputs(shards: ShardSet) -> dict[str, Any]:
    return {"code": _CODE, "shards": shards.digest}


def _add_files(path: Path, shards: ShardSet) -> None:
    """Fill in, in a file of rows, what the shards say of the files that images came from."""
    place = 0
    for split in SPLITS:
        reader = ShardReader(shards, split)
        rows = np.load(path, mmap_mode="r+", allow_pickle=False)  # mapped anew, so that what was touched is let go
        for number, said in reader.said():
            row = rows[place + number]
            row["width"], row["height"] = said.get("size", (0, 0))
            row["format"] = str(said.get("format", "")).encode()
        rows.flush()
        place += len(reader)
