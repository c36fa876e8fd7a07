"""The matrix: every network by every number of processes and precision, from a config file to a served model.

`python tests/end_to_end/model_matrix.py --processes 1 2 --precision fp32 bf16` takes each model of `model_matrix.yaml`
through the pipeline's own stages: trained by torchrun without interruption; trained again, stopped by SIGTERM in the
middle and resumed, to the same bytes; evaluated beside its baselines; registered in MLflow on SQLite; loaded back as
pyfunc and asked for pictures. Prints a table; exit code 1 if anything failed.
"""

import argparse
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import mlflow
import psutil
import torch
from safetensors.torch import load_file

from components import launch
from components.artifacts import Store
from components.config import RunConfig, load
from components.recipes.export import read_card
from components.recipes.recipe import PRODUCER
from components.recipes.serving import decode_png
from components.stages.candidate import Candidate, Checkpoint, Data, after
from components.stages.evaluate import evaluate
from components.stages.prepare import prepare, shard
from components.stages.promote import promote
from components.stages.site import Progress, Site
from components.stages.train import train
from components.tracking import registry, runs
from components.training.checkpoint import newest_place
from components.workspace import Workspace

CONFIG = Path(__file__).with_suffix(".yaml")
COLUMNS = "{:20} {:>9}  {:9} {:>10}  {:7}  {:6}  {:20} {:7} {:>5}  {}"

HEADS = ("model", "processes", "precision", "stopped at", "resumed", "served", "score", "verdict", "s", "")


class RefutedError(AssertionError):
    """Something that should hold does not."""


@dataclass(frozen=True)
class Case:
    """One model, trained by so many processes in one precision."""

    model: str
    processes: int
    precision: str

    def config(self) -> RunConfig:
        """Return what a person's file and command line would say."""
        # The seed follows the number of processes, which names no artifact: else one's model would pass for another's.
        own = f"models.{self.model}"
        return load(
            CONFIG,
            (
                f"name={self.model}-{self.precision}-{self.processes}",
                f"seed={self.processes}",
                f"{own}.training.precision={self.precision}",
                f"{own}.execution.processes={self.processes}",
            ),
        )


@dataclass
class Findings:
    """What is known of a case when it ends, well or not."""

    stopped_at: int | None = None
    equal: bool = False
    score: str = ""
    verdict: str = ""
    served: bool = False
    failure: str = ""
    took_s: float = 0.0

    def row(self, case: Case) -> str:
        """Return a line of the table."""
        stopped = "-" if self.stopped_at is None else str(self.stopped_at)
        return COLUMNS.format(
            case.model, case.processes, case.precision, stopped, "equal" if self.equal else "-",
            "yes" if self.served else "-", self.score, self.verdict, f"{self.took_s:.0f}", self.failure,
        )  # fmt: skip


def silent(stage: str, done: int, total: int | None, note: str = "") -> None:
    """Show nothing."""


def take(case: Case, site: Site, findings: Findings, *, training_only: bool) -> None:
    """Take one case through all stages, or no further than training, and note what is found."""
    run = case.config()
    site = replace(site, experiment=run.name)
    model = run.models[case.model]
    data = prepare(run, shard(run, site), site)
    trained = partial(train, Candidate(case.model, model), data)
    candidate = interrupted(trained, site, model.training.images, findings)
    apart = replace(site, experiment=f"{run.name}-whole", store=Store(site.workspace.home / "whole"))
    checkpoint = after("train", candidate.checkpoint)
    compare(checkpoint, after("train", trained(apart).checkpoint))
    findings.equal = True
    every_weight_moved(checkpoint, run.seed)
    if not training_only:
        judge(candidate, data, site, findings)


