"""Write WebDataset tars whose bytes depend on nothing but the samples, and find members again without walking them."""

import io
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import sha256_of
from components.data.shardset import ShardFacts

if TYPE_CHECKING:
    from webdataset import ShardWriter

_BLOCK = tarfile.BLOCKSIZE
_SAME_FOR_ALL: Mapping[str, Any] = {"encoder": False, "mtime": 0, "user": "kintsugi", "group": "kintsugi"}
"""Options of webdataset's writers with which equal samples give equal bytes."""
_END = tarfile.RECORDSIZE  # two empty blocks, and padding up to a whole record


@dataclass(frozen=True, slots=True)
class Sample:
    """The members of one sample by suffix, e.g. "png" or "mask.png"."""

    key: str
    members: Mapping[str, bytes]

    def tar_bytes(self) -> int:
        """Return what the sample takes in a tar: a header block per member and its content in whole blocks."""
        return sum(_BLOCK + -(-len(content) // _BLOCK) * _BLOCK for content in self.members.values())


@dataclass(frozen=True, slots=True)
class Member:
    """Where a tar holds the bytes of one file."""

    name: str
    offset: int
    bytes: int


def write_tars(samples: Iterable[Sample], folder: Path, prefix: str, shard_bytes: int) -> tuple[ShardFacts, ...]:
    """Write samples in the order given to `PREFIX-000000.tar` and on; no samples, no file.

    Args:
        samples: Keys are unique and hold no dot.
        folder: Existing folder for the tars.
        prefix: Start of the tars' names.
        shard_bytes: Largest size of a tar; only a single sample that is larger exceeds it.

    Returns:
        The tars in order.
    """
    names: list[str] = []
    counts: list[int] = []
    writer: ShardWriter | None = None
    size = 0
    try:
        for sample in samples:
            if writer is None:
                writer = _writer(folder, prefix, names)
                counts.append(0)
            elif size + sample.tar_bytes() + _END > shard_bytes:
                writer.next_stream()
                counts.append(0)
                size = 0
            writer.write({"__key__": sample.key, **sample.members})
            _let_go(writer)
            size += sample.tar_bytes()
            counts[-1] += 1
    finally:
        if writer is not None:
            writer.close()
    return tuple(
        ShardFacts(name=name, sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size, samples=count)
        for name, count in zip(names, counts, strict=True)
    )


def write_tar(samples: Iterable[Sample], path: Path) -> None:
    """Write samples in the order given to one tar.

    Args:
        samples: Keys are unique and hold no dot.
        path: The tar.
    """
    from webdataset import TarWriter  # here, for it brings torch

    with path.open("wb") as file, TarWriter(file, **_SAME_FOR_ALL) as writer:
        for sample in samples:
            writer.write({"__key__": sample.key, **sample.members})


def members(file: Path | io.BufferedIOBase) -> Iterator[Member]:
    """Yield the members of a tar in order, which may be moved about in the file meanwhile; nothing is unpacked."""
    with tarfile.open(file, "r:") if isinstance(file, Path) else tarfile.open(fileobj=file, mode="r:") as tar:
        for entry in tar:
            yield Member(entry.name, entry.offset_data, entry.size)
            # It keeps a kilobyte of each, and would of a quarter of a million small ones.
            tar.members.clear()  # type: ignore[attr-defined]  # which typeshed lacks


def _let_go(writer: "ShardWriter") -> None:
    """Make a tar that is written forget its members: it keeps a kilobyte of each until it is closed."""
    if writer.tarstream is not None:
        writer.tarstream.tarstream.members.clear()


def _writer(folder: Path, prefix: str, names: list[str]) -> "ShardWriter":
    # The writer rolls by the size of the contents alone, which for small images is half of the tar: it is rolled by
    # `write_tars` instead.
    from webdataset import ShardWriter  # here, for it brings torch, and reading a shard needs neither

    return ShardWriter(
        str(folder.resolve()).replace("%", "%%") + f"/{prefix}-%06d.tar",
        maxcount=sys.maxsize,
        maxsize=sys.maxsize,
        post=lambda name: names.append(Path(name).name),
        verbose=0,
        **_SAME_FOR_ALL,
    )
