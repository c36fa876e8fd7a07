"""What is sorted, joined and numbered on disk is what the obvious version in memory gives, and little of it is held."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data import scratch as scratches
from components.data.dataset import SPLITS, SplitConfig
from components.data.images import NOWHERE, ROWS, Images
from components.data.ledger import Ledger, Refusal
from components.data.memory import ITEM, PACKED, Memory, Outcome, id_of
from components.data.rows_on_disk import find, lower_bounds, read_rows, write_rows
from components.data.scratch import Scratch, Table
from components.data.sources import Problem, names
from components.data.spool import Spool
from components.data.tars import Sample, members, write_tars
from components.data.texts import Texts
from tests.memory import peak_of

SPLIT = SplitConfig(validation=0.3, test=0.3)
KEYS = [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(1, 9)]
FILES = st.lists(
    st.tuples(st.sampled_from([*KEYS, ""]), st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "cat", "dog"])),
    max_size=40,
)


def packed(number: int, key: str, label: int) -> bytes:
    # Ids fall, so that no order but the right one is theirs.
    return PACKED.pack(b"%032d" % (999 - number), b"s" * 32, key.encode(), label, 0, 0, 0, 0, 1, 2, False, False)


def filled(ledger: Ledger, files: list[tuple[str, str, str]]) -> None:
    for number, (key, facts, label) in enumerate(files):
        ledger.add(packed(number, key, ledger.texts.number(label)), key, facts.encode())
        if not key:
            ledger.refuse(Refusal(facts, Problem("damaged", label)))


@settings(max_examples=60, deadline=None)
@given(files=FILES, spooled=st.lists(st.sampled_from(KEYS), max_size=12))
def test_images_are_those_that_a_dictionary_in_memory_would_hold(files: list, spooled: list[str]) -> None:
    obvious: dict[str, tuple[str, int, str]] = {}
    for number, (key, facts, label) in enumerate(files):
        if key and (key not in obvious or facts < obvious[key][0]):
            obvious[key] = (facts, number, label)
    with TemporaryDirectory() as folder, Spool.open(Path(folder) / "a.spool") as spool, Scratch() as scratch:
        for place, key in enumerate(spooled):
            spool.add(b"%032d" % place, Outcome(key, "PNG", (1, 1)), key.encode() + b"%02d" % place)
        ledger = Ledger(scratch)
        filled(ledger, files)
        images = Images.of(ledger, spool, None, SPLIT, scratch)
        found = [[*images.of_split(number)] for number in range(len(SPLITS))]
        for number, split in enumerate(SPLITS):
            here = sorted(key for key in obvious if SPLIT.split_of(key) == split)
            assert [one.key.decode() for one in found[number]] == here
            for one, key in zip(found[number], here, strict=True):
                assert (one.facts.decode(), one.row, ledger.texts.text(one.label)) == obvious[key]
                if key in spooled:  # the first of equal ones
                    entry = next(entry for entry in spool.images() if entry.key == one.key)
                    assert spool.image(entry) == one.key + b"%02d" % spooled.index(key)
                    assert (one.start, one.size, one.tar) == (entry.start, entry.bytes, NOWHERE)
        assert images.count == len(obvious)
        ledger.write_memory(Path(folder), ROWS)
        ledger.write_refusals(Path(folder) / "rejected.jsonl")
        expected = [(number, key) for number, (key, _, _) in enumerate(files)][::-1]
        rows = np.load(Path(folder) / "items.npy")
        assert [(999 - int(row["id"]), row["key"].decode()) for row in rows] == expected
        assert {999 - int(row["id"]) for row in rows if row["stands"]} == {number for _, number, _ in obvious.values()}
        refused = sorted((facts, label) for key, facts, label in files if not key)
        lines = [json.loads(line) for line in (Path(folder) / "rejected.jsonl").read_text().splitlines()]
        assert [(one["name"], one["found"]) for one in lines] == refused


@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(codec=None, categories=None), max_size=6), max_size=30))
def test_texts_get_the_numbers_and_the_file_that_a_list_in_memory_would(texts: list[str]) -> None:
    obvious = list(dict.fromkeys(["", *texts]))
    with TemporaryDirectory() as folder, Scratch() as scratch:
        held = Texts(scratch)
        assert [held.number(text) for text in texts] == [obvious.index(text) for text in texts]
        assert [held.text(number) for number in range(len(obvious))] == obvious
        held.write(Path(folder) / "texts")
        assert (Path(folder) / "texts").read_text() == json.dumps(obvious)


@settings(deadline=None)
@given(drawn=st.sets(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=6), max_size=20))
def test_names_that_are_sorted_on_disk_come_in_the_order_of_those_in_memory(drawn: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names, "_HELD", 3)
        assert list(names.in_order(iter(drawn))) == sorted(drawn)


@settings(deadline=None)
@given(ordered=st.lists(st.binary(max_size=3), max_size=30).map(sorted), wanted=st.lists(st.binary(max_size=3)))
def test_rows_are_found_where_numpy_finds_them(ordered: list[bytes], wanted: list[bytes]) -> None:
    rows, asked = np.array(ordered, "S3"), np.array(wanted, "S3")
    assert lower_bounds(rows, asked).tolist() == np.searchsorted(rows, asked).tolist()
    present = {value: place for place, value in reversed(list(enumerate(rows.tolist())))}
    assert find(rows, asked).tolist() == [present.get(value, -1) for value in asked.tolist()]


@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_a_file_written_in_blocks_is_the_one_that_numpy_writes(tmp_path: Path, count: int) -> None:
    rows = np.zeros(count, ITEM)
    rows["width"] = np.arange(count)
    np.save(tmp_path / "whole.npy", rows)
    write_rows(tmp_path / "blocks.npy", ITEM, count, (rows[start : start + 999] for start in range(0, count, 999)))
    assert (tmp_path / "blocks.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert [row for block in read_rows(tmp_path / "blocks.npy") for row in block["width"]] == list(range(count))
    with pytest.raises(ValueError, match=f"{count} rows, expected {count + 1}"):
        write_rows(tmp_path / "short.npy", ITEM, count + 1, [rows])


def test_a_tar_is_written_and_read_without_holding_its_members(tmp_path: Path) -> None:
    def passed(count: int) -> None:
        samples = (Sample(f"{number:032x}", {"png": b"x", "json": b"{}"}) for number in range(count))
        write_tars(samples, tmp_path, f"{count}", 2**30)
        assert sum(1 for _ in members(tmp_path / f"{count}-000000.tar")) == 2 * count

    passed(10)  # what is imported for it is held for good
    assert peak_of(lambda: passed(4000)) - peak_of(lambda: passed(1000)) < 3000 * 16


def test_a_table_holds_a_block_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratches, "_ROWS_AT_ONCE", 8)

    def filled_with(count: int) -> None:
        with Scratch() as scratch:
            table = Table(scratch, "numbers", "number INTEGER, text BLOB")
            for number in range(count):
                table.add(number, b"%064d" % number)
            table.flush()
            ordered = (number for (number,) in scratch.rows("SELECT number FROM numbers ORDER BY text DESC"))
            assert all(number == count - 1 - place for place, number in enumerate(ordered))

    filled_with(10)
    assert peak_of(lambda: filled_with(4000)) - peak_of(lambda: filled_with(1000)) < 3000 * 4


def test_a_memory_finds_rows_by_id_and_by_name(tmp_path: Path) -> None:
    with Scratch() as scratch:
        ledger = Ledger(scratch)
        filled(ledger, [(key, "a", "cat") for key in KEYS])
        ledger.write_memory(tmp_path, "SELECT row FROM items")
    memory = Memory.read(tmp_path)
    assert memory is not None
    wanted = [b"%032d" % (999 - number) for number in (3, 50, 0)]
    found = [row and row["key"].decode() for row in memory.unchanged(wanted)]
    assert found == [KEYS[3], None, KEYS[0]]
    assert [len(block) for block in memory.blocks()] == [len(KEYS)]
    assert memory.label(memory.row(2)) == "cat"


def test_a_memory_finds_the_files_of_a_name_whatever_their_stamps(tmp_path: Path) -> None:
    known = [("a.png", "1"), ("a.png", ""), ("b.png", "2"), ("a.png", "3"), ("c.png", "")]
    with Scratch() as scratch:
        ledger = Ledger(scratch)
        for name, stamp in known:
            row = (id_of(name, stamp), b"s" * 32, KEYS[0].encode(), 0, 0, 0, 0, 0, len(stamp), 2, False, False)
            ledger.add(PACKED.pack(*row), KEYS[0], b"{}")
        ledger.write_memory(tmp_path, "SELECT 0 AS row")
    memory = Memory.read(tmp_path)
    assert memory is not None
    for name in ("a.png", "b.png", "c.png", "d.png"):
        expected = sorted(id_of(*one) for one in known if one[0] == name)
        assert [bytes(row["id"]).ljust(32, b"\0") for row in memory.named(name)] == expected
