"""An image is forgotten by real commands: gone from every tar, refused when it comes back, and its absence proved."""

import json
import os
import shutil
from pathlib import Path

import pytest

from components.artifacts import Store
from components.config import load
from components.data import ShapesSource, ShardReader, ShardSet, write_corruption_set, write_shards
from components.evaluation.yardstick import yardsticks
from components.stages.candidate import Checkpoint
from components.tracking import registry, runs
from components.workspace import Workspace
from flows import cli

PICTURES = [item.content for item in ShapesSource(images=70, raster_px=16).items()]
OPTIONS = ("dataset.split={validation: 0.05, test: 0.7}",)


def put(path: Path, numbers: range) -> None:
    path.mkdir(exist_ok=True)
    for number in numbers:
        (path / f"{number:03d}.png").write_bytes(PICTURES[number])
        os.utime(path / f"{number:03d}.png", (1_000_000_000 + number,) * 2)


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    put(tmp_path / "pile", range(60))
    return tmp_path / "pile"


@pytest.fixture
def people(vae_only, pile, migrated, prefect_api, capsys):
    """What commands print to a team that trains one model on the pile each night, from the champion's weights on."""
    workspace = Workspace.from_environment().create()
    shutil.copy(migrated, workspace.home / "mlflow.db")
    overrides = (
        f"dataset.source={{kind: folder, path: {pile}}}",
        "dataset.split={validation: 0.05, test: 0.5}",
        "retraining={start: champion}",
    )

    def run(command: str, *arguments: str) -> str:
        given = [part for value in overrides for part in ("--set", value)]
        cli.command_line()([*command.split(), *arguments, *given], exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    run.store, run.config = Store(workspace.store), vae_only
    runs.configure(workspace.home)
    return run


@pytest.fixture
def asked(mini, pile, capsys):
    """What a command of the data prints for the smallest run on the pile."""
    overrides = (f"dataset.source={{kind: folder, path: {pile}}}", *OPTIONS)

    def run(command: str, *arguments: str) -> str:
        given = [part for value in overrides for part in ("--set", value)]
        words = ["data", command, str(mini), *arguments, *given]
        cli.command_line()(words, exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    run.config = load(mini, overrides)
    return run


def everywhere(store: Store) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.root.rglob("*.tar")))


def test_a_forgotten_image_is_gone_refused_and_proved_to_be_absent(asked, pile):
    run, workspace = asked.config, Workspace.from_environment().create()
    store = Store(workspace.store)
    first = write_shards(run.dataset, store)
    put(pile, range(60, 64))
    second = write_shards(run.dataset, store)
    key = ShardReader(first, "test").keys[0]
    sets = [write_corruption_set(one, run.corruption.frozen, run.corruption.mix, 3, store) for one in (first, second)]
    (workspace.cache / f"{first.digest}-test.pixels").write_bytes(b"decoded")

    looked = asked("forget", key)
    assert first.digest in looked
    assert "Nothing was changed" in looked
    assert Store(workspace.store).by_digest(ShardSet, first.digest)
    with pytest.raises(ValueError, match="--reason is needed"):
        asked("forget", key, "--yes")

    told = json.loads(asked("forget", key, "--yes", "--reason", "its owner asked", "--json"))
    assert told["held"]["keys"] == [key]
    assert set(told["held"]["seen_in"]) == {first.digest, second.digest}
    assert set(told["held"]["corruption_sets"]) <= {one.digest for one in sets}
    assert key.encode() not in everywhere(store)
    assert not list(workspace.cache.glob("*.pixels"))
    assert list(store.digests("shardset")) == [told["now"]]
    today = store.get(ShardSet, told["now"])
    assert (today.accepted, today.rejected) == (63, {"forgotten": 1})
    assert "its owner asked" in (today.path / "rejected.jsonl").read_text()
    assert today.growth is not None
    assert (today.growth.encoded, today.growth.kept, today.holders) == (0, 63, ())

    put(pile, range(64, 66))
    shutil.copyfile(next(pile.glob("00*.png")), pile / "again.png")
    name = json.loads((today.path / "rejected.jsonl").read_text().splitlines()[0])["name"]
    shutil.copyfile(pile / name, pile / "came-back.png")
    later = write_shards(run.dataset, store)
    assert (later.accepted, later.rejected) == (65, {"forgotten": 2})
    assert key.encode() not in everywhere(store)
    assert "forgotten images: none is left" in asked("verify", "--forgotten")


