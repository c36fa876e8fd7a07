"""Sweep: trials known up front, a journal of what they came to, and one step after the other until all is done."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from components.artifacts import Store
from components.artifacts.records import Records
from components.config import ConfigError, RunConfig
from components.config.sweep import SweepConfig
from components.launch import LaunchFailed, Stopped
from components.search.halving import Mark, Step, next_step, ranking
from components.search.proposals import Proposal, Reread
from components.section import digest_of
from components.stages.budget import Budget, taken_in
from components.stages.candidate import Candidate, Checkpoint, Data
from components.stages.inputs import training_inputs
from components.stages.site import Site, ending, flatten, registered_name
from components.stages.spent import clock_of
from components.stages.start import settled
from components.stages.train import train
from components.tracking import runs
from components.tracking.underway import TRIALS
from components.training.checkpoint import newest_place
from components.training.curve import read_curve
from components.worker.validation import scores_in

_HOUR_S = 3600
_LONGEST_REASON = 300
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One configuration that is tried: an ordinary training, which stops at rungs."""

    number: int
    values: Mapping[str, Any]
    """What it has where the sweep searches, by path below the model."""
    run: RunConfig
    """Its whole configuration, of the one model alone."""
    data: Data
    """What it is trained on."""

    @property
    def candidate(self) -> Candidate:
        """The model."""
        ((name, config),) = self.run.models.items()
        return Candidate(name, config)

    @property
    def training(self) -> str:
        """Digest of all that determines its weights."""
        return Store.digest(Checkpoint, training_inputs(self.candidate, self.data))

    def with_seed(self, seed: int, site: Site) -> "Trial":
        """Return the same configuration, trained and judged with another seed."""
        run = self.run.model_copy(update={"seed": seed})
        return replace(self, run=run, data=settled(run, replace(self.data, seed=seed, starts=None), site))


