"""What networks see in images is the same bytes whether this machine, ranks or a Dask cluster's workers look."""

import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import Artifact, Store
from components.data import DatasetConfig, ShapesSource, ShardReader, ShardSet, write_shards
from components.evaluation.evidence import images_name
from components.evaluation.extractors import EfficientNetLite0Config, FidelityConfig, InceptionConfig
from components.evaluation.features import Extractor, FeatureSet, Pictures
from components.evaluation.generation import GenerationEvaluation
from components.evaluation.image_features import features_over, shared_features
from components.evaluation.likeness import Sketches
from components.evaluation.neighbours import measured_neighbours, sketched
from components.evaluation.reference import measured_reference
from components.executors import LOCAL, DaskExecutor, ExecutorConfig
from components.executors.dask_cluster import ClusterError
from components.stages.evaluate import looks_over
from components.stages.shift import data_shift
from tests.clusters import Cluster

pytestmark = [pytest.mark.server, pytest.mark.slow]

IMAGES = 700
FIDELITY = FidelityConfig(extractor=EfficientNetLite0Config(resolution=64))


class Blind(Extractor):
    """Is not to be asked."""

    def see(self, images: Pictures) -> FeatureSet:
        raise AssertionError(f"asked about {len(images)} images that are known")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Drawn shapes, some 390 of them in each of two splits: six partitions and a few images more."""
    dataset = DatasetConfig.model_validate(
        {"source": ShapesSource(images=IMAGES, raster_px=16), "size": 16, "split": {"validation": 0.0, "test": 0.55}}
    )
    return write_shards(dataset, Store(tmp_path_factory.mktemp("shapes")))


def files(artifact: Artifact) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in artifact.path.iterdir()}


@pytest.fixture(scope="module")
def here(shards: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process of this machine sees, as ranks do, and keeps."""
    cache, test = tmp_path_factory.mktemp("here"), ShardReader(shards, "test")
    pictures = test.images(np.arange(len(test)))
    shared_features(pictures, len(pictures), images_name(shards, "test"), Extractor(FIDELITY), cache)
    (kept,) = cache.glob("imagefeatures/*")
    return {file.name: file.read_bytes() for file in kept.iterdir()}


def test_features_by_workers_and_by_this_machine_are_the_bytes_that_ranks_keep(
    shards: ShardSet, here: dict[str, bytes], cluster: Cluster, tmp_path: Path
) -> None:
    executors: list[ExecutorConfig] = [cluster.executor, LOCAL]
    for executor in executors:
        found = features_over(executor, shards, "test", None, FIDELITY, tmp_path / executor.kind)
        assert files(found) == here


def test_a_worker_that_is_killed_while_it_looks_costs_nothing(
    shards: ShardSet, here: dict[str, bytes], cluster: Cluster, tmp_path: Path
) -> None:
    killed = []

    def kill_one(done: int, total: int | None) -> None:
        if not killed:
            assert done < (total or 0) / 2
            killed.append(cluster.workers[0])
            killed[0].send_signal(signal.SIGKILL)

    found = features_over(cluster.executor, shards, "test", None, FIDELITY, tmp_path, kill_one)
    assert not killed[0].is_running()
    assert files(found) == here


def test_a_scheduler_that_is_lost_is_said_and_the_same_call_goes_on(
    shards: ShardSet, here: dict[str, bytes], mortal: Cluster, tmp_path: Path
) -> None:
    def kill(done: int, total: int | None) -> None:
        if mortal.scheduler.is_running():
            mortal.scheduler.kill()
            mortal.scheduler.wait()

    with pytest.raises(ClusterError, match=f"the Dask scheduler at {mortal.executor.scheduler} was lost"):
        features_over(mortal.executor, shards, "test", None, FIDELITY, tmp_path, kill)
    assert not list(tmp_path.glob("*/*/manifest.json"))
    assert files(features_over(LOCAL, shards, "test", None, FIDELITY, tmp_path)) == here


def test_what_workers_saw_is_all_that_ranks_need_to_know_of_the_images(
    shards: ShardSet, cluster: Cluster, tmp_path: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    evaluation = GenerationEvaluation(fidelity=FIDELITY)
    evaluation.look_over(cluster.executor, shards, None, tmp_path, lambda done, total: told.append((done, total)))
    counts = {split: facts.samples for split, facts in shards.splits.items()}
    assert {total for _, total in told} == {counts["test"], counts["train"]}

    def sketches_of(reader: ShardReader) -> tuple[Pictures, Sketches]:
        pictures = reader.images(np.arange(len(reader)))
        return pictures, sketched(pictures, slice(0, len(pictures)))

    test, small = sketches_of(ShardReader(shards, "test"))
    training, _ = sketches_of(ShardReader(shards, "train"))
    names = {split: images_name(shards, split) for split in ("train", "test")}
    reference = measured_reference(test, names["test"], Blind(FIDELITY), tmp_path)
    assert reference is not None
    known = measured_neighbours(
        training, names["train"], (reference.features, small), names["test"], Blind(FIDELITY), tmp_path
    )
    assert known is not None
    assert len(known.features) == counts["train"]


def test_drift_is_the_same_bytes(shards: ShardSet, cluster: Cluster, tmp_path: Path) -> None:
    grown = DatasetConfig.model_validate({"source": ShapesSource(images=IMAGES + 150, raster_px=16), "size": 16})
    today = write_shards(grown, Store(tmp_path / "grown"))

    def found(executor: ExecutorConfig) -> dict[str, bytes]:
        shift = data_shift(shards, today, Store(tmp_path / executor.kind), executor)
        assert shift.shift.images >= 140
        return files(shift)

    assert found(cluster.executor) == found(LOCAL)


def test_where_no_scheduler_answers_nothing_is_looked_at_and_it_is_said(shards: ShardSet, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ValueError, match=f"no Dask scheduler answers at {address}"):
        features_over(DaskExecutor(scheduler=address), shards, "test", None, FIDELITY, tmp_path)


def test_weights_that_come_in_no_package_stay_on_this_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.config import load

    monkeypatch.setattr("components.stages.evaluate.cards", dict)
    model = load(root / "tests" / "flows" / "mini.yaml").models["vae"]
    there = DaskExecutor(scheduler="tcp://host:8786")
    own = model.evaluation.model_copy(update={"fidelity": FidelityConfig(extractor=InceptionConfig())})
    assert looks_over(there, model)
    assert not looks_over(LOCAL, model)
    assert not looks_over(there, model.model_copy(update={"evaluation": own}))
    monkeypatch.setattr("components.stages.evaluate.cards", lambda: {"0": "GPU-1"})
    assert not looks_over(there, model)
