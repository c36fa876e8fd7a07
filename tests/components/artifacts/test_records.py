"""Numbered records in a store: every number is written once, also when many write at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.artifacts import Store
from components.artifacts.storage import StorageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_records_are_numbered_in_the_order_of_writing(store: Store) -> None:
    records = store.records("data/photos")
    assert [records.append({"shards": name}) for name in "abc"] == [1, 2, 3]
    assert [record["shards"] for record in records.all()] == ["a", "b", "c"]
    assert store.records("data/others").all() == []


def test_what_is_known_gets_its_number_again(store: Store) -> None:
    records = store.records("data/photos")
    for name in ("a", "b", "a"):
        number = records.append({"shards": name}, same=lambda known, name=name: known["shards"] == name)
    assert number == 1
    assert len(records.all()) == 2


def test_writers_who_race_get_numbers_of_their_own(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda place: store.records("race").append({"place": place}), range(16)))
    assert sorted(numbers) == list(range(1, 17))
    kept = store.records("race").all()
    assert [kept[number - 1]["place"] for number in numbers] == list(range(16))


def test_a_gap_and_a_torn_record_are_said(store: Store) -> None:
    records = store.records("data/photos")
    for name in "abc":
        records.append({"shards": name})
    folder = store.root / "records" / "data" / "photos"
    (folder / "000003.json").write_text("{")
    with pytest.raises(StorageError, match="000003"):
        records.all()
    (folder / "000003.json").write_text(json.dumps({"shards": "c"}))
    (folder / "000002.json").unlink()
    with pytest.raises(StorageError, match="out of place"):
        records.all()
