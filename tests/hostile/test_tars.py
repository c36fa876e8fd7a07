"""Tars that mislead their reader end in words, soon and in little memory: none goes round, ends early or fills it."""

import io
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from components.data.sources import WebdatasetSource

PICTURE, MUCH = b"p" * 700, 2**31
SOON_S, LITTLE_BYTES = 2.0, 64 * 2**20


def header(name: str, sort: bytes = tarfile.REGTYPE, size: int = 0, extended: bool = False) -> bytes:
    """Return a header block, whatever it says."""
    entry = tarfile.TarInfo(name)
    entry.type = sort
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    # Sizes below 0, and those that need more than 11 octal digits, are written in base 256.
    block[124:136] = (size % 256**12).to_bytes(12, "big") if size < 0 else b"%011o\0" % size
    block[124] = 0o377 if size < 0 else block[124]
    block[482] = extended
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, content: bytes = PICTURE) -> bytes:
    return header(name, size=len(content)) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def pax(**facts: str) -> bytes:
    """Return a header of facts about the next member."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a.png")
        entry.pax_headers = {name.replace("_", "."): value for name, value in facts.items()}
        archive.addfile(entry)
        return kept.getvalue()[: archive.offset - 512]


END = bytes(1024)
TARS: dict[str, bytes] = {
    "a member that leads back": member("a.png") + header("b.png", size=-512) + END,
    "a member that leads back by its facts": member("a.png") + pax(size="-4096") + header("b.png") + END,
    "facts that lead back": member("a.png") + header("b.png", tarfile.XHDTYPE, -1024) + END,
    "facts without an end": member("a.png") + header("b.png", tarfile.XHDTYPE, MUCH) + END,
    "a name without an end": member("a.png") + header("b.png", tarfile.GNUTYPE_LONGNAME, MUCH) + END,
    "a list of holes without an end": header("a.png", tarfile.GNUTYPE_SPARSE, extended=True),
    "a header that is damaged": member("a.png") + member("b.png").replace(b"b.png", b"c.png") + END,
    "a header that is cut short": member("a.png") + member("b.png")[:300],
    "a member that is cut short": member("a.png") + member("b.png")[:700],
    "facts and nothing after": member("a.png") + pax(comment="x"),
}


def cost_of(action: Callable[[], object]) -> tuple[float, int]:
    """Return the seconds that it took, and the most bytes that it had."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        action()
    finally:
        seconds, (_, most) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return seconds, most


@pytest.mark.parametrize("name", TARS)
def test_it_ends_in_words(name: str, tmp_path: Path) -> None:
    demand_words(TARS[name], tmp_path / "a.tar")


@pytest.mark.parametrize("name", [name for name, content in TARS.items() if content.endswith(END)])
def test_in_a_large_file_it_ends_in_words_as_well(name: str, tmp_path: Path) -> None:
    demand_words(TARS[name], tmp_path / "a.tar", holes=MUCH)


def demand_words(content: bytes, path: Path, holes: int = 0) -> None:
    """Demand that the tar, with so many zeros after it, is refused soon and in little memory."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + holes)

    def read() -> None:
        for way in (WebdatasetSource(path=path).count, lambda: list(WebdatasetSource(path=path).items())):
            with pytest.raises(ValueError, match="cannot be read as a tar that is not packed"):
                way()

    seconds, most = cost_of(read)
    assert seconds < SOON_S
    assert most < LITTLE_BYTES


def test_a_list_of_holes_as_long_as_the_file_is_not_kept(tmp_path: Path) -> None:
    blocks = 20_000
    more = bytes(504) + b"\1" + bytes(7)
    content = (
        header("a.png", tarfile.GNUTYPE_SPARSE, extended=True) + more * blocks + bytes(512) + member("b.png") + END
    )
    (tmp_path / "a.tar").write_bytes(content)
    items = []
    _, most = cost_of(lambda: items.extend(WebdatasetSource(path=tmp_path / "a.tar").items()))
    assert [(item.name, item.problem and item.problem.reason) for item in items] == [
        ("a.tar/a.png", "not_regular"),
        ("a.tar/b.png", None),
    ]
    assert most < 2**20


def test_what_is_packed_is_no_tar(tmp_path: Path) -> None:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w:gz") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = 2**28
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    (tmp_path / "a.tar").write_bytes(kept.getvalue())
    with pytest.raises(ValueError, match="cannot be read as a tar that is not packed"):
        WebdatasetSource(path=tmp_path).count()


def test_good_tars_end_where_they_end(tmp_path: Path) -> None:
    for name, end in (("whole", END), ("without an end", b""), ("with one block for an end", bytes(512))):
        (tmp_path / "a.tar").write_bytes(member("a.png") + member("b.png") + end)
        assert [item.content for item in WebdatasetSource(path=tmp_path).items()] == [PICTURE] * 2, name
