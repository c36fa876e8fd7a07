"""Sharding that is killed goes on where it was; two at once make one dataset; a full disk leaves nothing finished."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.artifacts import Store
from components.data import DatasetConfig, write_shards
from components.data.memory import Outcome
from components.data.sources import FolderSource, Problem, ShapesSource
from components.data.spool import Spool
from components.executors import LocalExecutor
from components.launch.outcome import Stopped

LONG_AGO_S = 1_000_000_000
IMAGES = 96
PROGRAM = """
import json, sys
from pathlib import Path
from components.artifacts import Store
from components.data import DatasetConfig, write_shards
from components.data.preparation import Preparation
from components.data.sources import FolderSource
from components.data.spool import Spool
from components.executors import LocalExecutor

source, store, decoded, pause_s, writing_pause_s = sys.argv[1:]
really, image = Preparation.prepare, Spool.image

def slowly(spool, entry):
    import time
    time.sleep(float(writing_pause_s))
    return image(spool, entry)

def watched(preparation, content):
    import hashlib, time
    time.sleep(float(pause_s))
    made = really(preparation, content)
    with open(decoded, "a") as file:
        file.write(hashlib.sha256(content).hexdigest() + "\\n")
    return made

Preparation.prepare = watched
Spool.image = slowly
FolderSource.is_made_here = True  # so it is done in threads of this process, where it can be watched
dataset = DatasetConfig(source=FolderSource(path=source), size=16, shard_bytes="32KiB")
print(json.dumps(write_shards(dataset, Store(Path(store)), executor=LocalExecutor(workers=1)).model_dump(mode="json")))
"""
"""Shards a folder in a process of its own, which writes down whose bytes it decodes."""


def pile(path: Path, images: int = IMAGES) -> DatasetConfig:
    path.mkdir()
    for item in ShapesSource(images=images, raster_px=16).items():
        (path / item.name).write_bytes(item.content)
        os.utime(path / item.name, (LONG_AGO_S, LONG_AGO_S))
    return DatasetConfig(source=FolderSource(path=path), size=16, shard_bytes="32KiB")


def started(tmp_path: Path, pause_s: float = 0.0, writing_pause_s: float = 0.0) -> subprocess.Popen[str]:
    arguments = [tmp_path / "pile", tmp_path / "store", tmp_path / "decoded", pause_s, writing_pause_s]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_what_was_decoded_before_a_kill_is_not_decoded_again(tmp_path: Path) -> None:
    dataset = pile(tmp_path / "pile")
    process = started(tmp_path, pause_s=0.02)
    while len(lines(tmp_path / "decoded")) < 72 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(Store(tmp_path / "store").digests("shardset"))
    killed = len(lines(tmp_path / "decoded"))
    assert killed < IMAGES
    output, _ = started(tmp_path).communicate(timeout=100)
    whole = write_shards(dataset, Store(tmp_path / "whole"))
    assert json.loads(output)["splits"] == whole.model_dump(mode="json")["splits"]
    # What was under way when a kill came, a few chunks of 32 files, had not been put by yet.
    assert len(lines(tmp_path / "decoded")) <= IMAGES + 32
    assert len(set(lines(tmp_path / "decoded"))) == IMAGES
    assert not list((tmp_path / "store" / ".spool").glob("*.spool"))


def test_what_was_decoded_before_a_kill_between_two_tars_is_not_decoded_again(tmp_path: Path) -> None:
    dataset = pile(tmp_path / "pile")
    process = started(tmp_path, writing_pause_s=0.05)
    while not list((tmp_path / "store" / "shardset").glob("*/*-000001.tar")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(Store(tmp_path / "store").digests("shardset"))
    output, _ = started(tmp_path).communicate(timeout=100)
    whole = write_shards(dataset, Store(tmp_path / "whole"))
    assert json.loads(output)["splits"] == whole.model_dump(mode="json")["splits"]
    assert len(lines(tmp_path / "decoded")) == IMAGES
    (made,) = (tmp_path / "store" / "shardset").glob(f"{whole.digest}*")
    assert (made / "items.npy").read_bytes() == (whole.path / "items.npy").read_bytes()
    assert (made / "train.index.npy").read_bytes() == (whole.path / "train.index.npy").read_bytes()


def test_two_at_once_decode_every_image_once_and_end_with_one_dataset(tmp_path: Path) -> None:
    pile(tmp_path / "pile")
    both = [started(tmp_path, pause_s=0.01) for _ in range(2)]
    first, second = (json.loads(process.communicate(timeout=100)[0]) for process in both)
    assert first == second
    assert sorted(set(lines(tmp_path / "decoded"))) == sorted(lines(tmp_path / "decoded"))
    assert list(Store(tmp_path / "store").digests("shardset")) == [first["digest"]]


def test_a_full_disk_leaves_nothing_that_looks_finished_and_no_work_is_lost(tmp_path: Path) -> None:
    dataset = pile(tmp_path / "pile")
    store = Store(tmp_path / "store")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(Stopped, match="disk is full"):
            write_shards(dataset, store, executor=LocalExecutor(workers=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list((tmp_path / "store" / "shardset").iterdir())
    again = write_shards(dataset, store)
    assert again.splits == write_shards(dataset, Store(tmp_path / "whole")).splits


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_torn_entry_of_a_spool_is_cut_off_and_the_others_stay(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.spool"
    image = Outcome("0" * 31 + "1", "PNG", (3, 4))
    refusal = Outcome(problem=Problem("truncated", "half of it"))
    with Spool.open(path) as spool:
        spool.add(b"a" * 32, image, b"the image")
        spool.add(b"b" * 32, refusal, b"")
        spool.add(b"c" * 32, Outcome("2" * 32, "PNG", (1, 1)), b"another")
    path.write_bytes(path.read_bytes()[:-cut])
    with Spool.open(path) as spool:
        assert spool.taken_up == 2
        assert spool.find(b"a" * 32) == image
        assert spool.find(b"b" * 32) == refusal
        assert spool.find(b"c" * 32) is None
        spool.add(b"d" * 32, Outcome("3" * 32, "PNG", (1, 1)), b"a third")
        assert [spool.image(one) for one in spool.images()] == [b"the image", b"a third"]
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with Spool.open(path) as spool:
        assert spool.taken_up == 0
