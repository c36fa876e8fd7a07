"""What each rank of the comparison with one process runs: one training after the other, as ranks take long to start."""

import sys
from pathlib import Path

from components import distributed
from components.launch import Reporting
from components.worker.jobs import TrainJob
from components.worker.train import run_training


def main() -> None:
    """Train as each of the jobs in the files named on the command line says."""
    with Reporting(), distributed.process_group() as world:
        for file in sys.argv[1:]:
            run_training(TrainJob.model_validate_json(Path(file).read_bytes()), world, lambda: False)


if __name__ == "__main__":
    main()