def test_a_second_image_is_traced_to_the_version_that_the_first_one_took_away(asked, pile):
    run, store = asked.config, Store(Workspace.from_environment().create().store)
    first = write_shards(run.dataset, store)
    one, two = ShardReader(first, "train").keys[:2]
    asked("forget", one, "--yes", "--reason", "its owner asked")
    assert store.by_digest(ShardSet, first.digest) is None
    held = json.loads(asked("forget", two, "--yes", "--reason", "its owner asked", "--json"))["held"]
    assert len(held["seen_in"]) == 1
    assert set(held["learnt_in"]) == {first.digest, *held["seen_in"]}
    other = json.loads(asked("forget", ShardReader(first_left(store), "train").keys[0], "--json"))["held"]
    assert first.digest in other["learnt_in"]  # over two versions that are gone
    assert (
        json.loads(asked("forget", ShardReader(first_left(store), "test").keys[0], "--json"))["held"]["learnt_in"] == []
    )


def first_left(store: Store) -> ShardSet:
    return next(store.all(ShardSet))


def test_an_image_is_named_by_its_file_and_a_stranger_is_refused(asked):
    shards = write_shards(asked.config.dataset, Store(Workspace.from_environment().create().store))
    assert json.loads(asked("forget", "007.png", "--json"))["held"]["seen_in"] == [shards.digest]
    with pytest.raises(ValueError, match=r"nobody\.png: expected the key of an image, or the name of a file"):
        asked("forget", "nobody.png")
    with pytest.raises(ValueError, match="expected images to forget"):
        asked("forget")


def test_bytes_that_are_left_are_found(asked, tmp_path):
    store = Store(Workspace.from_environment().create().store)
    first = write_shards(asked.config.dataset, store)
    shutil.copytree(first.path, tmp_path / "kept")
    key = ShardReader(first, "train").keys[0]
    asked("forget", key, "--yes", "--reason", "its owner asked")
    shutil.copytree(tmp_path / "kept", first.path)  # as from a backup
    with pytest.raises(SystemExit, match="1"):
        asked("verify", "--forgotten")


@pytest.mark.flow
@pytest.mark.timeout(300)
def test_models_that_learnt_from_it_are_marked_and_on_request_trained_anew_from_nobodys_weights(people, pile):
    config, store = str(people.config), people.store
    people("run", config)
    (name,) = [record.name for record in registry.models()]
    assert registry.champion(name) == 1
    (first,) = [store.get(ShardSet, digest) for digest in store.digests("shardset")]
    key = ShardReader(first, "train").keys[0]

    told = people(f"data forget {config} {key}")
    assert f"registered models that learnt from them: {name} version 1" in told
    told = people(f"data forget {config} {key}", "--yes", "--retrain", "--reason", "its owner asked")
    assert "Trained without them; page: file://" in told
    assert f"{key}: its owner asked" in registry.facts(name, 1)["saw_forgotten"]
    second = registry.state(name).version(2)
    assert "start" not in second.lineage
    assert "saw_forgotten" not in second.facts
    assert key not in ShardReader(store.get(ShardSet, second.lineage["shards"]), "train").keys
    assert store.by_digest(Checkpoint, second.lineage["checkpoint"]).images_before == 0
    pins = yardsticks(store, "alone")
    assert [one.shards for one in pins] == [first.digest, second.lineage["shards"]]
    assert pins[-1].reason == "an image pinned before was forgotten"
    assert "forgotten images: none is left" in people(f"data verify {config}", "--forgotten")
