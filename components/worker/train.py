"""A rank's training: from a job to an export, whatever interrupts it on the way."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import torch

from components import distributed, launch
from components.artifacts.files import draft_folder
from components.data import (
    Cut,
    HeldLoader,
    Loader,
    Samples,
    ShardReader,
    ShardSet,
    Share,
    decoded_pixels,
    fits,
    without,
)
from components.data.prefetch import PrefetchingLoader, prefetching
from components.data.statistics import PixelStatistics
from components.data.windows import Windows
from components.launch.outcome import FULL_DISK, stopping_when_full
from components.models.gaussian import tell
from components.quality.copies import read_left_out
from components.recipes.export import ModelCard, write_export
from components.recipes.recipe import PRODUCER, Recipe
from components.training.arithmetic import uses_bf16
from components.training.checkpoint import load_newest
from components.training.config import ExecutionConfig, TrainingConfig
from components.training.guard import DivergedError, Guard
from components.training.loop import Ending, Interval, TrainContext, train
from components.training.state import TrainingState
from components.worker.beginning import begun_from
from components.worker.compiling import reason_not_to
from components.worker.jobs import TrainJob
from components.worker.reporter import Reporter
from components.worker.validation import HALF_LIFE, Finding, Validation
from components.workspace import exclusive

_log = logging.getLogger(__name__)
_LET_GO_WITHIN_S = 60.0
_DRAWING_FOR_A_GPU = 6


def run_training(job: TrainJob, world: distributed.World, stop_requested: Callable[[], bool]) -> None:
    """Train in the job's folder, of which this training is the only user.

    Raises:
        Stopped: It was asked to stop, its time budget is spent, it has come to the images that the job stops at, or the
            disk is full; the same job resumes it.
        DivergedError: It diverged more often than it may begin again.
    """
    with _folder_of_its_own(job), stopping_when_full(job.folder):
        train_to_the_end(job, world, stop_requested)


@contextmanager
def _folder_of_its_own(job: TrainJob) -> Iterator[None]:
    """Wait until ranks whose launcher was killed have let go of the folder: they save once more before they end."""
    with ExitStack() as stack:
        if distributed.is_main():
            lock = exclusive(job.folder / "trainer.lock", f"training {job.run}", wait_s=_LET_GO_WITHIN_S)
            stack.enter_context(lock)
        distributed.barrier()  # no rank looks for a checkpoint while another training may still write one
        yield


def train_to_the_end(job: TrainJob, world: distributed.World, stop_requested: Callable[[], bool]) -> None:
    """Train to the end. A run that diverges begins again from its last good checkpoint, at a lower rate.

    Nothing of that is written down before the next checkpoint, which carries the count: a run that is killed in between
    diverges again at the same step and goes back to the same checkpoint.
    """
    budgets = [one for one in (job.model.execution.time_budget_s, job.budget_s) if one is not None]
    should_stop = _ticker(stop_requested, min(budgets, default=None))
    torch.backends.cudnn.deterministic = True  # else equal runs differ in the last bits: there is no exact resume
    rollbacks = 0
    while True:
        try:
            return _attempt(job, world, should_stop, rollbacks)
        except DivergedError as error:
            rollbacks = error.rollbacks + 1
            if rollbacks > job.model.training.guard.rollbacks:
                raise
            _log.warning("%s Going back to the last good checkpoint, with lower rates", error)


def _attempt(job: TrainJob, world: distributed.World, should_stop: Callable[[], bool], rollbacks: int) -> None:
    shards = ShardSet.read(job.shards)
    job = _resolved(job, shards)
    training, execution = _laid_out(job, world.device), job.model.execution
    job.model.recipe.check(shards.size, shards.splits["train"].samples)
    recipe = job.model.recipe.build(shards.size, job.seed)
    if job.origin is not None:
        recipe = begun_from(job.origin, recipe)
    if job.statistics is not None:
        tell(recipe.networks, PixelStatistics.read(job.statistics).arrays())
    recipe.networks.to(world.device)
    if training.channels_last:
        recipe.networks.to(memory_format=torch.channels_last)
    state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
    distributed.barrier()  # after a rollback: the main rank has written what it was writing
    resumed = load_newest(job.folder / "checkpoints", job.run, state, good=rollbacks > 0)
    state.guard.rollbacks = max(state.guard.rollbacks, rollbacks)
    _check_agreement(state.images, job.folder)
    if resumed and distributed.is_main():
        _log.info("resumed at %s of %s images", f"{state.images:,}", f"{training.images:,}")
    if training.precision == "bf16" and not uses_bf16("bf16", world.device) and distributed.is_main():
        _log.info("training in fp32, for this processor has no instructions for bf16 and would be slower in it")
    if execution.compile:
        _compile(recipe, job, training.size_seen(shards.size), world.device)
    with ExitStack() as stack:
        batches = stack.enter_context(closing(_loader(job, shards, world).batches(state.images)))
        reporter = None
        if distributed.is_main():
            reporter = stack.enter_context(closing(Reporter(job, state, resumed=resumed)))
        context = TrainContext(
            device=world.device,
            seed=job.seed,
            should_stop=lambda: (
                should_stop()
                or (job.stop_at is not None and state.images >= job.stop_at)
                or (reporter is not None and reporter.met_full_disk)
            ),
            report=reporter.report if reporter else lambda values: None,  # noqa: ARG005
            report_every=execution.log_every,
            step=execution.step,
            alive=launch.heartbeat,
            intervals=(*_validation(job, state, shards, reporter), *(reporter.intervals(shards) if reporter else ())),
        )
        ending = train(recipe.phases, state, batches, training, context)
        _finish(ending, training.images, reporter)
    if distributed.is_main():
        _export(job, state, shards)


def _compile(recipe: Recipe, job: TrainJob, size: int, device: torch.device) -> None:
    """Compile the networks unless that would take longer than it saves."""
    reason = reason_not_to(job.model.recipe, size, job.model.training.images, len(recipe.networks), device)
    if reason is None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(job.cache / "compiled"))  # a resumed run finds it there
        recipe.compile()
    elif distributed.is_main():
        _log.warning(reason)


def _laid_out(job: TrainJob, device: torch.device) -> TrainingConfig:
    """Return the section with channels last only where the device is faster so; it changes no more than rounding."""
    training, recipe = job.model.training, job.model.recipe
    last = training.channels_last and (device.type == "cpu" or recipe.channels_last_on_gpu)
    return training.model_copy(update={"channels_last": last})


def _finish(ending: Ending, images: int, reporter: Reporter | None) -> None:
    """Write the last checkpoint and return if the training is finished. No rank goes on before it is written.

    Raises:
        Stopped: It is not finished, or the last checkpoint could not be written.
    """
    unwritten = distributed.any_rank(reporter is not None and not reporter.finish())
    if ending is Ending.FINISHED and not unwritten:
        return
    full = distributed.any_rank(reporter is not None and reporter.met_full_disk)
    place = distributed.largest((reporter.checkpoints.durable or 0) if reporter else 0)
    why = f"{FULL_DISK}; " if full else ""
    raise launch.Stopped(f"{why}resumable at {place:,} of {images:,} images; run the same command again")


def _validation(job: TrainJob, state: TrainingState, shards: ShardSet, reporter: Reporter | None) -> Iterator[Interval]:
    """Yield the interval at which the main rank scores the averages and all ranks learn whether one has collapsed."""
    config = job.model.training.validation
    if config is None:
        return
    recipe = job.model.recipe
    validations = {
        name: Validation(
            recipe.producer(average.network), shards, job.corruption, job.seed, config, recipe.features_trained_on
        )
        for name, average in (state.averages.items() if reporter is not None else ())
    }

    def look() -> None:
        collapsed = False
        if reporter is not None:
            findings: dict[str, Finding] = {}
            for name, validation in validations.items():
                with recipe.ready(state.averages[name].network, job.seed):
                    findings[name] = validation.look()
                    state.compare(findings[name].score, name)
            best = min(findings, key=lambda name: findings[name].score)
            chosen = {HALF_LIFE: float(state.averages[best].config.half_life_images)} if len(findings) > 1 else {}
            reporter.note(findings[best].values() | chosen)
            spread = findings[PRODUCER].spread
            collapsed = spread is not None and spread <= config.collapse
        words = f"made pictures differ by no more than training.validation.collapse, {config.collapse:g}"
        state.guard.suspect("collapse", state.images, words, found=distributed.any_rank(collapsed))

    yield Interval(config.every, look)


def _resolved(job: TrainJob, shards: ShardSet) -> TrainJob:
    """Return the job with all filled in that its recipe leaves to the training images."""
    recipe = job.model.recipe.resolved(shards.splits["train"])
    return job.model_copy(update={"model": job.model.model_copy(update={"recipe": recipe})})


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


def _loader(job: TrainJob, shards: ShardSet, world: distributed.World) -> Loader | HeldLoader | PrefetchingLoader:
    """Return the loader; the main rank decodes first, the others then find the decoded file. A GPU holds what fits."""
    budget = job.model.execution.cache_bytes
    if distributed.is_main():
        decoded_pixels(shards, "train", job.cache, budget)
    distributed.barrier()
    mix = job.corruption.mix if job.corruption is not None and job.model.recipe.needs_corruption else None
    samples = _samples(job, shards)
    share = Share(job.model.training.batch, world.rank, world.processes)
    if mix is None and fits(samples, world.device):
        return HeldLoader(samples, share, world.device, seed=job.seed, flip=job.model.training.flip)
    drawn_by = drawing_processes(job.model.execution, world.device)
    training = job.model.training
    cut = None if training.crop is None else Cut(shards.size, training.crop, training.crop_shrinks)
    loader = Loader(samples, share, seed=job.seed, flip=training.flip, cut=cut, corruption=mix, processes=drawn_by)
    return prefetching(loader, samples, share, job.seed)


def drawing_processes(execution: ExecutionConfig, device: torch.device) -> int:
    """Return how many processes draw damage for one rank."""
    if execution.drawing_processes is not None or device.type == "cpu":
        return execution.drawing_processes or 0
    return max(0, min(_DRAWING_FOR_A_GPU, len(os.sched_getaffinity(0)) // execution.processes - 1))


def _samples(job: TrainJob, shards: ShardSet) -> Samples:
    """Return the images that are trained on, decoded unless they are too many."""
    reader = ShardReader(shards, "train")
    pixels = decoded_pixels(shards, "train", job.cache, job.model.execution.cache_bytes)
    window = job.model.training.window
    windows = None if window is None else Windows(reader.places, window)
    samples = Samples(pixels, reader.keys, shards.digest, reader.labels, windows)
    return samples if job.left_out is None else without(samples, read_left_out(job.left_out))


def _export(job: TrainJob, state: TrainingState, shards: ShardSet) -> None:
    validation, images = job.model.training.validation, state.images
    if validation is not None and validation.select == "best" and state.best is not None:
        images = state.best.images
        state.averages[PRODUCER].network.load_state_dict(state.best.tensors)
    card = ModelCard(size=shards.size, recipe=job.model.recipe, images=images)
    network = job.model.recipe.finished(state.averages[PRODUCER].network, _samples(job, shards).pixels, job.seed)
    with draft_folder(job.folder / "export") as draft:
        write_export(draft, network, card)


def _ticker(stop_requested: Callable[[], bool], budget_s: float | None) -> Callable[[], bool]:
    """Return what tells the loop when to stop; asked before every step, it tells the launcher that steps are taken.

    The budget counts from the first step, so that one is taken however long the start was.
    """
    deadline: float | None = None

    def should_stop() -> bool:
        nonlocal deadline
        launch.heartbeat()
        if deadline is None:
            deadline = time.monotonic() + (budget_s or float("inf"))
        return stop_requested() or time.monotonic() > deadline

    return should_stop