def interrupted(train: Callable[[Site], Candidate], site: Site, images: int, findings: Findings) -> Candidate:
    """Return a training that was asked to stop a sixth of the way on, and resumed."""
    before = set(site.workspace.training.glob("*/checkpoints"))
    try:
        train(replace(site, progress=stopper(images // 6)))
    except launch.Stopped:
        (folder,) = set(site.workspace.training.glob("*/checkpoints")) - before
        findings.stopped_at = newest_place(folder)
    else:
        raise RefutedError("asked to stop in the middle, it trained to the end")
    if not findings.stopped_at or findings.stopped_at >= images:
        raise RefutedError(f"stopped at {findings.stopped_at} of {images} images, which is not in the middle")
    return train(site)


def stopper(images: int) -> Progress:
    """Return a watcher that sends the last rank SIGTERM, once, when so many images have been seen."""
    left = [True]

    def watch(stage: str, done: int, total: int | None, note: str = "") -> None:
        if done >= images and left and note:
            left.clear()
            below = psutil.Process().children(recursive=True)
            with suppress(psutil.NoSuchProcess):
                for rank in [one for one in below if one.name() == "worker"][-1:]:
                    rank.terminate()

    return watch


def compare(one: Checkpoint, other: Checkpoint) -> None:
    """Refute that two trainings left the same bytes."""
    for name in ("checkpoint/state.safetensors", "export/model.safetensors", "export/model.json"):
        if (one.path / name).read_bytes() != (other.path / name).read_bytes():
            raise RefutedError(f"{name}: not the bytes of a training that was not interrupted")


def every_weight_moved(checkpoint: Checkpoint, seed: int) -> None:
    """Refute that training reached every tensor of the network that makes pictures, and left finite numbers."""
    card = read_card(checkpoint.path / "export")
    begun = card.recipe.build(card.size, seed).networks[PRODUCER]
    ended = load_file(checkpoint.path / "checkpoint" / "state.safetensors")
    for name, weight in begun.named_parameters():
        now = ended[f"network/{PRODUCER}.{name}"]
        if not torch.isfinite(now).all():
            raise RefutedError(f"{name}: not finite after training")
        if torch.equal(now, weight.detach()):
            raise RefutedError(f"{name}: the same after training as before")


def judge(candidate: Candidate, data: Data, site: Site, findings: Findings) -> None:
    """Evaluate, register and serve the model."""
    candidate = evaluate(candidate, data, site)
    table = after("evaluate", candidate.evaluated).table
    for row in table.rows:
        for metric, value in table.values(row).items():
            if not math.isfinite(value):
                raise RefutedError(f"{metric} of {row} is {value}")
    metric = candidate.config.promotion.metric
    findings.score = f"{metric.removesuffix('_efficientnet_lite0')} {table.values()[metric]:.4g}"
    promoted = after("promote", promote(candidate, data, site).promotion)
    findings.verdict = promoted.verdict
    if problems := registry.verify(promoted.model):
        raise RefutedError(f"{promoted.model}: {problems[0]}")
    delivery = registry.download(promoted.model, promoted.version, site.workspace.cache / "models" / promoted.model)
    serve(delivery.model, read_card(delivery.export).size)
    findings.served = True


def serve(model: Path, size: int) -> None:
    """Ask the served model for pictures, as MLflow's scoring server would."""
    served = mlflow.pyfunc.load_model(str(model))
    example = served.input_example
    answers = served.predict(example)
    if len(answers) != len(example):
        raise RefutedError(f"{len(answers)} answers to {len(example)} rows")
    expected = {decode_png(image).shape for image in example["image"]} if "image" in example else {(size, size, 3)}
    found = {decode_png(answer["image"]).shape for answer in answers}
    if found != expected:
        raise RefutedError(f"served pictures are of shape {found}, expected {expected}")


def cases(options: argparse.Namespace, home: Path) -> Iterator[tuple[Case, Findings]]:
    """Yield each case with what was found. One failure does not keep the others from being tried."""
    workspace = Workspace(home)
    workspace.create()
    uri = runs.configure(home)
    parent = runs.open_run("matrix", "matrix", "matrix")
    site = Site(workspace, Store(workspace.store), uri, "matrix", silent, parent)
    for named in product(options.models, options.processes, options.precision):
        case, findings, began = Case(*named), Findings(), time.monotonic()
        try:
            take(case, site, findings, training_only=options.training_only)
        except (RefutedError, ValueError, RuntimeError, OSError) as error:
            findings.failure = f"FAILED: {type(error).__name__}: {error}"
        findings.took_s = time.monotonic() - began
        yield case, findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix; return 1 if anything failed."""
    known = list(load(CONFIG).models)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--training-only", action="store_true", help="neither evaluate nor register nor serve")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torch.set_num_threads(1)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    say(COLUMNS.format(*HEADS))
    failures = 0
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        for case, findings in cases(options, Path(folder)):
            say(findings.row(case))
            failures += bool(findings.failure)
    say(f"{failures} failed")
    return 1 if failures else 0


def say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
