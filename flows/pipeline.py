"""The pipeline on one page: prepare; of each model train, evaluate, promote; publish.

Every stage is idempotent: it finds by digest what is already there. So a run that was killed is continued by starting
it again, and one that ends at an earlier stage does just what is missing up to there.
"""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.artifacts.storage import StorageError
from components.config import RunConfig, load
from components.launch.outcome import Stopped
from components.logs.lines import at_stage
from components.servers.patience import PatienceEndedError
from components.stages.candidate import Candidate, Data, after
from components.stages.evaluate import evaluate
from components.stages.inputs import command_of
from components.stages.nights import record
from components.stages.outcome import Outcome, Skipped, Stage, page_address
from components.stages.prepare import prepare, shard
from components.stages.promote import promote
from components.stages.publish import publish
from components.stages.rival import rival_of
from components.stages.site import Site
from components.stages.start import settled
from components.stages.train import train
from components.tracking.client import TrackingError
from flows import news, showing, turn
from flows.opening import opened

_FOR_GOOD = (ValueError, Stopped, PatienceEndedError, TrackingError, StorageError)


def _may_pass(task_: "Task[..., object]", run: TaskRun, state: "State[object]") -> bool:  # noqa: ARG001 - Prefect's signature
    """Retry what may go well next time: no mistake in the configuration, and nothing that has waited already."""
    return not isinstance(state.result(raise_on_failure=False), _FOR_GOOD)


def _retried(retries: int, delay_s: float = 0) -> dict[str, Any]:
    return {"retries": retries, "retry_delay_seconds": delay_s, "retry_condition_fn": _may_pass}


def _of_one_model(name: str) -> dict[str, Any]:
    return {"name": name, "task_run_name": f"{name} {{candidate.name}}"}


shard_source = task(name="shard", cache_policy=NO_CACHE, **_retried(2, 5))(at_stage("shard", shard))
prepare_data = task(name="prepare", cache_policy=NO_CACHE, **_retried(2, 5))(at_stage("prepare", prepare))
# No retries: the stage itself launches lost processes again, and gives up for a reason.
train_model = task(**_of_one_model("train"), cache_policy=NO_CACHE)(at_stage("train", train))
evaluate_model = task(**_of_one_model("evaluate"), cache_policy=NO_CACHE, **_retried(1))(at_stage("evaluate", evaluate))
promote_model = task(**_of_one_model("promote"), cache_policy=NO_CACHE)(at_stage("promote", promote))
publish_page = task(name="publish", cache_policy=NO_CACHE, **_retried(1))(at_stage("publish", publish))
record_night = task(name="record", cache_policy=NO_CACHE, **_retried(1))(record)


@flow(name="retrain", on_failure=[news.when_failed])
def retrain(
    config: Path,
    overrides: tuple[str, ...] = (),
    reason: str = "by hand",
    until: Stage = "publish",
    run: RunConfig | None = None,
    regardless: bool = False,  # noqa: FBT001, FBT002 - Prefect hands parameters over by name
) -> Outcome | Skipped:
    """Bring the models up to date with their source and put the better ones in service, each as soon as it is ready.

    A model that fails does not keep the others from it: they go on to the page, which says so, and then the flow fails.
    A night that `retraining` in the configuration finds not worth its cost ends in the state Skipped.

    Args:
        config: The run's YAML file.
        overrides: Changes of single values, such as "models.gan.training.images=1000".
        reason: Why it runs, in a few words; part of the night's name.
        until: The last stage.
        run: The whole configuration, to be used instead of the file.
        regardless: Never skip the night. One that ends at an earlier stage is never skipped.
    """
    with turn.taken(), opened((run or load(config, overrides)).of_the_night, reason) as here:
        shards = here.begin(shard_source)
        if until == "publish" and not regardless and (why := here.skipped()) is not None:
            return showing.show_skipped(here.run.name, why)
        here.track()
        outcome = Outcome(prepare_data(here.run, shards, here.site, judged=until not in ("prepare", "train")))
        if until == "prepare":
            return outcome

        outcome.data = settled(here.run, outcome.data, here.site)
        here.diary.begin()
        outcome.candidates = here.each(outcome.data, lambda model, site: _brought_on(model, outcome.data, site, until))
        if until != "publish":
            return outcome

        outcome.page = page = publish_page(
            here.run, command_of(config, overrides), outcome.data, outcome.candidates, here.site
        )
        here.page = page_address(page, here.site.workspace)
        told = [one for one in outcome.candidates if one.failure is None]
        record_night(told, page, here.site)
        promotions = [after("promote", one.promotion) for one in told]
        showing.show_page(here.run.name, page, rival_of(page, promotions, here.site.workspace.pages))
        here.finish(outcome.data)
        return outcome


def _brought_on(model: Candidate, data: Data, site: Site, until: Stage) -> Candidate:
    """Return one model after its stages, the last of which is `until`, or `promote` where the run goes on to a page."""
    model = train_model(model, data, site)
    if until == "train":
        return model
    model = evaluate_model(model, data, site)
    showing.show_scores(site.experiment, model)
    if until == "evaluate":
        return model
    model = promote_model(model, data, site)
    showing.show_promotion(model)
    news.tell_decision(after("promote", model.promotion), site)
    return model
