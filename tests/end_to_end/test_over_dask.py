"""A whole run whose partitions a Dask cluster works on, while workers are killed, leaves what one machine leaves."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.artifacts.artifact import MANIFEST
from tests.clusters import Cluster, running

pytestmark = [pytest.mark.smoke, pytest.mark.server, pytest.mark.timeout(1000)]

MADE_BY_PARTITIONS = ("store/shardset", "store/corruptionset", "store/imagefacts", "cache/imagefeatures")
KILLED_IN = ("shard", "features")


@pytest.fixture(scope="module")
def cluster(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(root, tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


class Killer:
    """Reads what a run says and kills a worker, each time another one, when it has begun with one of some stages."""

    def __init__(self, cluster: Cluster, said: Iterator[str]) -> None:
        self.lines: list[str] = []
        self.killed: dict[str, int] = {}
        self._cluster = cluster
        self._thread = threading.Thread(target=self._read, args=(said,))
        self._thread.start()

    def end(self) -> str:
        self._thread.join()
        return "".join(self.lines)

    def _read(self, said: Iterator[str]) -> None:
        for line in said:
            self.lines.append(line)
            stage = next((one for one in KILLED_IN if f"{one}: " in line and one not in self.killed), None)
            if stage is not None:
                worker = self._cluster.workers[-1]
                worker.send_signal(signal.SIGKILL)
                self.killed[stage] = worker.pid


def files(home: Path, folder: str) -> dict[str, bytes]:
    """Return the files of all artifacts of a kind, by digest and name."""
    found = {}
    for path in (home / folder).glob("[!.]*/*"):
        found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    assert any(name.endswith(MANIFEST) for name in found)
    return found


def test_a_run_over_a_cluster_that_loses_workers_leaves_the_bytes_of_one_machine(smoke, start, cluster, tmp_path):
    executor = f"executor={{kind: dask, scheduler: '{cluster.address}'}}"
    process = start("run", smoke.config, "--set", executor, home=tmp_path)
    killer = Killer(cluster, process.stderr)
    out = process.stdout.read()
    said = killer.end()
    assert process.wait() == 0, said
    assert set(killer.killed) == set(KILLED_IN)
    assert out.splitlines()[-1].startswith("Page:")
    assert "Traceback" not in said
    for folder in MADE_BY_PARTITIONS:
        assert files(tmp_path, folder) == files(smoke.home, folder), folder
