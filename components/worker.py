"""What torchrun starts on every rank: `python -m components.worker JOB.json` trains or evaluates."""

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from components import distributed, launch
from components.artifacts import write_atomically
from components.data import Loader, ShardReader, ShardSet, decoded_pixels, read_corruption_set
from components.data.frozen import CorruptionSet
from components.evaluation.measure import Evidence
from components.evaluation.protocol import ScoreTable
from components.jobs import EvaluateJob, Job, TrainJob
from components.preview import Preview
from components.recipes.export import ModelCard, load_producer, write_export
from components.recipes.recipe import PRODUCER
from components.report import figures
from components.tracking.metrics import MlflowTracker, NullTracker, Tracker
from components.training.checkpoint import CheckpointWriter, load_newest
from components.training.curve import Curve
from components.training.guard import Guard
from components.training.loop import Ending, Interval, Surroundings, train
from components.training.state import TrainingState
from components.workspace import exclusive

PROGRESS = "progress "
"""Begins the lines by which the main rank tells the launcher how far it is; JSON follows."""

_EVALUATION_CACHE_BYTES = 4 * 2**30
_LET_GO_WITHIN_S = 60.0


def main() -> None:
    """Run the job in the file named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    distributed.die_with_parent()
    with launch.Reporting():
        job: Job = TypeAdapter(Job).validate_json(Path(sys.argv[1]).read_bytes())
        match job:
            case TrainJob():
                stop_requested = distributed.install_stop_signal()  # at once, so that none is missed while starting
                with distributed.process_group() as world, _folder_of_its_own(job):
                    _train(job, world, stop_requested)
            case EvaluateJob():
                with distributed.process_group() as world:
                    _evaluate(job, world)


@contextmanager
def _folder_of_its_own(job: TrainJob) -> Iterator[None]:
    """Wait until ranks whose launcher was killed have let go of the folder: they save once more before they end."""
    with ExitStack() as stack:
        if distributed.is_main():
            lock = exclusive(job.folder / "trainer.lock", f"training {job.run}", wait_s=_LET_GO_WITHIN_S)
            stack.enter_context(lock)
        distributed.barrier()  # no rank looks for a checkpoint while another training may still write one
        yield


def _train(job: TrainJob, world: distributed.World, stop_requested: Callable[[], bool]) -> None:
    shards = ShardSet.read(job.shards)
    training, execution = job.model.training, job.model.execution
    job.model.recipe.check(shards.size, shards.splits["train"].samples)
    recipe = job.model.recipe.build(shards.size, job.seed)
    recipe.networks.to(world.device)
    if training.channels_last:
        recipe.networks.to(memory_format=torch.channels_last)
    state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
    resumed = load_newest(job.folder / "checkpoints", job.run, state)
    _check_agreement(state.images, job.folder)
    if resumed and distributed.is_main():
        logging.getLogger(__name__).info("resumed at %s of %s images", f"{state.images:,}", f"{training.images:,}")
    if execution.compile:
        for name in sorted(set(recipe.networks) - recipe.twice_differentiated):
            recipe.networks[name].compile()
    with ExitStack() as stack:
        batches = stack.enter_context(closing(_loader(job, shards, world).batches(state.images)))
        reporter = None
        if distributed.is_main():
            reporter = stack.enter_context(closing(_Reporter(job, state, resumed=resumed)))
        around = Surroundings(
            device=world.device,
            seed=job.seed,
            should_stop=_ticker(stop_requested, execution.time_budget_s),
            report=reporter.report if reporter else lambda values: None,  # noqa: ARG005
            report_every=execution.log_every,
            intervals=reporter.intervals(shards) if reporter else (),
        )
        ending = train(recipe.phases, state, batches, training, around)
        if reporter:
            reporter.checkpoints.save(state)
            reporter.checkpoints.wait()
        distributed.barrier()  # torchrun ends the others when the first one has ended
    if ending is Ending.STOPPED:
        raise launch.Stopped(f"resumable at {state.images:,} of {training.images:,} images; run the same command again")
    if distributed.is_main():
        _export(job, state, shards)


def _check_agreement(images: int, folder: Path) -> None:
    """Refuse to train where ranks found different checkpoints, as hosts do that do not share the folder.

    Raises:
        ValueError: They did.
    """
    mean = distributed.average_scalars({"images": torch.tensor(float(images), dtype=torch.float64)})["images"]
    if distributed.any_rank(mean != images):
        raise ValueError(
            f"{folder}: this process would go on from {images:,} images, all processes from {mean:,.1f} on average; "
            "all hosts must see the same folder"
        )


def _loader(job: TrainJob, shards: ShardSet, world: distributed.World) -> Loader:
    """Return the loader; the main rank decodes first, the others then find the decoded file."""
    budget = job.model.execution.cache_bytes
    if distributed.is_main():
        decoded_pixels(shards, "train", job.cache, budget)
    distributed.barrier()
    mix = job.corruption.mix if job.corruption is not None and job.model.recipe.needs_corruption else None
    return Loader(
        decoded_pixels(shards, "train", job.cache, budget),
        keys=ShardReader(shards, "train").keys,
        batch=job.model.training.batch,
        rank=world.rank,
        processes=world.processes,
        seed=job.seed,
        dataset_digest=shards.digest,
        flip=job.model.training.flip,
        corruption=mix,
    )


def _export(job: TrainJob, state: TrainingState, shards: ShardSet) -> None:
    draft, final = job.folder / ".export.part", job.folder / "export"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    draft.mkdir()
    card = ModelCard(size=shards.size, recipe=job.model.recipe, images=state.images)
    pixels = decoded_pixels(shards, "train", job.cache, job.model.execution.cache_bytes)
    network = job.model.recipe.finished(state.averages[PRODUCER].network, pixels, job.seed)
    write_export(draft, network, card)
    draft.rename(final)


def _ticker(stop_requested: Callable[[], bool], budget_s: float | None) -> Callable[[], bool]:
    """Return what tells the loop when to stop; asked at every step, it also tells the launcher that steps are taken."""
    deadline = time.monotonic() + budget_s if budget_s else float("inf")

    def should_stop() -> bool:
        launch.beat()
        return stop_requested() or time.monotonic() > deadline

    return should_stop


def _tracker(job: TrainJob) -> Tracker:
    """Return where metrics go: nowhere unless a run was named, for a worker needs torch alone."""
    if job.tracking_run is None:
        return NullTracker()
    return MlflowTracker(None, job.tracking_run, system_metrics=True)


def _evaluate(job: EvaluateJob, world: distributed.World) -> None:
    shards = ShardSet.read(job.shards)
    frozen_set = CorruptionSet.read(job.corruption_set) if job.corruption_set else None
    evidence = Evidence(
        shards=shards,
        training=decoded_pixels(shards, "train", job.cache, _EVALUATION_CACHE_BYTES),
        frozen=read_corruption_set(frozen_set) if frozen_set else None,
        frozen_digest=frozen_set.digest if frozen_set else "",
        bins=frozen_set.bins if frozen_set else (),
        seed=job.seed,
        device=world.device,
    )
    if job.export is None:
        measured = job.evaluation.measure_baselines(evidence)
    else:
        measured = job.evaluation.measure(load_producer(job.export, world.device), evidence)
    ScoreTable(subject=job.subject, rows=measured.rows).write(job.folder / "scores.json")
    (job.folder / "pictures").mkdir()
    for name, picture in measured.pictures.items():
        (job.folder / "pictures" / f"{name}.png").write_bytes(figures.png(picture))
    if measured.panels:
        np.savez_compressed(job.folder / "panels.npz", allow_pickle=False, **dict(measured.panels))


class _Reporter:
    """The main rank's voice: curve, tracker, progress lines, pictures and checkpoints."""

    def __init__(self, job: TrainJob, state: TrainingState, *, resumed: bool) -> None:
        self.job = job
        self.state = state
        self.curve = Curve(job.folder / "curve.jsonl", state.images)
        self.tracker = _tracker(job)
        keep, whole = job.model.execution.keep, state.images if resumed else None
        self.checkpoints = CheckpointWriter(job.folder / "checkpoints", job.run, keep, resumed_at=whole)

    def report(self, values: dict[str, float]) -> None:
        """Take one set of values averaged over ranks."""
        images = self.state.images
        self.curve.add(values, images)
        self.tracker.log_metrics(values, images)
        facts = {"images": images, "of": self.job.model.training.images, **values}
        sys.stdout.write(f"{PROGRESS}{json.dumps(facts)}\n")
        sys.stdout.flush()

    def intervals(self, shards: ShardSet) -> tuple[Interval, ...]:
        """Return what to do while training: show pictures, keep checkpoints."""
        execution = self.job.model.execution
        producer = self.job.model.recipe.producer(self.state.averages[PRODUCER].network)
        preview = Preview(producer, shards, self.job.corruption, self.job.seed)

        def show() -> None:
            for name, picture in preview.draw().items():
                path = self.job.folder / "pictures" / f"{name}-{self.state.images:012d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, figures.png(picture))
                self.tracker.log_image(name, picture, self.state.images)

        return (
            Interval(execution.sample_every, show),
            Interval(execution.checkpoint_every, lambda: self.checkpoints.save(self.state)),
        )

    def close(self) -> None:
        """Finish writing, and let go of thread and tracker."""
        try:
            self.checkpoints.close()
        finally:
            self.tracker.close()


if __name__ == "__main__":
    main()
