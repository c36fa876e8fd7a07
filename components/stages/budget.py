"""Budget: what the trainings of a night or a sweep may take together, and have taken, however often interrupted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from components.artifacts import Store, write_atomically
from components.config import RunConfig
from components.launch import Stopped
from components.launch.processors import cards
from components.stages.candidate import Candidate, Checkpoint, Data
from components.stages.inputs import training_inputs
from components.stages.spent import training_cost
from components.training.config import ExecutionConfig
from components.workspace import Workspace

_TAKEN = "taken.json"
_HOUR_S = 3600.0


class BudgetSpent(Stopped):
    """A training stopped because the budget of its night or sweep is spent. Only one with a larger budget goes on."""


class Taken(NamedTuple):
    """What trainings have taken."""

    wall_s: float = 0.0
    """Seconds by the clock."""
    card_s: float = 0.0
    """Seconds of graphics cards, each counted by itself."""


@dataclass(frozen=True)
class Budget:
    """What the trainings of one night, or of one sweep, may take together."""

    hours: float | None
    gpu_hours: float | None
    trainings: tuple[str, ...]
    """Digests of all of them."""
    at_once: int = 1
    """How many run side by side, each of which may take its share of what is left when it is launched."""
    section: str = "retraining"
    """Section of the configuration that says so."""
    spent_by: str = "spent by this night's trainings"
    """What is said when nothing is left."""

    @classmethod
    def of(cls, run: RunConfig, data: Data) -> "Budget":
        """Return the budget of the night that trains the models of `run` on `data`."""
        inputs = (training_inputs(Candidate(name, config), data) for name, config in run.models.items())
        trainings = tuple(dict.fromkeys(Store.digest(Checkpoint, one) for one in inputs))
        return cls(run.retraining.hours, run.retraining.gpu_hours, trainings)

    def left_s(self, execution: ExecutionConfig, store: Store, workspace: Workspace) -> float | None:
        """Return how many seconds a training may take by the clock from now on; None: as many as it needs.

        Args:
            execution: How it is carried out, which says how many cards it holds.
            store: Where finished trainings are.
            workspace: Where those under way are.
        """
        taken = Taken(*map(sum, zip(Taken(), *self._taken(store, workspace), strict=True)))
        limits = []
        if self.hours is not None:
            limits.append(self.hours * _HOUR_S - taken.wall_s)
        if self.gpu_hours is not None and (held := cards_of(execution)):
            limits.append((self.gpu_hours * _HOUR_S - taken.card_s) / held)
        return min(limits) / self.at_once if limits else None

    @property
    def words(self) -> str:
        """What it is, in the words of the configuration."""
        named = {"hours": self.hours, "gpu_hours": self.gpu_hours}
        return " and ".join(f"{self.section}.{name}, {value:g}" for name, value in named.items() if value is not None)

    def _taken(self, store: Store, workspace: Workspace) -> Iterator[Taken]:
        for digest in self.trainings:
            finished = store.by_digest(Checkpoint, digest)
            yield taken_in(workspace.training / digest if finished is None else finished.path)


def cards_of(execution: ExecutionConfig) -> int:
    """Return how many graphics cards a training holds: one for each process, none where there are none."""
    return execution.processes * execution.nodes if cards() else 0


def note_taken(folder: Path, seconds: float, held: int) -> None:
    """Add to what the training in a folder has taken: a launch of so many seconds that held so many cards."""
    before = _noted(folder)
    after = Taken(before.wall_s + seconds, before.card_s + held * seconds)
    write_atomically(folder / _TAKEN, json.dumps(after._asdict()).encode())


def taken_in(folder: Path) -> Taken:
    """Return what a training has taken: what was noted or, where a kill left no time for that, what its curve says."""
    noted, cost = _noted(folder), training_cost(folder, 0)
    curve = Taken() if cost is None else Taken(cost.wall_s, cost.card_s)
    return max(noted, curve)


def _noted(folder: Path) -> Taken:
    path = folder / _TAKEN
    return Taken(**json.loads(path.read_bytes())) if path.is_file() else Taken()
