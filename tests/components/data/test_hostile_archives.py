"""An archive made to do harm costs little memory, writes nothing, and each of its files is counted."""

import copy
import io
import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.artifacts import Store
from components.data import DatasetConfig, ZipSource, write_shards


def picture(seed: int) -> bytes:
    kept = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(kept, "png")
    return kept.getvalue()


def bomb(method: int, claimed: int) -> bytes:
    """Return an archive whose only member says that it unpacks to `claimed` bytes; it unpacks to 192 MiB."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", method, compresslevel=1) as archive, archive.open("bomb.png", "w") as member:
        for _ in range(192):
            member.write(bytes(2**20))
    content = kept.getvalue()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.infolist()
        packed = member.compress_size
        method = member.compress_type
        start = member.header_offset + 30 + len(member.filename) + int.from_bytes(content[28:30], "little")
    name, data = b"bomb.png", content[start : start + packed]
    crc = 0
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 0, crc, packed, claimed, len(name), 0) + name
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 0, crc, packed, claimed, len(name), 0, 0, 0, 0, 0, 0
    )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry) + len(name), len(local) + packed, 0)
    return local + data + entry + name + end


def test_names_that_lead_out_links_and_archives_in_archives_are_only_bytes(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(0))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep.png", picture(1))
    path = tmp_path / "in" / "hostile.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for seed, name in enumerate(("../out.png", "/abs.png", "a/../../b.png", "C:\\c.png", "nul\0.png"), 10):
            archive.writestr(name, picture(seed))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, os.fsencode(secret))
        archive.writestr("inner.zip", inner.getvalue())
        for seed in range(20, 40):
            archive.writestr(f"{seed}.png", picture(seed))
    config = DatasetConfig(source=ZipSource(path=path), size=16, rejected_limit_fraction=0.2)
    shards = write_shards(config, Store(tmp_path / "store"))
    assert shards.accepted == 25
    assert shards.rejected == {"not_an_image": 2}  # the link's text and the inner archive
    assert {one.name for one in tmp_path.iterdir()} == {"secret.png", "in", "store"}
    assert [one.name for one in path.parent.iterdir()] == ["hostile.zip"]
    assert not Path("/abs.png").exists()


def test_members_that_share_their_bytes_are_refused_but_for_the_first(tmp_path: Path) -> None:
    kept, content = io.BytesIO(), picture(1)
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("a.png", content)
        archive.writestr("b.png", picture(2))
        (first, second) = archive.infolist()
        for number in range(1_000):  # entries of the directory alone, all of which say that the bytes are theirs
            again = copy.copy(first)
            again.header_offset += 0 if number % 2 else 40
            archive.filelist.append(again)
        assert second.header_offset > 40
    (tmp_path / "a.zip").write_bytes(kept.getvalue())
    items = list(ZipSource(path=tmp_path / "a.zip").items())
    assert len(items) == 1_002
    assert sorted(item.content for item in items if item.problem is None) == sorted([content, picture(2)])
    assert {item.problem.found for item in items if item.problem} == {"its bytes are those of another member, too"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(("claimed", "reason"), [(3 * 2**30, "too_large"), (1000, "unreadable")])
def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, method: int, claimed: int, reason: str) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(bomb(method, claimed))
    assert path.stat().st_size < 4 * 2**20
    tracemalloc.start()
    (item,) = ZipSource(path=path).items()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert item.problem is not None
    assert item.problem.reason == reason
    assert peak < 64 * 2**20
