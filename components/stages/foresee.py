"""Foresee: what the store and the registry have already of a run that is not begun. Nothing is made or changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.artifacts import Store
from components.config import ModelConfig, RunConfig
from components.data import CorruptionSet, ShardSet, find_corruption_set, holds_same
from components.evaluation.yardstick import Yardstick
from components.quality.copies import find_near_copies
from components.servers.patience import PatienceEndedError
from components.stages.candidate import BASELINES, Candidate, Checkpoint, Data, Evaluated, EvaluationSet, Scores
from components.stages.inputs import scores_inputs, training_inputs
from components.stages.pinned import pinned_shards
from components.stages.start import with_known_starts
from components.tracking.sqlite import is_untouched


@dataclass(frozen=True)
class Foreseen:
    """One model as a run would find it."""

    candidate: Candidate
    """With the checkpoint, all scores and the promotion that are there; the stages after the first gap add nothing."""
    measured: Mapping[str, bool] = field(default_factory=dict)
    """Whether the scores are there, by what is measured; empty before there is a checkpoint."""
    version: int | None = None
    """Its version in the registry."""
    champion: int | None = None
    """The version in service."""
    silence: str = ""
    """Why the registry does not say; empty where it does, and where it was not asked for want of scores."""


def foresee_data(run: RunConfig, shards: ShardSet, pinned: Yardstick | None, store: Store) -> Data:
    """Return what models would be trained and judged on; damage that is not frozen yet is left out."""

    def set_of(held: ShardSet, version: Yardstick | None) -> EvaluationSet:
        return EvaluationSet(shards=held, corruptions=frozen(run, held, store), pinned=version)

    held = pinned_shards(pinned, store) if pinned else shards
    fresh = None if holds_same(held, shards, "test") else set_of(shards, None)
    leaves_out = run.dataset.near_copies == "left_out"
    copies = find_near_copies(shards, store) if leaves_out else None
    data = Data(shards, set_of(held, pinned), fresh, run.corruption, run.seed, copies)
    if leaves_out and copies is None:
        return replace(data, starts={})  # what is trained on is not known, so no training can be found by it
    return with_known_starts(run, data, store)


def frozen(run: RunConfig, shards: ShardSet, store: Store) -> CorruptionSet | None:
    """Return the damage on the test images of `shards`, if it is frozen already."""
    if run.corruption is None:
        return None
    return find_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)


def foresee(candidate: Candidate, data: Data, store: Store) -> Foreseen:
    """Return what the store has of one model: its checkpoint, and its scores if all of them are there."""
    config, seed = candidate.config, data.seed
    checkpoint = store.find(Checkpoint, training_inputs(candidate, data)) if data.is_settled(candidate.name) else None
    if checkpoint is None:
        return Foreseen(candidate)
    candidate = replace(candidate, checkpoint=checkpoint)
    scores = known_scores(config, checkpoint.export, data.yardstick, seed, store)
    baselines = known_scores(config, BASELINES, data.yardstick, seed, store)
    fresh = known_scores(config, checkpoint.export, data.fresh, seed, store) if data.fresh else None
    measured = {"baselines": baselines is not None, f"model on {data.yardstick.name}": scores is not None}
    if data.fresh is not None:
        measured[f"model on {data.fresh.name}"] = fresh is not None
    if scores is not None and baselines is not None and all(measured.values()):
        candidate = replace(candidate, evaluated=Evaluated(scores=scores, baselines=baselines, fresh=fresh))
    return Foreseen(candidate, measured)


def known_scores(model: ModelConfig, subject: str, judged_on: EvaluationSet, seed: int, store: Store) -> Scores | None:
    """Return the scores of a model's export, or of the baselines, if they are measured already."""
    if model.evaluation.needs_corruption and judged_on.corruptions is None:
        return None  # on damage that is not frozen yet
    return store.find(Scores, scores_inputs(model, subject, judged_on, seed))


def ask_registry(foreseen: Foreseen, data: Data, experiment: str, store: Store, home: Path) -> Foreseen:
    """Return a measured model with what the registry says of it. A server that is away costs seconds."""
    if is_untouched(home):
        return foreseen
    # Imported here: MLflow takes seconds to import, and a plan of what is not measured yet needs none.
    from components.stages.decided import decided_before
    from components.tracking import runs
    from components.tracking.client import TrackingError
    from components.tracking.ledger import LedgerError

    try:
        runs.configure(home)
        return decided_before(foreseen, data, experiment, store)
    except (PatienceEndedError, TrackingError, LedgerError) as error:
        return replace(foreseen, silence=str(error))
