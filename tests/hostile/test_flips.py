"""Thousands of damages to a data set on disk, a bit, a cut or a gap each: `verify` finds every one."""

import contextlib
import random
from collections import Counter

import pytest

from components.artifacts import ArtifactError, Store
from components.artifacts.audit import audit
from components.data import DatasetConfig, ShapesSource, ShardReader, ShardSet, write_shards

DAMAGES = 2_000


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    dataset = DatasetConfig(source=ShapesSource(images=9, raster_px=8, labels=True), size=8, shard_bytes=2**14)
    return write_shards(dataset, Store(tmp_path_factory.mktemp("store")))


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return other bytes: one bit flipped, the end cut off, a piece set to zero, or a byte more."""
    spoilt = bytearray(content)
    place = rng.randrange(len(spoilt))
    match rng.randrange(6):
        case 0:
            del spoilt[place:]
        case 1:
            spoilt[place : place + 64] = bytes(len(spoilt[place : place + 64]))
        case 2:
            spoilt.insert(place, rng.randrange(256))
        case _:
            spoilt[place] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def problems(shards: ShardSet) -> list[str]:
    store = Store(shards.path.parent.parent)
    return list(audit(store, "shardset", shards.digest, deep=False, progress=lambda *_: None))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_damage_to_tars_indexes_labels_and_manifest_is_found_by_verify(shards: ShardSet) -> None:
    rng, missed, tried = random.Random(0), [], Counter()
    files = sorted(path for path in shards.path.iterdir() if path.stat().st_size)
    assert {path.suffix for path in files} >= {".tar", ".npy", ".json", ".png"}
    assert not problems(shards)
    for number in range(DAMAGES):
        path = files[number % len(files)]
        content = path.read_bytes()
        spoilt = damaged(content, rng)
        if spoilt == content or (path.suffix == ".json" and spoilt.split() == content.split()):
            continue  # zeros set to zero; a space more
        path.write_bytes(spoilt)
        tried[path.suffix] += 1
        if not problems(shards):
            missed.append((path.name, number))
        path.write_bytes(content)
    assert not missed
    assert tried.total() > 0.9 * DAMAGES
    assert min(tried.values()) > 100
    assert not problems(shards)


@pytest.mark.slow
def test_reading_a_damaged_data_set_gives_the_pictures_or_an_error_in_words(shards: ShardSet) -> None:
    rng, met = random.Random(1), 0
    whole = {split: ShardReader(shards, split).images(range(facts.samples)) for split, facts in shards.splits.items()}
    for path in sorted(shards.path.glob("*.tar")) * 50:
        content = path.read_bytes()
        path.write_bytes(damaged(content, rng))
        split = path.name.partition("-")[0]
        with contextlib.suppress(ArtifactError):
            pictures = ShardReader(shards, split).images(range(shards.splits[split].samples))
            assert pictures.shape == whole[split].shape
            met += 1
        path.write_bytes(content)
    assert met
