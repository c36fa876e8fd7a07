"""A training whose images stream from an S3 store ends in the bytes of one from a whole copy, whatever happens."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from components import launch
from components.artifacts import Store
from components.artifacts.streaming import HELD
from components.config import ModelConfig
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards
from components.worker.jobs import TrainJob
from components.worker.program import program

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]
BATCH, STEPS, WINDOW, TAR = 16, 24, 3, 16 << 10
LIMIT = 2 * WINDOW * TAR
AWAY_S = 6.0
DATASET = DatasetConfig(source=ShapesSource(images=200, raster_px=16), size=16, shard_bytes=TAR)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The data version in a store that is a folder."""
    return write_shards(DATASET, Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def expected(whole: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last state of a training on it, left alone."""
    return run(job_of(whole, tmp_path_factory.mktemp("whole")))


@pytest.fixture
def streamed(s3: str, whole: ShardSet, tmp_path: Path) -> ShardSet:
    """The same version in a bucket, as another machine than that which made it sees it."""
    made = write_shards(DATASET, Store.open(s3, tmp_path / "maker"))
    assert made.digest == whole.digest
    return Store.open(s3, tmp_path / "trainer", LIMIT).get(ShardSet, made.digest)


def job_of(shards: ShardSet, folder: Path) -> TrainJob:
    """Return a training that decodes its images each time."""
    model = {
        "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 8, "width": 4}},
        "training": {"images": STEPS * BATCH, "batch": BATCH, "window": WINDOW},
        "execution": {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": 4 * BATCH, "cache_bytes": 0},
        "evaluation": {"kind": "generation"},
        "promotion": {"metric": "fd_efficientnet_lite0"},
    }
    return TrainJob(
        run="same",
        model=ModelConfig.model_validate(model),
        seed=5,
        shards=shards.path,
        corruption=None,
        folder=folder,
        cache=folder / "cache",
        tracking_run=None,
    )


def run(job: TrainJob, on_line: Callable[[str], None] = lambda line: None) -> bytes:
    """Train with two processes to the end, and return the last state."""
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / "job.json").write_text(job.model_dump_json())
    variables = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    placement, limits = launch.Placement(2), launch.Limits(timeout_s=240)
    work = program(job.folder / "job.json", variables)
    launch.launch_ranks(work, placement, job.folder / "logs", limits=limits, on_line=on_line)
    return (job.folder / "checkpoints" / f"{STEPS * BATCH:012d}" / "state.safetensors").read_bytes()


@contextmanager
def never_more_than_the_limit(machine: Path) -> Iterator[None]:
    """Look all the time at how many bytes of tars are there, whole and half made."""
    most, ended = [0], threading.Event()

    def look() -> None:
        lock = FileLock(machine / HELD / ".tar.lock", mode=0o666)  # else a tar that goes and the next are seen together
        while not ended.wait(0.002):
            found = {}
            with lock:
                for path in (machine / HELD).glob("*.*"):
                    with suppress(FileNotFoundError):
                        facts = path.stat()
                        found[facts.st_ino] = facts.st_size if facts.st_blocks else 0  # what reserves room takes none
            most[0] = max(most[0], sum(found.values()))

    (machine / HELD).mkdir()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    print(f"at most {most[0]:,} bytes were held of {LIMIT:,}")
    assert 0 < most[0] <= LIMIT


def at(images: int, action: Callable[[], object]) -> Callable[[str], None]:
    """Return what does `action` once so many images were reported."""
    left = [action]

    def on_line(line: str) -> None:
        if left and f'"images": {images}' in line:
            left.pop()()

    return on_line


def kill_ranks() -> None:
    for one in psutil.Process().children(recursive=True):
        if one.name() == "worker":
            one.kill()


def test_it_ends_in_the_same_bytes_and_holds_no_more_than_it_may(streamed, expected, tmp_path):
    assert sum(shard.bytes for shard in streamed.splits["train"].shards) > 3 * LIMIT
    with never_more_than_the_limit(tmp_path / "trainer"):
        assert run(job_of(streamed, tmp_path / "streamed")) == expected


def test_killed_and_resumed_it_ends_in_the_same_bytes(streamed, expected, tmp_path):
    job = job_of(streamed, tmp_path / "killed")
    with never_more_than_the_limit(tmp_path / "trainer"):
        with pytest.raises(launch.LaunchFailed, match="SIGKILL"):
            run(job, at(11 * BATCH, kill_ranks))
        assert run(job) == expected
    assert not list((tmp_path / "trainer" / HELD).glob(".*.part"))


def test_a_store_that_is_away_for_a_while_delays_it(streamed, expected, seaweed, tmp_path):
    taken: list[float] = []

    def take_away() -> None:
        seaweed.kill()
        taken.append(time.monotonic())
        threading.Timer(AWAY_S, seaweed.start).start()

    assert run(job_of(streamed, tmp_path / "streamed"), at(3 * BATCH, take_away)) == expected
    assert time.monotonic() - taken[0] > AWAY_S
