"""Search: the flow `sweep`: trials of a model's configuration, brought from rung to rung; the best with other seeds.

Which trial comes next follows from the sweep's journal, so a sweep that was killed is continued by starting it again.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from components.config import RunConfig, load
from components.config.text import assignment
from components.launch.outcome import Stopped
from components.logs.lines import at_stage
from components.report.sweep import SweepContent
from components.search import result
from components.search.proposals import read
from components.search.sweep import Sweep, begun
from flows import news, showing, turn
from flows.opening import opened
from flows.pipeline import prepare_data, shard_source

# No retries: a trial that fails is noted with its reason, and lost processes are launched again by the stage itself.
advance_trial = task(name="advance", task_run_name="{step.title}", cache_policy=NO_CACHE)(
    at_stage("train", Sweep.advance)
)
judge_trial = task(
    name="judge", task_run_name="judge trial {trial.number}, seed {trial.data.seed}", cache_policy=NO_CACHE
)(at_stage("evaluate", result.judge))
publish_sweep = task(name="publish", cache_policy=NO_CACHE)(at_stage("publish", result.finish))


@flow(name="sweep", on_failure=[news.when_failed])
def sweep(config: Path, overrides: tuple[str, ...] = ()) -> tuple[SweepContent, Path]:
    """Return what the sweep in the configuration came to, and the page that shows it.

    Args:
        config: The run's YAML file, with a section `sweep`.
        overrides: Changes of single values, such as "sweep.trials=9".
    """
    run, proposed = read(config, overrides)  # first: what cannot be tried is refused before anything starts
    with turn.taken(), opened(run.unswept, "sweep") as here:
        shards = here.begin(shard_source)
        data = prepare_data(here.run, shards, here.site, judged=True)
        with begun(run, proposed, data, here.site, partial(_reread, config, overrides)) as search:
            try:
                while (step := search.next_step) is not None:
                    advance_trial(search, step)
                judged = [judge_trial(search, trial) for trial in search.contests]
            except Stopped:
                result.publish(search)  # so that a person sees how far it came
                raise
            content, page = publish_sweep(search, judged)
        showing.show_sweep(content, page)
        return content, page


def _reread(config: Path, overrides: tuple[str, ...], values: Mapping[str, Any]) -> RunConfig:
    """Return what the file becomes with other values, and without the section that asks for a sweep."""
    return load(config, (*overrides, "sweep=null", *(assignment(path, value) for path, value in values.items())))
