"""What torchrun starts on every rank: `python -m components.worker JOB.json` trains or evaluates."""

import logging
import sys
from pathlib import Path

import torch  # noqa: F401 - before all that defers it: a rank needs it in any case
from pydantic import TypeAdapter

from components import distributed
from components.launch import Reporting
from components.launch.parent import die_with_parent
from components.logs import lines
from components.servers.patience import patient_run
from components.worker.evaluate import run_evaluation
from components.worker.jobs import EvaluateJob, Job, TrainJob
from components.worker.train import run_training


def main() -> None:
    """Run the job in the file named on the command line."""
    lines.begin(logging.INFO)
    die_with_parent()
    with Reporting(), patient_run():  # images may come from a store that is away for a while
        job: Job = TypeAdapter(Job).validate_json(Path(sys.argv[1]).read_bytes())
        match job:
            case TrainJob():
                stop_requested = distributed.install_stop_signal()  # at once, so that none is missed while starting
                with distributed.process_group() as world:
                    run_training(job, world, stop_requested)
            case EvaluateJob():
                with distributed.process_group() as world:
                    run_evaluation(job, world)


if __name__ == "__main__":
    main()
