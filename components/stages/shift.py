"""Shift: whether the images that came since look otherwise than those that a model in service learnt from."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from components.artifacts import Artifact, Store
from components.config import RunConfig
from components.data import SPLITS, ShardReader, ShardSet
from components.evaluation.extractors import EfficientNetLite0Config, FidelityConfig
from components.evaluation.image_features import at_work, features_of
from components.evaluation.shift import Looks, Shift, shift_of
from components.executors import LOCAL, Crew, ExecutorConfig
from components.quality.facts import Rows, image_facts
from components.seeding import numpy_generator
from components.stages.site import Site, registered_name
from components.tracking import registry

IMAGES = 500
"""New images that are looked at, the first by key, which is as good as at random."""
KNOWN_IMAGES = 1_000
"""Images learnt from that are looked at, likewise."""
LOOKING = FidelityConfig(extractor=EfficientNetLite0Config(resolution=64))
"""Who looks: at 64 px, in a quarter of the time of 128; a shift is told from none, not measured to the last digit."""

_CODE = 1
"""Version of what is measured; raise it when equal images would get another verdict."""
_FACTS = ("brightness", "contrast", "saturation", "sharpness", "grain")

Places = Int64[np.ndarray, " images"]
Features = Float32[np.ndarray, "images features"]

_log = logging.getLogger(__name__)


class DataShift(Artifact):
    """How the images of one ShardSet that another lacks compare with those to train on of the other."""

    known: str
    """Digest of the ShardSet that was learnt from."""
    today: str
    """Digest of the ShardSet that holds the new images."""
    new_images: int
    """Images that only the latter has, of which no more than `IMAGES` were looked at."""
    shift: Shift
    """What was found."""
    formats: Mapping[str, tuple[float, float]]
    """By format of the file, its share among new images and among those learnt from (fractions)."""
    file_px: tuple[float, float]
    """Median side of the files, the shorter one, in pixels: new, learnt from."""


def data_shift(known: ShardSet, today: ShardSet, store: Store, executor: ExecutorConfig = LOCAL) -> DataShift:
    """Return how new images compare with those learnt from, measured only if the store lacks it.

    Args:
        known: What a model learnt from: its split `train`.
        today: All images there are now; those that `known` has in any split are not new.
        store: Where artifacts are kept.
        executor: Who takes the images' facts, if the store lacks those, and looks at them; changes nothing.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """
    inputs = {"code": _CODE, "known": known.digest, "today": today.digest, "extractor": LOOKING.extractor.sha256}

    def write(draft: Path) -> Mapping[str, Any]:
        before, now = (image_facts(one, store, executor=executor).rows for one in (known, today))
        new = np.flatnonzero(~np.isin(now["key"], before["key"]))
        learnt = np.flatnonzero(before["split"] == SPLITS.index("train"))
        with at_work(executor) if len(new) else nullcontext() as crew:
            looks = (
                _looks(today, now, _first(now, new, IMAGES), crew),
                _looks(known, before, _first(before, learnt, KNOWN_IMAGES), crew),
            )
        shift = shift_of(*looks, numpy_generator(0, "shift", known.digest, today.digest))
        (draft / "shift.json").write_text(shift.model_dump_json(indent=1))
        return {
            "known": known.digest,
            "today": today.digest,
            "new_images": len(new),
            "shift": shift,
            "formats": _formats(now[new], before[learnt]),
            "file_px": (_median_px(now[new]), _median_px(before[learnt])),
        }

    return store.materialise(DataShift, inputs, write)


def shifts(run: RunConfig, today: ShardSet, site: Site) -> list[tuple[DataShift, tuple[str, ...]]]:
    """Return how new images compare with what the models in service learnt from, with the models' registered names.

    Models that learnt from the same shards have one entry; those that are not in service have none, nor have those that
    learnt from today's images, from images of another size, or from shards that the store lacks.
    """
    champions: dict[str, int] = {}
    for name in run.models:
        state = registry.state(registered_name(run.name, name))
        if state is not None and state.standing.champion is not None:
            champions[state.name] = state.standing.champion
    return learnt_from(champions, today, site)


def learnt_from(versions: Mapping[str, int], today: ShardSet, site: Site) -> list[tuple[DataShift, tuple[str, ...]]]:
    """Return the same of versions by registered name, whether they are in service or were."""
    learnt: dict[str, list[str]] = {}
    for model, number in versions.items():
        state = registry.state(model)
        if state is not None:
            learnt.setdefault(state.version(number).lineage["shards"], []).append(model)
    learnt.pop(today.digest, None)
    found = []
    for digest, models in learnt.items():
        known = site.store.by_digest(ShardSet, digest)
        if known is None or known.size != today.size:
            why = "which the store lacks" if known is None else f"of {known.size} px, not {today.size} px"
            _log.warning("%s learnt from the shards %s, %s: nothing is compared", ", ".join(models), digest, why)
            continue
        found.append((data_shift(known, today, site.store, site.executor), tuple(models)))
    return found


def looks_of(features: Features, rows: Rows, classes: Iterable[str]) -> Looks:
    """Return what is compared of pictures.

    Args:
        features: What `LOOKING` sees in them; without columns where nobody looked.
        rows: Their facts.
        classes: The names of their classes, or nothing.
    """
    return Looks(features, {name: np.asarray(rows[name], np.float64) for name in _FACTS}, tuple(classes))


def _first(rows: Rows, places: Places, count: int) -> Places:
    """Return the first places by key."""
    chosen: Places = places[np.argsort(rows["key"][places], kind="stable")][:count]
    return chosen


def _looks(shards: ShardSet, rows: Rows, places: Places, crew: Crew | None) -> Looks:
    """Return what is compared of the images in these places; without a crew, no features."""
    features = np.empty((len(places), LOOKING.extractor.FEATURES if crew else 0), np.float32)
    names = np.full(len(places), "", object)
    begin = 0
    for split in SPLITS:
        reader = ShardReader(shards, split)
        here = np.flatnonzero((places >= begin) & (places < begin + len(reader)))
        if crew is not None:
            features[here] = features_of(reader, places[here] - begin, LOOKING, crew)
        if reader.labels is not None:
            known = list(shards.splits[split].classes)
            names[here] = [known[label] for label in reader.labels[places[here] - begin]]
        begin += len(reader)
    has_classes = any(facts.classes for facts in shards.splits.values())
    return looks_of(features, rows[places], names.tolist() if has_classes else ())


def _formats(new: Rows, known: Rows) -> dict[str, tuple[float, float]]:
    names = sorted({one.decode() for rows in (new, known) for one in np.unique(rows["format"])})
    return {name: (_share(new, name), _share(known, name)) for name in names}


def _share(rows: Rows, name: str) -> float:
    return float((rows["format"] == name.encode()).mean()) if len(rows) else 0.0


def _median_px(rows: Rows) -> float:
    return float(np.median(np.minimum(rows["width"], rows["height"]))) if len(rows) else 0.0
