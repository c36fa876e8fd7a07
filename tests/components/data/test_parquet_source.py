"""Parquet files as a source: Hugging Face's layout, plain bytes, classes and captions, and tables that are none."""

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Store
from components.data import DatasetConfig, ShapesSource, write_shards
from components.data.sources import ParquetSource
from components.data.tars import members

PICTURES = [item.content for item in ShapesSource(images=12, raster_px=16).items()]
STORED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def hugging_face(path: Path, labels: list[int | None], first: int = 0, **more: list[str | None]) -> Path:
    """Write a table as Hugging Face's `datasets` does: images as {bytes, path}, names of classes in the metadata."""
    images = [{"bytes": PICTURES[first + place], "path": f"{place}.png"} for place in range(len(labels))]
    columns = {"image": pa.array(images, STORED), "label": pa.array(labels, pa.int64()), **more}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=3)
    return path


def test_images_of_a_folder_of_tables_are_read_in_order_with_their_classes_and_captions(tmp_path: Path) -> None:
    hugging_face(tmp_path / "b.parquet", [1, 0], 5, text=["a dog", None])
    hugging_face(tmp_path / "a" / "a.parquet", [0, 1, None, -1, 7], text=["one", "two", "three", "four", "five"])
    source = ParquetSource(path=str(tmp_path), label="label", caption="text")
    items = list(source.items())
    assert [item.name for item in items] == [f"a/a.parquet/{row:06d}" for row in range(5)] + [
        "b.parquet/000000", "b.parquet/000001",
    ]  # fmt: skip
    assert [item.label for item in items] == ["cat", "dog", None, None, "7", "dog", "cat"]
    assert [item.problem and item.problem.reason for item in items[2:4]] == ["no_class", "no_class"]
    assert [item.content for item in items if item.content] == [*PICTURES[:2], PICTURES[4], *PICTURES[5:7]]
    assert [item.caption for item in items[-2:]] == ["a dog", None]
    assert source.count() == 7
    assert [item.label for item in ParquetSource(path=str(tmp_path)).items()] == [None] * 7


def test_a_plain_column_of_bytes_and_classes_in_words_are_taken(tmp_path: Path) -> None:
    table = pa.table({"jpg": PICTURES[:3], "sort": ["x", "", "y"]})
    pq.write_table(table, tmp_path / "a.parquet")
    items = list(ParquetSource(path=str(tmp_path / "a.parquet"), image="jpg", label="sort").items())
    assert [(item.content, item.label) for item in items] == [(PICTURES[0], "x"), (b"", None), (PICTURES[2], "y")]


def test_what_a_row_lacks_is_said_of_that_row_alone(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": "/etc/passwd"}, None, {"bytes": PICTURES[0], "path": "../../x.png"}]
    pq.write_table(pa.table({"image": pa.array(rows, STORED)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": ["words"]}), tmp_path / "b.parquet")
    items = list(ParquetSource(path=str(tmp_path)).items())
    assert [item.problem and item.problem.reason for item in items] == ["empty", "empty", None, "not_an_image"]
    assert [item.content for item in items] == [b"", b"", PICTURES[0], b""]


def test_only_the_rows_that_are_asked_for_are_read_and_stamps_stay_with_the_file(tmp_path: Path) -> None:
    path = hugging_face(tmp_path / "a.parquet", [0] * 9)
    source = ParquetSource(path=str(path))
    listed = list(source.listing())
    assert [item.content for item in source.read([listed[1], listed[7]])] == [PICTURES[1], PICTURES[7]]
    assert len({one.name for one in listed}) == 9


def test_the_fingerprint_follows_bytes_names_and_columns(tmp_path: Path) -> None:
    first = ParquetSource(path=str(hugging_face(tmp_path / "a" / "a.parquet", [0, 1]).parent))
    same = ParquetSource(path=str(hugging_face(tmp_path / "b" / "a.parquet", [0, 1]).parent))
    other = ParquetSource(path=str(hugging_face(tmp_path / "c" / "a.parquet", [0, 0]).parent))
    assert first.fingerprint() == same.fingerprint()
    assert len({one.fingerprint() for one in (first, other, first.model_copy(update={"label": "label"}))}) == 3
    assert first.signature() != other.signature()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a Parquet file"),
        (b"PAR1 and nothing else PAR1", "cannot be read as a Parquet file"),
        (None, "there is no .parquet under"),
    ],
)
def test_what_is_no_table_is_said(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        list(ParquetSource(path=str(tmp_path)).items())
    with pytest.raises(ValueError, match="is not there"):
        ParquetSource(path=str(tmp_path / "none")).count()


def test_every_damage_to_a_table_is_an_error_in_words_or_bytes_that_are_judged(tmp_path: Path) -> None:
    content = hugging_face(tmp_path / "a.parquet", [0, 1, 0]).read_bytes()
    source = ParquetSource(path=str(tmp_path / "a.parquet"))
    read = 0
    for place in range(0, len(content), 41):
        (tmp_path / "a.parquet").write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with contextlib.suppress(ValueError):
            assert len(list(source.items())) <= 3
            read += 1
    assert 0 < read < len(content) / 41


def test_a_column_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = hugging_face(tmp_path / "a.parquet", [0])
    with pytest.raises(ValueError, match=r"a\.parquet has no column 'jpg'; it has image, label"):
        ParquetSource(path=str(path), image="jpg").count()


def test_captions_lie_beside_the_images_of_the_shards(tmp_path: Path) -> None:
    path = hugging_face(tmp_path / "a.parquet", [0, 1] * 6, text=[f"words {row}" for row in range(12)])
    source = ParquetSource(path=str(path), label="label", caption="text")
    shards = write_shards(DatasetConfig(source=source, size=16), Store(tmp_path / "store"))
    assert (shards.accepted, shards.found) == (12, 12)
    tars = [shards.path / shard.name for split in shards.splits.values() for shard in split.shards]
    said = [
        json.loads(tar.read_bytes()[one.offset :][: one.bytes])
        for tar in tars
        for one in members(tar)
        if one.name.endswith(".json")
    ]
    assert {facts["caption"] for facts in said} == {f"words {row}" for row in range(12)}
    assert {facts["class"] for facts in said} == {"cat", "dog"}
