"""Report: what is odd about the images of a ShardSet, counted, listed and shown, and the artifact that keeps it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from components.artifacts import Artifact, Store
from components.data import SPLITS, ShardReader, ShardSet
from components.executors import LOCAL, ExecutorConfig
from components.pictures.encoding import png
from components.pictures.figures import contact_sheet
from components.quality.copies import Groups, NearCopies, left_out, near_copies
from components.quality.facts import Rows, image_facts
from components.section import Section

_CODE = 1
"""Version of what is kept; raise it when equal images would be found odd otherwise."""
_SHOWN = 24
_BLANK = 0.02
_NEARLY_ALL = 0.9
_SOFT = 0.1
"""Of 3,000 photos each at 32 and 64 px, one in a thousand and none are less sharp; nineteen in twenty are when they are
blurred by a deviation of 1.5 px, half by one of 1 px."""
_FAR = 6.0
_SPREAD = 1.4826
_JUDGED = ("brightness", "contrast", "saturation", "sharpness")

Chosen = Bool[np.ndarray, " images"]


class Finding(Section):
    """Images that are odd in one way. They are in the shards all the same: nothing is left out for it."""

    name: str
    """What they are, in one or two words."""
    images: int
    """How many."""
    words: str
    """What that means, with the limit that they pass."""

    @property
    def picture(self) -> str:
        """The name of the file that shows some of them."""
        return f"{self.name.replace(' ', '-')}.png"


class QualityReport(Artifact):
    """`findings.json`, keys by finding; `NAME.png` shows some images of each."""

    findings: tuple[Finding, ...]
    """In order, those without an image too."""
    classes: Mapping[str, Mapping[str, int]]
    """Images by split and class; empty where there are no classes."""
    copies: str
    """Digest of the NearCopies."""


def quality_report(shards: ShardSet, store: Store, executor: ExecutorConfig = LOCAL) -> QualityReport:
    """Return what is odd about the images of `shards`, looked for only if the store lacks it.

    `executor` takes the images' facts, if the store lacks those; it changes nothing.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """
    facts, copies = image_facts(shards, store, executor=executor), near_copies(shards, store)

    def write(draft: Path) -> Mapping[str, Any]:
        rows = facts.rows
        chosen = _all_chosen(shards, rows, copies)
        keys = {finding.name: _keys(rows, places) for finding, places in chosen}
        (draft / "findings.json").write_text(json.dumps(keys, indent=1))
        for finding, places in chosen:
            _show(draft / finding.picture, shards, _first(places, finding.name, copies.numbers))
        return {
            "findings": [finding for finding, _ in chosen],
            "classes": {split: facts.classes for split, facts in shards.splits.items() if facts.classes},
            "copies": copies.digest,
        }

    return store.materialise(QualityReport, {"code": _CODE, "facts": facts.digest, "copies": copies.digest}, write)


def _all_chosen(shards: ShardSet, rows: Rows, copies: NearCopies) -> list[tuple[Finding, Chosen]]:
    conflicts = conflicting(copies.numbers, _labels(shards))
    parted = np.unique(copies.numbers[left_out(copies.numbers, rows["split"])])
    straddles = np.isin(copies.numbers, parted)
    found = [
        *odd(rows, shards.size),
        ("near-copies", "of another image: resized, encoded anew, mirrored or brighter", copies.numbers >= 0),
        ("straddling", "near-copies of which one is trained on and one held out", straddles),
        ("label conflicts", "near-copies of one picture in two classes", conflicts),
    ]
    return [(Finding(name=name, images=int(places.sum()), words=words), places) for name, words, places in found]


def odd(rows: Rows, size_px: int) -> Iterator[tuple[str, str, Chosen]]:
    """Yield what images can be by themselves, in words, and which are.

    Args:
        rows: Their facts.
        size_px: Side of the images in the shards.
    """
    blank = rows["contrast"] < _BLANK
    smaller = np.minimum(rows["width"], rows["height"])
    yield "blank", f"the deviation of luma is below {_BLANK:g} of its range", blank
    yield "tiny", f"the file had fewer than {size_px} px on its shorter side", (smaller > 0) & (smaller < size_px)
    blurred = ~blank & (rows["sharpness"] < _SOFT)
    yield "blurred", f"the Laplacian has less than {_SOFT:g} of the variance of luma", blurred
    yield "dark", f"more than {_NEARLY_ALL:.0%} of the pixels are nearly black", rows["dark"] > _NEARLY_ALL
    yield "over-exposed", f"more than {_NEARLY_ALL:.0%} of the pixels are nearly white", rows["bright"] > _NEARLY_ALL
    far = np.max([_deviations(np.asarray(rows[name], np.float64)) for name in _JUDGED], axis=0, initial=0)
    yield "outliers", f"{' or '.join(_JUDGED)} is more than {_FAR:g} deviations from the median", far > _FAR


def conflicting(groups: Groups, labels: Shaped[np.ndarray, " images"] | None) -> Chosen:
    """Return which images are near-copies of an image with another label; none where there are no labels."""
    if labels is None:
        return np.zeros(len(groups), np.bool_)
    pairs = np.unique(np.stack([groups, labels.astype(np.int64)], axis=1), axis=0)
    names, counts = np.unique(pairs[:, 0], return_counts=True)
    conflicts: Chosen = np.isin(groups, names[counts > 1]) & (groups >= 0)
    return conflicts


def _deviations(values: Float64[np.ndarray, " images"]) -> Float64[np.ndarray, " images"]:
    """Return how far values are from their median, in robust deviations; 0 where most values are equal."""
    if not len(values):
        return values
    apart = np.abs(values - np.median(values))
    spread = _SPREAD * float(np.median(apart))
    return apart / spread if spread else np.zeros_like(apart)


def _labels(shards: ShardSet) -> Shaped[np.ndarray, " images"] | None:
    readers = [ShardReader(shards, split) for split in SPLITS]
    found = [reader.labels for reader in readers if reader.labels is not None]
    return np.concatenate(found) if found else None


def _keys(rows: Rows, places: Chosen) -> list[str]:
    return [key.decode() for key in rows["key"][places]]


def _first(places: Chosen, name: str, groups: Groups) -> list[int]:
    """Return the numbers of images to show: of near-copies whole groups, else the first."""
    numbers = np.flatnonzero(places)
    if name in {"near-copies", "straddling", "label conflicts"}:
        numbers = numbers[np.argsort(groups[numbers], kind="stable")]
    shown: list[int] = numbers[:_SHOWN].tolist()
    return shown


def _show(path: Path, shards: ShardSet, numbers: list[int]) -> None:
    if not numbers:
        return
    readers = [ShardReader(shards, split) for split in SPLITS]
    starts = np.cumsum([0, *map(len, readers)])
    splits = np.searchsorted(starts, numbers, side="right") - 1
    pictures = [
        readers[split].image(number - int(starts[split])) for number, split in zip(numbers, splits, strict=True)
    ]
    path.write_bytes(png(contact_sheet(pictures), smallest=True))
