"""The pipeline on one page: prepare, train, evaluate, promote, publish.

Every stage is idempotent: it finds by digest what is already there. So a run that was killed is continued by starting
it again, and one that ends at an earlier stage does just what is missing up to there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.artifacts.storage import StorageError
from components.config import RunConfig, load
from components.data import ShardSet
from components.launch.outcome import Stopped
from components.servers.patience import PatienceEndedError
from components.stages import measuring, nights, preparation, promotion, publishing, training
from components.stages.chapters import Chapter
from components.stages.measuring import Evaluated
from components.stages.preparation import EvaluationSets
from components.stages.promotion import Promotion
from components.stages.publishing import Page
from components.stages.training import Checkpoint
from components.tracking.client import TrackingError
from flows import showing, turn
from flows.opening import opened

Stage = Literal["prepare", "train", "evaluate", "promote", "publish"]


@dataclass
class Outcome:
    """What a run has made so far; what comes after its last stage is empty, or None."""

    shards: ShardSet
    sets: EvaluationSets
    trained: dict[str, Checkpoint] = field(default_factory=dict)
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    promoted: dict[str, Promotion] = field(default_factory=dict)
    page: Page | None = None


_FOR_GOOD = (ValueError, Stopped, PatienceEndedError, TrackingError, StorageError)


def _may_pass(task_: "Task[..., object]", run: TaskRun, state: "State[object]") -> bool:  # noqa: ARG001 - Prefect's signature
    """Retry what may go well next time: no mistake in the configuration, and nothing that has waited already."""
    return not isinstance(state.result(raise_on_failure=False), _FOR_GOOD)


def _retried(name: str, retries: int, delay_s: float = 0) -> dict[str, Any]:
    return {"name": name, "retries": retries, "retry_delay_seconds": delay_s, "retry_condition_fn": _may_pass}


shard = task(cache_policy=NO_CACHE, **_retried("shard", 2, 5))(preparation.shard)
evaluation_sets = task(cache_policy=NO_CACHE, **_retried("evaluation sets", 2, 5))(preparation.evaluation_sets)
# No retries: the stage itself launches lost processes again, and gives up for a reason.
train_model = task(name="train", task_run_name="train {name}", cache_policy=NO_CACHE)(training.train)
evaluate_model = task(task_run_name="evaluate {name}", cache_policy=NO_CACHE, **_retried("evaluate", 1))(
    measuring.evaluate
)
promote_model = task(name="promote", task_run_name="promote {candidate.name}", cache_policy=NO_CACHE)(promotion.promote)
write_page = task(cache_policy=NO_CACHE, **_retried("write page", 1))(publishing.publish)
record = task(cache_policy=NO_CACHE, **_retried("record", 1))(nights.record)


@flow(name="retrain")
def retrain(
    config: Path,
    overrides: tuple[str, ...] = (),
    reason: str = "by hand",
    until: Stage = "publish",
    run: RunConfig | None = None,
) -> Outcome:
    """Bring the models up to date with their source and put the better ones in service.

    A model that fails does not keep the others from it: they go on to the page, which says so, and then the flow fails.

    Args:
        config: The run's YAML file.
        overrides: Changes of single values, such as "models.gan.training.images=1000".
        reason: Why it runs, in a few words; part of the night's name.
        until: The last stage.
        run: The whole configuration, to be used instead of the file.
    """
    with turn.taken(), opened(content := run or load(config, overrides), reason) as here:
        shards, seed = here.shards(lambda: shard(content.dataset, here.site)), content.seed
        here.begin(shards)
        sets = evaluation_sets(
            content.name, content.evaluation_set, content.dataset, content.corruption, seed, shards, here.site
        )
        outcome = Outcome(shards, sets)
        if until == "prepare":
            return outcome

        outcome.trained = here.each(
            content.models,
            lambda name: train_model(name, content.models[name], content.corruption, seed, shards, here.site),
        )
        if until == "train":
            return outcome

        outcome.evaluated = here.each(
            outcome.trained,
            lambda name: evaluate_model(name, content.models[name], outcome.trained[name], sets, seed, here.site),
        )
        showing.show_scores(content.name, outcome.evaluated)
        if until == "evaluate":
            return outcome

        for name, evaluated in outcome.evaluated.items():
            candidate = promotion.Candidate(name, content.models[name], outcome.trained[name], evaluated)
            outcome.promoted[name] = promote_model(candidate, shards, sets, seed, here.site)
        showing.show_promotions(outcome.promoted)
        if until == "promote":
            return outcome

        told = {
            name: Chapter(name, content.models[name], outcome.trained[name], outcome.evaluated[name], decision)
            for name, decision in outcome.promoted.items()
        }
        failed = {name: str(error) for name, error in here.failed.items()}
        command = publishing.command(config, overrides)
        outcome.page = page = write_page(content, shards, sets, told, failed, command, here.site)
        here.page = publishing.page_url(page) or publishing.page_path(page, here.site).as_uri()
        record(outcome.evaluated, outcome.promoted, page, here.site)
        showing.show_page(content.name, page)
        return outcome