@dataclass(frozen=True)
class Sweep:
    """A sweep under way. What it has done is in the store's records, so any process can go on with it."""

    run: RunConfig
    trials: tuple[Trial, ...]
    site: Site
    reread: Reread
    """Reads the run's file again, to say what must be set in it."""

    @classmethod
    def of(cls, run: RunConfig, proposed: Sequence[Proposal], data: Data, site: Site, reread: Reread) -> "Sweep":
        """Return the sweep that a configuration asks for.

        Raises:
            ConfigError: It asks for none.
        """
        sweep = _asked(run)
        alone = [one.run.model_copy(update={"models": {sweep.model: one.run.models[sweep.model]}}) for one in proposed]
        trials = tuple(
            Trial(number, one.values, its_run, settled(its_run, data, site))
            for number, (one, its_run) in enumerate(zip(proposed, alone, strict=True))
        )
        return cls(run, trials, site, reread)

    @property
    def section(self) -> SweepConfig:
        """What is asked for."""
        return _asked(self.run)

    @property
    def name(self) -> str:
        """What people call the model that is searched for."""
        return registered_name(self.run.name, self.section.model)

    @property
    def places(self) -> tuple[int, ...]:
        """Images seen at each rung."""
        return self.section.places(self.run.models[self.section.model].training.images)

    @cached_property
    def digest(self) -> str:
        """Equal exactly where the same trainings are compared at the same images."""
        return digest_of([[trial.training for trial in self.trials], self.places, self.section.reduction])

    @property
    def marks(self) -> list[Mark]:
        """What trials have come to so far."""
        return [Mark.model_validate(record) for record in self._records.all()]

    @property
    def next_step(self) -> Step | None:
        """What is to be done next; None where all is done, or where nobody is left."""
        return next_step(len(self.trials), len(self.places), self.section.reduction, self.marks)

    def advance(self, step: Step) -> Mark:
        """Bring a trial to a rung and note in the journal what it came to. A trial that fails is noted, too.

        Raises:
            Stopped: It was asked to stop, or the budget is spent; the same step goes on with it.
        """
        trial, reason = self.trials[step.trial], ""
        if not self._is_there(trial, step.rung):
            try:
                train(trial.candidate, trial.data, self.site_of(trial), self._stop_at(step.rung))
            except Stopped:
                if not self._is_there(trial, step.rung):
                    raise
            except LaunchFailed as error:
                reason = str(error).partition("\n")[0][:_LONGEST_REASON]
                _log.warning("trial %d failed: %s", trial.number, reason)
        mark = self._mark(trial, step.rung, reason)
        self._records.append(
            mark.model_dump(mode="json"), same=lambda known: (known["trial"], known["rung"]) == tuple(step)
        )
        self._tell(mark)
        return mark

    def site_of(self, trial: Trial) -> Site:
        """Return where a trial happens: under the sweep's run and budget, named by its number, and by its own seed."""
        night, seed = self.site.night, trial.data.seed
        name = f"trial {trial.number}" + (f", seed {seed}" if seed != self.run.seed else "")
        budget = Budget(
            hours=self.section.hours,
            gpu_hours=None,
            trainings=tuple(one.training for one in (*self.trials, *self.contests)),
            section="sweep",
            spent_by="spent by this sweep's trainings",
        )
        title = f"sweep {self.digest[:8]}, {name}"
        return replace(
            self.site,
            night=None if night is None else night.model_copy(update={"reason": title}),
            progress=partial(_shown_as, self.site, name),
            budget=budget,
        )

    @property
    def best(self) -> int | None:
        """The trial that came out best; None before all is done, and where none was trained to the end."""
        marks = self.marks
        first = next(iter(ranking(marks)), None) if self.next_step is None else None
        finished = {mark.trial for mark in marks if mark.rung == len(self.places) - 1 and mark.score is not None}
        return first if first in finished else None

    @property
    def contests(self) -> list[Trial]:
        """The best trial and that without the sweep, with each of the seeds that have no part in the choice."""
        best = self.best
        if best is None:
            return []
        seeds = range(self.run.seed + 1, self.run.seed + 1 + self.section.seeds)
        return [self.trials[number].with_seed(seed, self.site) for seed in seeds for number in sorted({0, best})]

    def folder_of(self, trial: Trial) -> Path:
        """Return what a trial's training has left so far: the finished artifact, or its folder in the workspace."""
        finished = self._finished(trial)
        return self.site.workspace.training / trial.training if finished is None else finished.path

    def _is_there(self, trial: Trial, rung: int) -> bool:
        if self._finished(trial) is not None:
            return True
        checkpoints = self.site.workspace.training / trial.training / "checkpoints"
        return self._stop_at(rung) is not None and (newest_place(checkpoints) or 0) >= self.places[rung]

    def _finished(self, trial: Trial) -> Checkpoint | None:
        return self.site.store.by_digest(Checkpoint, trial.training)

    def _stop_at(self, rung: int) -> int | None:
        return None if rung == len(self.places) - 1 else self.places[rung]

    def _mark(self, trial: Trial, rung: int, reason: str) -> Mark:
        """Return what the curve of a trial says up to a rung, and nothing of what comes after it."""
        training = trial.candidate.config.training
        reached = -(-self.places[rung] // training.batch) * training.batch  # a stop comes after a whole step
        points = [one for one in read_curve(self.folder_of(trial) / "curve.jsonl") if one["images"] <= reached]
        found = list(scores_in(points))
        values = [score for _, _, score in found]
        best = training.validation is not None and training.validation.select == "best"
        score = (min(values) if best else values[-1]) if values else None
        if not reason and (score is None or not math.isfinite(score)):
            reason = f"no score by {reached:,} images" if score is None else f"its score is {score}"
        return Mark(
            trial=trial.number,
            rung=rung,
            score=None if reason else score,
            images=int(max((point["images"] for point in points), default=0)) if reason else reached,
            seconds=self._seconds(trial, points),
            metric=found[0][0] if found else "",
            curve=tuple((images, value) for _, images, value in found if math.isfinite(value)),
            reason=reason,
        )

    def _seconds(self, trial: Trial, points: Sequence[Mapping[str, float]]) -> float:
        """Return how long a trial has trained: by its curve or, while it is not finished, by what its launches took."""
        by_curve = _HOUR_S * max((hours for _, hours in clock_of(points)), default=0.0)
        return by_curve if self._finished(trial) else max(by_curve, taken_in(self.folder_of(trial)).wall_s)

    def _tell(self, mark: Mark) -> None:
        words = mark.reason or f"{mark.metric} {mark.score:.4g}"
        self.site.progress(
            f"trial {mark.trial}", mark.images, mark.images, f"rung {mark.rung + 1} of {len(self.places)}: {words}"
        )

    @property
    def _records(self) -> Records:
        return self.site.store.records(f"sweeps/{self.digest}")


@contextmanager
def begun(run: RunConfig, proposed: Sequence[Proposal], data: Data, site: Site, reread: Reread) -> Iterator[Sweep]:
    """Yield the sweep at its site, with a run of its own in MLflow, under which its trials stand.

    Args:
        run: What is asked for.
        proposed: The configurations to try.
        data: What they are trained on.
        site: Where it happens.
        reread: Reads the run's file again.

    Raises:
        ConfigError: The configuration asks for none.
    """
    sweep = Sweep.of(run, proposed, data, site, reread)
    parent = runs.open_run(
        sweep.name,
        f"sweep {sweep.digest[:8]}",
        sweep.digest,
        params=flatten({"sweep": sweep.section.model_dump(mode="json", include={"model", "over", "trials", "rungs"})}),
        tags={f"kintsugi.{TRIALS}": str(len(sweep.trials)), "kintsugi.shards": data.shards.digest},
    )
    with ending(parent):
        yield replace(sweep, site=replace(site, parent_run=parent))


def _asked(run: RunConfig) -> SweepConfig:
    if run.sweep is None:
        raise ConfigError("sweep: required, but missing; it says what is searched over")
    return run.sweep


def _shown_as(site: Site, name: str, stage: str, done: int, total: int | None, note: str = "") -> None:  # noqa: ARG001
    site.progress(name, done, total, note)
