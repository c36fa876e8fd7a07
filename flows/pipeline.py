"""The pipeline: prepare, train, evaluate, promote, publish; and retrain, which chains them. Each runs alone, too.

Every stage is idempotent: it finds by digest what is already there. So a run that was killed is continued by starting
it again, and a flow that is started alone does just what is missing before it.
"""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.data import ShardSet
from components.section import Section
from components.stages import measuring, preparation, promotion, publishing, training
from components.stages.chapters import Chapter
from components.stages.measuring import Evaluated
from components.stages.preparation import EvaluationSets
from components.stages.promotion import Promotion
from components.stages.publishing import Page
from components.stages.training import Checkpoint
from flows import showing
from flows.opening import opened


class Prepared(Section):
    """What every model is trained and judged on."""

    shards: ShardSet
    sets: EvaluationSets


def _may_pass(task_: "Task[..., object]", run: TaskRun, state: "State[object]") -> bool:  # noqa: ARG001 - Prefect's signature
    """Retry what may go well next time. A mistake in the configuration stays one."""
    return not isinstance(state.result(raise_on_failure=False), ValueError)


shard = task(name="shard", retries=2, retry_delay_seconds=5, retry_condition_fn=_may_pass, cache_policy=NO_CACHE)(
    preparation.shard
)
evaluation_sets = task(
    name="evaluation sets", retries=2, retry_delay_seconds=5, retry_condition_fn=_may_pass, cache_policy=NO_CACHE
)(preparation.evaluation_sets)
# No retries: the stage itself launches lost processes again, and gives up for a reason.
train_model = task(name="train", task_run_name="train {name}", cache_policy=NO_CACHE)(training.train)
evaluate_model = task(name="evaluate", task_run_name="evaluate {name}", retries=1, cache_policy=NO_CACHE)(
    measuring.evaluate
)
promote_model = task(name="promote", task_run_name="promote {candidate.name}", cache_policy=NO_CACHE)(promotion.promote)
write_page = task(name="write page", retries=1, cache_policy=NO_CACHE)(publishing.publish)


@flow(name="prepare")
def prepare(config: Path, overrides: tuple[str, ...] = ()) -> Prepared:
    """Return shards and evaluation sets, making only what the store lacks."""
    with opened(config, overrides) as here:
        run = here.run
        shards = shard(run.dataset, here.site)
        sets = evaluation_sets(run.name, run.evaluation_set, run.dataset, run.corruption, run.seed, shards, here.site)
        return Prepared(shards=shards, sets=sets)


@flow(name="train")
def train(config: Path, overrides: tuple[str, ...] = (), prepared: Prepared | None = None) -> dict[str, Checkpoint]:
    """Return the trained models by name, one after the other: each has all processors."""
    with opened(config, overrides) as here:
        data = prepared or prepare(config, overrides)
        run = here.run
        return here.each(
            run.models,
            lambda name: train_model(name, run.models[name], run.corruption, run.seed, data.shards, here.site),
        )


@flow(name="evaluate")
def evaluate(
    config: Path,
    overrides: tuple[str, ...] = (),
    prepared: Prepared | None = None,
    trained: dict[str, Checkpoint] | None = None,
) -> dict[str, Evaluated]:
    """Return the scores of every model that was trained, with the baselines beside them."""
    with opened(config, overrides) as here:
        data = prepared or prepare(config, overrides)
        checkpoints = trained or train(config, overrides, data)
        run = here.run
        evaluated = here.each(
            checkpoints,
            lambda name: evaluate_model(name, run.models[name], checkpoints[name], data.sets, run.seed, here.site),
        )
        for name, scores in evaluated.items():
            showing.show_scores(run.name, name, scores.table)
        return evaluated


@flow(name="promote")
def promote(
    config: Path,
    overrides: tuple[str, ...] = (),
    prepared: Prepared | None = None,
    trained: dict[str, Checkpoint] | None = None,
    evaluated: dict[str, Evaluated] | None = None,
) -> dict[str, Promotion]:
    """Register every model that was judged, and put those in service that the gate lets through."""
    with opened(config, overrides) as here:
        data = prepared or prepare(config, overrides)
        checkpoints = trained or train(config, overrides, data)
        scores = evaluated or evaluate(config, overrides, data, checkpoints)
        run = here.run
        promotions = {}
        for name in scores:
            candidate = promotion.Candidate(name, run.models[name], checkpoints[name], scores[name])
            promotions[name] = promote_model(candidate, data.shards, data.sets, run.seed, here.site)
            showing.show_promotion(promotions[name])
        return promotions


@flow(name="publish")
def publish(
    config: Path,
    overrides: tuple[str, ...] = (),
    prepared: Prepared | None = None,
    trained: dict[str, Checkpoint] | None = None,
    evaluated: dict[str, Evaluated] | None = None,
    promotions: dict[str, Promotion] | None = None,
) -> Page:
    """Return the page that shows the run to people."""
    with opened(config, overrides) as here:
        data = prepared or prepare(config, overrides)
        checkpoints = trained or train(config, overrides, data)
        scores = evaluated or evaluate(config, overrides, data, checkpoints)
        decisions = promotions or promote(config, overrides, data, checkpoints, scores)
        run = here.run
        told = {
            name: Chapter(name, run.models[name], checkpoints[name], scores[name], decision)
            for name, decision in decisions.items()
        }
        failed = {name: str(error) for name, error in here.failed.items()}
        command = publishing.command(config, overrides)
        page = write_page(run, data.shards, data.sets, told, failed, command, here.site)
        here.page = publishing.page_path(page, here.site)
        showing.show_page(run.name, page)
        return page


@flow(name="retrain")
def retrain(config: Path, overrides: tuple[str, ...] = ()) -> Page:
    """Bring the models up to date with their source and put the better ones in service; return the page.

    A model that fails does not keep the others from it: they go on to the page, which says so, and then the flow fails.
    """
    with opened(config, overrides):
        prepared = prepare(config, overrides)
        trained = train(config, overrides, prepared)
        evaluated = evaluate(config, overrides, prepared, trained)
        promotions = promote(config, overrides, prepared, trained, evaluated)
        return publish(config, overrides, prepared, trained, evaluated, promotions)
