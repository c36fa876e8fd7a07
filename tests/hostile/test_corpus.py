"""A folder, a zip and a tar of files made to do harm become a data set, and every one of them is accounted for."""

import json
from collections import Counter
from pathlib import Path

import psutil
import pytest

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, ShardSet, Source, ZipSource, write_shards
from components.data.sources import WebdatasetSource
from components.executors import LOCAL, DaskExecutor, ExecutorConfig, LocalExecutor
from components.stages.page import _data as data_card
from tests.hostile import corpus
from tests.processes import command_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def demand(shards: ShardSet, outcomes: list[tuple[str, str]]) -> None:
    """Demand that each file had the outcome it must have, and that none is missing from the account."""
    lines = [json.loads(line) for line in (shards.path / "rejected.jsonl").read_text().splitlines()]
    refused, expected = Counter((one["name"], one["reason"]) for one in lines), Counter(outcomes)
    either = {name for name, outcome in outcomes if outcome == corpus.EITHER}
    wanted = Counter({key: n for key, n in expected.items() if key[1] not in {corpus.TAKEN, corpus.EITHER}})
    assert Counter({key: n for key, n in refused.items() if key[0] not in either}) == wanted
    assert all(one["found"] for one in lines)
    assert shards.found == len(outcomes) == shards.accepted + shards.duplicates + len(lines)
    assert shards.rejected == Counter(one["reason"] for one in lines)
    assert {file.name for file in data_card(shards).rejected_files} <= {name for name, _ in outcomes}
    assert data_card(shards).rejected == shards.rejected
    shards.verify()


def sharded(source: Source, store: Path, executor: ExecutorConfig = LOCAL) -> ShardSet:
    dataset = DatasetConfig(source=source, size=16, rejected_limit_fraction=1)
    return write_shards(dataset, Store(store), executor=executor)


def test_a_folder_of_them_all_becomes_a_data_set_by_any_number_of_processes(tmp_path: Path) -> None:
    outcomes = list(corpus.folder(tmp_path / "in").items())
    before = set(tmp_path.iterdir())
    one, three = (
        sharded(FolderSource(path=tmp_path / "in"), tmp_path / f"{count}", LocalExecutor(workers=count))
        for count in (1, 3)
    )
    demand(one, outcomes)
    assert one.splits == three.splits
    assert set(tmp_path.iterdir()) == before | {tmp_path / "1", tmp_path / "3"}


def test_a_cluster_of_this_machine_makes_the_same_of_them_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    outcomes = list(corpus.folder(tmp_path / "in").items())
    made = [
        sharded(FolderSource(path=tmp_path / "in"), tmp_path / executor.kind, executor)
        for executor in (LocalExecutor(), DaskExecutor())
    ]
    here, there = ({file.name: file.read_bytes() for file in one.path.iterdir()} for one in made)
    for young in ("items.npy", "manifest.json"):  # whose stamps tell that the files were younger than two seconds
        del here[young], there[young]
    assert here == there
    demand(made[1], outcomes)
    assert not [one for one in psutil.Process().children() if "spawn_main" in " ".join(command_of(one))]


def test_a_zip_of_them_all_becomes_a_data_set_and_nothing_is_unpacked(tmp_path: Path) -> None:
    outcomes = corpus.zip_archive(tmp_path / "a.zip")
    demand(sharded(ZipSource(path=tmp_path / "a.zip"), tmp_path / "store"), outcomes)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "store"}


def test_a_tar_of_them_all_becomes_a_data_set_and_nothing_is_unpacked(tmp_path: Path) -> None:
    outcomes = [(f"a.tar/{name}", outcome) for name, outcome in corpus.tar_archive(tmp_path / "a.tar")]
    demand(sharded(WebdatasetSource(path=tmp_path / "a.tar", patterns=("*",)), tmp_path / "store"), outcomes)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "store"}
