"""What a second process costs: the same work per process with one and with two, which average gradients over gloo."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from harness import Effort, Figure, Peer, Timing

_HERE = Path(__file__).parent


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the one figure: its ratio is the efficiency of weak scaling.

    Judged by CPU time alone: two cores may be one core's two threads, which two processes then share.
    """
    each = 32 * effort.of(16, 2)
    two = Ranks("ours, two processes", each, 2, folder)
    one = Ranks("ours, one process", each, 1, folder)

    def check() -> str:
        found = [{facts["images"] - 2 * 32 * ranks.processes for facts in ranks.ran()} for ranks in (one, two)]
        assert found == [{each}, {2 * each}], found
        return f"{each} images per process were trained on, 32 per process and step"

    name = "gradients averaged over gloo, per process"
    yield Figure(name, "images", two, [Peer(one, 0.9)], check, cores=2, clocks=("cpu",))


@dataclass(frozen=True)
class Ranks:
    """A contender that is a group of processes; its time is that of training alone, the mean over processes."""

    name: str
    units: float
    processes: int
    folder: Path

    def measure(self) -> Timing:
        found = self.ran()
        return Timing(*(sum(facts[clock] for facts in found) / len(found) for clock in ("wall_s", "cpu_s")))

    def ran(self) -> list[dict[str, Any]]:
        """Run the group and return what each process found."""
        notes = Path(mkdtemp(dir=self.folder))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        count = str(self.processes)
        world = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        # Gradients of unused parameters are looked for on purpose (components/distributed.py); torch warns of it.
        environment = {**os.environ, **world, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        command = [sys.executable, str(_HERE / "ranks.py"), str(int(self.units)), str(notes)]
        ranks = [
            subprocess.Popen(command, env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(self.processes)
        ]
        codes = [rank.wait() for rank in ranks]
        assert not any(codes), f"{self.name}: exit codes {codes}"
        return [json.loads((notes / f"{rank}.json").read_text()) for rank in range(self.processes)]
