"""Held files never take more than their limit, stay while they are held, and outlive processes that are killed."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from components.artifacts.files import draft_file
from components.artifacts.held import HeldFiles

SIZE, FITTING = 1000, 4
ANOTHER = """
import sys, time
from pathlib import Path
from components.artifacts.files import draft_file
from components.artifacts.held import HeldFiles

def make(path):
    with draft_file(path) as draft:
        draft.write_bytes(b"half")
        if sys.argv[2] == "making":
            print("there", flush=True)
            time.sleep(60)
        draft.write_bytes(bytes(1000))

held = HeldFiles(Path(sys.argv[1]), ".tar", 4000).hold("other", 1000, make)
print("there", flush=True)
time.sleep(60)
"""


@pytest.fixture
def files(tmp_path: Path) -> HeldFiles:
    return HeldFiles(tmp_path / "held", ".tar", FITTING * SIZE)


def making(content: bytes = bytes(SIZE), told: list[str] | None = None) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        if told is not None:
            told.append(path.stem)
        with draft_file(path) as draft:
            draft.write_bytes(content)

    return make


def names(files: HeldFiles) -> set[str]:
    return {path.stem for path in files.folder.glob("[!.]*")}


def in_another_process(files: HeldFiles, what: str) -> "subprocess.Popen[str]":
    """Start a process that holds the file `other`, or is half through with making it."""
    command = [sys.executable, "-c", ANOTHER, str(files.folder), what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_a_file_is_made_once_whoever_asks_for_it(files: HeldFiles) -> None:
    made: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: files.hold("one", SIZE, making(b"x" * SIZE, made)), range(8)))
    assert made == ["one"]
    assert [held.read(SIZE - 2, 10) for held in found if held] == [b"xx"] * 8


def test_those_not_used_for_longest_go_first(files: HeldFiles) -> None:
    for name in ("a", "b", "c", "d", "a", "e", "f"):
        held = files.hold(name, SIZE, making())
        assert held is not None
        held.release()
    assert names(files) == {"a", "d", "e", "f"}


def test_what_is_held_stays_and_there_may_be_no_room(files: HeldFiles) -> None:
    held = [files.hold(name, SIZE, making(name.encode() * SIZE)) for name in "abcd"]
    assert files.hold("e", SIZE, making()) is None
    assert names(files) == set("abcd")
    assert held[0] is not None
    assert held[0].read(0, 2) == b"aa"
    held[1].release()
    with files.hold("e", SIZE, making()):
        assert names(files) == set("acde")


def test_a_file_larger_than_the_limit_is_never_made(files: HeldFiles) -> None:
    assert files.hold("large", FITTING * SIZE + 1, making()) is None


def test_an_error_in_the_making_leaves_nothing_behind(files: HeldFiles) -> None:
    def broken(path: Path) -> None:
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone"):
        files.hold("one", SIZE, broken)
    assert [path.name for path in files.folder.iterdir()] == [".tar.lock"]


def test_a_file_cut_short_is_made_again(files: HeldFiles) -> None:
    files.hold("one", SIZE, making()).release()
    (files.folder / "one.tar").write_bytes(b"short")
    with files.hold("one", SIZE, making(b"y" * SIZE)) as held:
        assert held.read(0, SIZE) == b"y" * SIZE


def test_a_process_that_is_killed_holds_nothing_any_more(files: HeldFiles) -> None:
    process = in_another_process(files, "holding")
    held = [files.hold(name, SIZE, making()) for name in "abcd"]
    assert held[3] is None
    assert "other" in names(files)
    process.kill()
    process.communicate()
    assert files.hold("d", SIZE, making()) is not None
    assert names(files) == set("abcd")


@pytest.mark.parametrize("wanted", ["other", "another"])
def test_what_a_killed_process_had_half_made_goes(files: HeldFiles, wanted: str) -> None:
    process = in_another_process(files, "making")
    held = [files.hold(name, SIZE, making()) for name in "abc"]
    assert files.hold("another", SIZE, making()) is None  # room is reserved for what is being made
    assert None not in held
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(files.folder.glob(".other.tar.*.part"))
    with files.hold(wanted, SIZE, making()) as found:
        assert found.read(0, 4) == bytes(4)
    assert names(files) == {"a", "b", "c", wanted}
    assert [path.name for path in files.folder.glob(".*")] == [".tar.lock"]


def test_a_file_that_others_waited_for_counts_while_they_take_it(files: HeldFiles) -> None:
    held = [files.hold(name, SIZE, making()) for name in "abcd"]
    (files.folder / ".a.tar.making").touch()
    with (files.folder / ".a.tar.making").open("rb") as waited:  # as one does who was told that it is made
        fcntl.flock(waited, fcntl.LOCK_EX)
        assert files.hold("e", SIZE, making()) is None
    assert None not in held


def test_there_is_never_more_than_the_limit(files: HeldFiles) -> None:
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.is_set():
            sizes = []
            for path in files.folder.glob("*"):
                try:
                    sizes.append(path.stat().st_blocks and path.stat().st_size)
                except FileNotFoundError:
                    continue
            most[0] = max(most[0], sum(sizes))

    def use(number: int) -> None:
        with files.hold(f"{number % 11}", SIZE, making(bytes([number % 11]) * SIZE)) as held:
            assert held.read(0, 3) == bytes([number % 11]) * 3
            time.sleep(0.001)

    files.folder.mkdir()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with ThreadPoolExecutor(3) as pool:  # fewer than fit, so that there is always room for one more
            list(pool.map(use, range(300)))
    finally:
        ended.set()
        watcher.join()
    assert SIZE < most[0] <= FITTING * SIZE


USER = """
import random, sys
from pathlib import Path
from components.artifacts.files import draft_file
from components.artifacts.held import HeldFiles

files, dice = HeldFiles(Path(sys.argv[1]), ".tar", 4000), random.Random(int(sys.argv[2]))
while True:
    name = dice.randrange(12)
    def make(path):
        with draft_file(path) as draft:
            for part in range(4):
                with draft.open("ab") as file:
                    file.write(bytes([name]) * 250)
    held = files.hold(str(name), 1000, make)
    if held is not None:
        assert held.read(0, 1000) == bytes([name]) * 1000
        held.release()
        print("held", flush=True)
"""


@pytest.mark.slow
def test_processes_that_are_killed_at_any_moment_leave_it_within_the_limit(files: HeldFiles) -> None:
    dice, kills = random.Random(7), 15

    def start(seed: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", USER, str(files.folder), str(seed)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])

    users = [start(seed) for seed in range(3)]
    seen = 0
    for number in range(kills):
        user = users[number % 3]
        assert user.stdout is not None
        assert user.stdout.readline() == "held\n"  # it is at work
        for _ in range(dice.randrange(20)):
            seen = max(seen, bytes_in(files))
        user.kill()
        user.communicate()
        users[number % 3] = start(10 + number)
    for user in users:
        user.kill()
        user.communicate()
    assert 0 < seen <= files.limit
    for name in "wxyz":
        with files.hold(name, SIZE, making()):
            assert bytes_in(files) <= files.limit
    assert names(files) == set("wxyz")
    assert [path.name for path in files.folder.glob(".*")] == [".tar.lock"]


def bytes_in(files: HeldFiles) -> int:
    """Return the bytes of files whole and half made, with nobody making room meanwhile."""
    found = {}
    with (files.folder / ".tar.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in files.folder.glob("*.*"):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found[facts.st_ino] = facts.st_size if facts.st_blocks else 0  # what reserves room takes none
    return sum(found.values())
