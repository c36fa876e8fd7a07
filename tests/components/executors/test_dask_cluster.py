"""A Dask cluster makes the bytes that this machine makes, loses nothing with a worker, and says what is wrong."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from components.artifacts import Artifact, Store
from components.config import load
from components.corruption import CorruptionMix
from components.data import DatasetConfig, FolderSource, FrozenSetConfig, ShardSet, write_corruption_set, write_shards
from components.data.decoding import prepared_here
from components.data.encoding import PngEncoding
from components.data.preparation import Preparation
from components.data.sources import Problem
from components.executors import LOCAL, DaskExecutor, ExecutorConfig, LocalExecutor, Packed
from components.executors.dask_cluster import ClusterError
from components.executors.sameness import OtherWorkerError, checked, own_facts
from components.quality.facts import image_facts
from components.stages.inputs import content_of
from components.stages.nights import run_digest
from components.stages.plan import plan
from flows.cli.doctor.dask_scheduler import findings
from tests.clusters import Cluster
from tests.processes import command_of

pytestmark = [pytest.mark.server, pytest.mark.slow]

LONG_AGO_S = 1_000_000_000
IMAGES = 300
FROZEN = FrozenSetConfig(images=25)


def encoded(seed: int) -> bytes:
    kept = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)).save(kept, "PNG")
    return kept.getvalue()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetConfig:
    """Pictures, one of them twice, and files that are none."""
    pile = tmp_path_factory.mktemp("pile")
    for seed in range(IMAGES):
        (pile / f"{seed}.png").write_bytes(encoded(seed))
    (pile / "again.png").write_bytes(encoded(7))
    (pile / "broken.png").write_bytes(encoded(0)[:200])
    Image.new("RGB", (2000, 2000), "red").save(pile / "large.bmp")  # 12 MB: more than Dask likes to send at once
    (pile / "text.jpg").write_text("no picture")
    for path in pile.iterdir():
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))  # of files of this moment less is remembered
    return DatasetConfig(source=FolderSource(path=pile), size=16, shard_bytes="32KiB")


@pytest.fixture(scope="module")
def here(dataset: DatasetConfig, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """What this machine makes of it."""
    return write_shards(dataset, Store(tmp_path_factory.mktemp("here")), executor=LocalExecutor(workers=1))


def files(artifact: Artifact) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in artifact.path.iterdir()}


def test_shards_by_two_workers_are_the_same_bytes(
    dataset: DatasetConfig, here: ShardSet, cluster: Cluster, tmp_path: Path
) -> None:
    there = write_shards(dataset, Store(tmp_path), executor=cluster.executor)
    assert files(there) == files(here)
    assert there.digest == here.digest
    assert (there.found, there.accepted, there.duplicates) == (IMAGES + 4, IMAGES + 1, 1)
    assert there.rejected == {"not_an_image": 1, "truncated": 1}


def test_a_worker_that_is_killed_midway_costs_nothing(
    dataset: DatasetConfig, here: ShardSet, cluster: Cluster, tmp_path: Path
) -> None:
    killed = []

    def kill_one(done: int, total: int | None) -> None:
        if not killed and done < IMAGES / 2:
            killed.append(cluster.workers[0])
            killed[0].send_signal(signal.SIGKILL)

    there = write_shards(dataset, Store(tmp_path), kill_one, cluster.executor)
    assert len(killed) == 1
    assert not killed[0].is_running()
    assert files(there) == files(here)


def test_a_scheduler_that_is_lost_costs_what_was_under_way(
    dataset: DatasetConfig, here: ShardSet, mortal: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kill(done: int, total: int | None) -> None:
        if mortal.scheduler.is_running() and done >= IMAGES / 3:
            mortal.scheduler.kill()
            mortal.scheduler.wait()

    with pytest.raises(ClusterError, match=f"the Dask scheduler at {mortal.executor.scheduler} was lost"):
        write_shards(dataset, Store(tmp_path / "store"), kill, mortal.executor)
    with caplog.at_level("INFO"):
        assert files(write_shards(dataset, Store(tmp_path / "store"))) == files(here)
    assert "files are known from an interrupted attempt" in caplog.text


def test_damaged_images_and_facts_are_the_same_bytes(here: ShardSet, cluster: Cluster, tmp_path: Path) -> None:
    def made(executor: ExecutorConfig) -> list[dict[str, bytes]]:
        store = Store(tmp_path / executor.kind)
        damaged = write_corruption_set(here, FROZEN, CorruptionMix(), 3, store, executor)
        return [files(damaged), files(image_facts(here, store, executor=executor))]

    assert made(cluster.executor) == made(LOCAL)


def decoders_of(workers: list[psutil.Process]) -> Iterator[psutil.Process]:
    """Yield the processes that decode for the workers: those that their forkservers have forked."""
    for server in (child for worker in workers for child in worker.children()):
        if "components.launch.forking" in command_of(server):
            yield from server.children()


def test_a_file_that_kills_its_decoder_costs_the_file_and_not_the_worker(cluster: Cluster) -> None:
    preparation = Preparation(size=16, fit="crop", encoding=PngEncoding(), max_image_pixels=50_000_000)
    slow = io.BytesIO()
    Image.new("L", (7000, 7000), 9).save(slow, "PNG", compress_level=1)
    workers, over = cluster.workers, threading.Event()

    def crash() -> None:
        while not over.wait(0.005):
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in decoders_of(workers):
                    if one.cpu_times().user > 0.1:
                        one.send_signal(signal.SIGSEGV)

    crashing = threading.Thread(target=crash)
    crashing.start()
    try:
        with cluster.executor.open() as crew:
            chunk = Packed.of([encoded(0), slow.getvalue(), encoded(1)])
            made = crew.submit(prepared_here, preparation, chunk, True).result()
    finally:
        over.set()
        crashing.join()
    assert made[1] == Problem("crashed_the_decoder", "it ended with SIGSEGV")
    assert made[::2] == [preparation.prepare(encoded(0)), preparation.prepare(encoded(1))]
    assert all(worker.is_running() for worker in workers)


def test_a_worker_that_would_make_other_bytes_is_not_given_any(cluster: Cluster) -> None:
    other = own_facts() | {"pillow": "1.0"}
    with cluster.executor.open() as crew, pytest.raises(OtherWorkerError, match=r"pillow is 13\.\S+, here 1\.0"):
        crew.submit(checked, other, len, "never counted").result()


def test_where_no_scheduler_answers_a_command_says_what_to_do(root: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    command = [sys.executable, "-m", "flows.cli", "check", "tests/flows/mini.yaml"]
    executor = f"executor={{kind: dask, scheduler: '{address}'}}"
    environment = os.environ | {"KINTSUGI_HOME": str(tmp_path)}
    called = subprocess.run([*command, "--set", executor], capture_output=True, text=True, cwd=root, env=environment)
    assert called.returncode == 2
    assert called.stderr.startswith(
        f"error: no Dask scheduler answers at {address}: start one there (`dask scheduler`)"
    )
    assert called.stderr.count("\n") == 1


def test_a_plan_says_who_works_on_what_has_to_be_made(cluster: Cluster, root: Path, tmp_path: Path) -> None:
    run = load(root / "tests" / "flows" / "mini.yaml").model_copy(update={"executor": cluster.executor})
    store = Store(tmp_path / "store")
    first = plan(run, "", store, tmp_path)[0]
    assert first.stage == "executor"
    assert first.facts.startswith(
        f"Dask at {cluster.executor.scheduler}: workers 2, threads 2; python, kintsugi, dask,"
    )
    shards = write_shards(run.dataset, store)
    write_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)
    assert plan(run, "", store, tmp_path)[0].stage == "executor"  # to take features, before the VAE can be evaluated
    mending = run.model_copy(update={"models": {"inpainter": run.models["inpainter"]}})
    assert plan(mending, "", store, tmp_path)[0].stage == "shard"  # whose state is reuse: nobody has to be there


def test_the_doctor_says_whether_the_scheduler_and_its_workers_will_do(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert list(findings()) == []
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", str(cluster.executor.scheduler))
    assert [(one.state, one.found.partition(";")[0]) for one in findings()] == [
        ("ok", f"Dask at {cluster.executor.scheduler}: workers 2, threads 2")
    ]


def test_the_executor_is_part_of_no_digest(root: Path) -> None:
    run = load(root / "tests" / "flows" / "mini.yaml")
    other = run.model_copy(update={"executor": DaskExecutor(scheduler="tcp://host:8786")})
    assert "executor" not in run.model_dump()
    assert content_of(other) == content_of(run)
    assert run_digest(other) == run_digest(run)
