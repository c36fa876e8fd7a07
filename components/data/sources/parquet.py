"""The source `parquet`: images in a column of Parquet files, as Hugging Face's data sets have them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import Field

from components.artifacts import sha256_of
from components.artifacts.files import Listing
from components.artifacts.places import bucket_and_prefix
from components.artifacts.ranges import as_file
from components.data.sources.item import (
    MAX_FILE_BYTES,
    Listed,
    ListedSource,
    Problem,
    RawItem,
    printable,
    stamp_of,
)
from components.data.sources.s3 import bucket_of
from components.section import digest_of

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_SUFFIX = ".parquet"
_ROWS = 64
"""Rows held in memory at a time."""
_GROUP_BYTES = 8 * 2**30
"""Larger groups of rows, by the file's own account, are not unpacked; writers make them a few hundred MiB."""
_Place = Path | Listing


class ParquetSource(ListedSource):
    """Images in Parquet files: a column of bytes, or of {bytes, path}; what `path` names outside is not followed."""

    kind: Literal["parquet"] = "parquet"
    """Images in a column of Parquet files."""
    path: str = Field(min_length=1)
    """A file, a folder with such files, `*.parquet`, below it, or `s3://bucket/prefix`; in the order of their names."""
    image: str = "image"
    """Name of the column with the images."""
    label: str | None = None
    """Name of the column with their classes, texts or numbers, for conditional models; by the names that the file says
    of them, as Hugging Face's do. Images without one are refused."""
    caption: str | None = None
    """Name of a column with a text about each image, which is kept beside it."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    listed_at_once: ClassVar[int] = 2**16  # which opens an archive once for so many files

    def describe(self) -> str:
        """Return the name of the file or folder, or the address."""
        is_shared = bucket_and_prefix(self.path) is not None
        return f"Parquet files {self.path if is_shared else printable(Path(self.path).resolve().name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether a column of classes is taken."""
        return self.label is not None

    def fingerprint(self) -> str:
        """Return a digest of the files' names and bytes, of an object's by its ETag, and of the columns."""
        return digest_of([self.kind, self._marks(_sha256), self.image, self.label, self.caption])

    def signature(self) -> str:
        """Return a digest of the files' names, sizes and times of change; none is opened."""
        found = self._marks(lambda path: [path.stat().st_size, path.stat().st_mtime_ns])
        return digest_of([found, self.image, self.label, self.caption])

    def count(self) -> int:
        """Return the number of rows, by the files' own account."""
        return sum(self._rows(name, place) for name, place in self._files())

    def listing(self) -> Iterator[Listed]:
        """Yield every row in the order of the files, by their own account of how many there are.

        Raises:
            ValueError: There is no such file, or one is not Parquet or lacks a column.
        """
        for name, place in self._files():
            stamp = stamp_of(place.stat()) if isinstance(place, Path) else place.etag
            for row in range(self._rows(name, place)):
                yield Listed(f"{name}/{row:06d}", stamp and f"{stamp} {row}", (name, place, row))

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these rows, unpacking only the groups of rows that they are in.

        Raises:
            ValueError: A file cannot be read.
        """
        for (name, place), of_one_file in groupby(listed, lambda one: one.place[:2]):
            wanted = list(of_one_file)
            with self._opened(name, place) as table:
                yield from self._items(name, table, wanted)

    def _items(self, name: str, table: "ParquetFile", wanted: list[Listed]) -> Iterator[RawItem]:
        names, by_row = _class_names(table, self.label), {one.place[2]: one for one in wanted}
        columns, start = [column for column in (self.image, self.label, self.caption) if column], 0
        for group in range(table.num_row_groups):
            facts = table.metadata.row_group(group)
            rows = range(start, start + facts.num_rows)
            start = rows.stop
            if not any(row in by_row for row in rows):
                continue
            if facts.total_byte_size > _GROUP_BYTES:
                raise ValueError(f"source.path: {name}: a group of rows unpacks to {facts.total_byte_size} bytes")
            row = rows.start
            for batch in table.iter_batches(_ROWS, row_groups=[group], columns=columns):
                for held in batch.to_pylist():
                    if (one := by_row.get(row)) is not None:
                        yield self._item(one.name, held, names)
                    row += 1

    def _item(self, name: str, held: Mapping[str, Any], names: list[str] | None) -> RawItem:
        content, problem = _content(held[self.image])
        label = _label(held[self.label], names) if self.label else None
        if self.label and label is None and problem is None:
            content, problem = b"", Problem("no_class", f"nothing in the column {self.label!r}")
        caption = held[self.caption] if self.caption else None
        return RawItem(name, content, problem, label, None if caption is None else str(caption))

    def _files(self) -> Iterator[tuple[str, _Place]]:
        if bucket_and_prefix(self.path) is not None:
            found: list[tuple[str, _Place]] = [
                (printable(one.name), one) for one in bucket_of(self.path).listing() if one.name.endswith(_SUFFIX)
            ]
        elif (path := Path(self.path)).is_file():
            found = [(printable(path.name), path)]
        elif path.is_dir():
            found = [(printable(str(one.relative_to(path))), one) for one in sorted(path.rglob(f"*{_SUFFIX}"))]
        else:
            raise ValueError(f"source.path: {self.path} is not there")
        if not found:
            raise ValueError(f"source.path: there is no {_SUFFIX} under {self.path}")
        yield from found

    def _marks(self, mark_of: Callable[[Path], object]) -> list[list[object]]:
        return [[name, mark_of(place) if isinstance(place, Path) else place.etag] for name, place in self._files()]

    def _rows(self, name: str, place: _Place) -> int:
        with self._opened(name, place) as table:
            return int(table.metadata.num_rows)

    @contextmanager
    def _opened(self, name: str, place: _Place) -> Iterator["ParquetFile"]:
        import pyarrow as pa  # here, for other sources need not wait for it
        from pyarrow.parquet import ParquetFile

        try:
            file: BinaryIO | Path = place if isinstance(place, Path) else as_file(bucket_of(self.path), place)
            with ParquetFile(file, memory_map=False) as table:
                self._demand_columns(name, table)
                yield table
        except (pa.ArrowException, OSError) as error:
            words = str(error).partition("\n")[0]
            raise ValueError(f"source.path: {name} cannot be read as a Parquet file: {words}") from error

    def _demand_columns(self, name: str, table: "ParquetFile") -> None:
        there = table.schema_arrow.names
        for column in (self.image, self.label, self.caption):
            if column is not None and column not in there:
                raise ValueError(f"source: {name} has no column {column!r}; it has {', '.join(there)}")


def _content(held: Any) -> tuple[bytes, Problem | None]:  # noqa: ANN401 - a cell of any type
    """Return the bytes of a cell, or why there are none to take."""
    content = held.get("bytes") if isinstance(held, Mapping) else held
    if content is None:
        return b"", Problem("empty", "no bytes in the table" if held else "no image in this row")
    if not isinstance(content, bytes):
        return b"", Problem("not_an_image", f"{type(content).__name__} where bytes are expected")
    if len(content) > MAX_FILE_BYTES:
        return b"", Problem("too_large", f"a file of {len(content)} bytes")
    return content, None


def _label(held: Any, names: list[str] | None) -> str | None:  # noqa: ANN401 - a cell of any type
    """Return the class in a cell; Hugging Face writes -1 where there is none."""
    if held is None or held == "" or (names and held == -1):
        return None
    return names[held] if names and isinstance(held, int) and 0 <= held < len(names) else str(held)


def _class_names(table: "ParquetFile", label: str | None) -> list[str] | None:
    """Return the names of the classes by number, where a file says them as Hugging Face's library does."""
    said = (table.schema_arrow.metadata or {}).get(b"huggingface")
    if said is None or label is None:
        return None
    try:
        feature = json.loads(said)["info"]["features"][label]
        names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


@lru_cache(maxsize=10_000)  # read once in a process while it does not change
def _sha256_of(path: Path, _size: int, _changed_ns: int) -> str:
    return sha256_of(path)


def _sha256(path: Path) -> str:
    facts = path.stat()
    return _sha256_of(path, facts.st_size, facts.st_mtime_ns)
