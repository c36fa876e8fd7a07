"""A cluster of two workers that tests share, and one of a single worker for a test that ends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import WORKERS, Cluster, running, until


@pytest.fixture(scope="session")
def started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(root, tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The cluster with both its workers, whatever befell them in another test."""
    until(lambda: f"workers {WORKERS}," in started.executor.describe())
    return started


@pytest.fixture
def mortal(root: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one worker that no other test needs."""
    with running(root, tmp_path, 1) as cluster:
        yield cluster
