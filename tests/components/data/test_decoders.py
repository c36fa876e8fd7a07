"""A file that breaks its decoder costs itself: it is refused with what happened, and every other file is prepared."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, write_shards
from components.data.decoder_process import Limits
from components.data.decoders import Decoders, Made
from components.data.encoding import JpegEncoding, PngEncoding
from components.data.preparation import Preparation
from components.data.sources import Problem
from components.executors import LocalExecutor
from tests.processes import command_of

LONG_AGO_S = 1_000_000_000
PREPARATION = Preparation(size=16, fit="crop", encoding=PngEncoding(), max_image_pixels=50_000_000)


def small(seed: int) -> bytes:
    kept = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)).save(kept, "PNG")
    return kept.getvalue()


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A picture of 49 million pixels, which takes most of a second of a core."""
    kept = io.BytesIO()
    Image.new("L", (7000, 7000), 9).save(kept, "PNG", compress_level=1)
    return kept.getvalue()


def reasons(made: list[Made]) -> list[str]:
    return [one.reason if isinstance(one, Problem) else "" for one in made]


def at_work() -> list[psutil.Process]:
    """Return the processes that decode: those that the forkserver has forked."""
    servers = [one for one in psutil.Process().children() if "components.launch.forking" in command_of(one)]
    return [child for server in servers for child in server.children()]


@contextlib.contextmanager
def each_that_works(end: Callable[[psutil.Process], None], most: int) -> Iterator[list[int]]:
    """Meanwhile end, at most so many times, each process that has worked on a file for a tenth of a second."""
    over, ended = threading.Event(), []

    def look() -> None:
        while not over.wait(0.005) and len(ended) < most:
            for one in at_work():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if one.pid not in ended and one.cpu_times().user > 0.1 and len(ended) < most:
                        end(one)
                        ended.append(one.pid)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield ended
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_made_does_not_depend_on_who_makes_it(guarded: bool) -> None:
    chunks = [[small(seed) for seed in range(start, start + 5)] + [b"no picture", b""] for start in range(0, 30, 5)]
    lossy = PREPARATION.model_copy(update={"encoding": JpegEncoding(), "fit": "pad"})
    for preparation in (PREPARATION, lossy):
        with Decoders(preparation, 3, guarded=guarded) as decoders:
            made = [future.result() for future in [decoders.submit(chunk) for chunk in chunks]]
        assert made == [[preparation.prepare(content) for content in chunk] for chunk in chunks]


def test_a_file_that_takes_too_long_is_refused_and_the_others_are_prepared(slow: bytes) -> None:
    chunk = [small(0), slow, small(1), slow, slow, small(2)]
    with Decoders(PREPARATION, 1, guarded=True, limits=Limits(cpu_s=0.1)) as decoders:
        made = decoders.submit(chunk).result()
    assert reasons(made) == ["", "took_too_long", "", "took_too_long", "took_too_long", ""]
    assert made[1].found == "not decoded after 0.1 s of a core"
    assert made[5] == PREPARATION.prepare(small(2))


def test_a_file_that_is_waited_for_in_vain_is_refused(slow: bytes) -> None:
    with Decoders(PREPARATION, 1, guarded=True, limits=Limits(wall_s=0.05)) as decoders:
        (made,) = decoders.submit([slow]).result()
    assert made == Problem("took_too_long", "not decoded after 0.05 s")


def test_a_file_that_crashes_its_decoder_twice_is_refused_and_the_others_are_prepared(slow: bytes) -> None:
    crash = each_that_works(lambda one: one.send_signal(signal.SIGSEGV), most=2)
    with Decoders(PREPARATION, 1, guarded=True) as decoders, crash as ended:
        made = decoders.submit([small(0), slow, small(1)]).result()
    assert len(ended) == 2
    assert reasons(made) == ["", "crashed_the_decoder", ""]
    assert made[1].found == "it ended with SIGSEGV"


def test_a_decoder_that_is_killed_from_outside_costs_no_file(slow: bytes) -> None:
    crash = each_that_works(lambda one: one.kill(), most=1)
    with Decoders(PREPARATION, 1, guarded=True) as decoders, crash as ended:
        made = decoders.submit([small(0), slow, small(1)]).result()
    assert len(ended) == 1
    assert reasons(made) == ["", "", ""]


def test_a_file_that_needs_too_much_memory_is_refused_and_the_others_are_prepared(slow: bytes) -> None:
    limits = Limits(fixed_bytes=2**25, bytes_per_pixel=0)
    with Decoders(PREPARATION, 1, guarded=True, limits=limits) as decoders:
        made = decoders.submit([small(0), slow, small(1)]).result()
        larger = decoders.submit([bytes(2**26), small(2)]).result()
    assert reasons(made) == ["", "damaged", ""]
    assert made[1].found == "MemoryError"
    assert reasons(larger) == ["crashed_the_decoder", ""]
    assert larger[0].found == "it ended with MemoryError"


@pytest.mark.slow
def test_the_usual_limits_leave_room_for_the_largest_picture_in_the_costliest_form() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    kept = io.BytesIO()
    Image.new("RGBA", (7071, 7071), (9, 9, 9, 128)).save(kept, "PNG", exif=turned, compress_level=1)
    with Decoders(PREPARATION, 1, guarded=True) as decoders:
        (made,) = decoders.submit([kept.getvalue()]).result()
    assert not isinstance(made, Problem), made


def test_no_process_is_left_when_the_work_is_done_or_given_up() -> None:
    with pytest.raises(KeyboardInterrupt), Decoders(PREPARATION, 2, guarded=True) as decoders:  # noqa: PT012
        assert len([decoders.submit([small(seed)]).result() for seed in range(4)]) == 4
        assert at_work()
        raise KeyboardInterrupt
    deadline = time.monotonic() + 20
    while at_work():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_decoders_end_with_the_program_that_is_killed(root: Path) -> None:
    program = """if True:
        import os, sys, time
        from components.data.decoders import Decoders
        from components.data.preparation import Preparation
        preparation = Preparation(size=16, fit="crop", encoding={"kind": "png"}, max_image_pixels=1000)
        decoders = Decoders(preparation, 1, guarded=True)
        decoders.submit([b"no picture"]).result()
        print("at work", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root) as started:
        assert started.stdout.readline() == b"at work\n"
        others = psutil.Process(started.pid).children(recursive=True)
        started.kill()
    _, alive = psutil.wait_procs(others, timeout=20)
    assert len(others) >= 2
    assert not alive


def test_decoders_import_nothing_heavy(root: Path) -> None:
    heavy = (
        "import components.data.decoder_process, sys; print({'torch', 'mlflow', 'prefect', 'boto3'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, cwd=root)
    assert said.stdout == "set()\n"


def test_shards_of_files_are_the_same_bytes_for_any_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed in range(80):
        (tmp_path / "in" / f"{seed}.png").write_bytes(small(seed))
    (tmp_path / "in" / "broken.png").write_bytes(small(0)[:200])
    for path in (tmp_path / "in").iterdir():
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))  # of files of this moment less is remembered
    dataset = DatasetConfig(source=FolderSource(path=tmp_path / "in"), size=16)
    one, three = (
        write_shards(dataset, Store(tmp_path / f"{count}"), executor=LocalExecutor(workers=count)) for count in (1, 3)
    )
    assert {file.name: file.read_bytes() for file in one.path.iterdir()} == {
        file.name: file.read_bytes() for file in three.path.iterdir()
    }
    assert (one.found, one.accepted, one.rejected) == (81, 80, {"truncated": 1})
