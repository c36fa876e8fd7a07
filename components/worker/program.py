"""Program: what a launch starts on every rank, named without importing it."""

from collections.abc import Mapping
from pathlib import Path

from components.launch import Program

_WORKER = "components.worker"


def program(job: Path, variables: Mapping[str, str]) -> Program:
    """Return what ranks run to do the job in a file, with variables of their own."""
    return Program(_WORKER, [str(job)], variables, ("torch.distributed.run", f"{_WORKER}.__main__"))
