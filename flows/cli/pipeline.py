"""Commands of the pipeline: run, its single stages, check, compare."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.progress import watched
from flows.cli.tables import say, table
from flows.server_guard import guard_server

if TYPE_CHECKING:  # Prefect and PyTorch take seconds to import: each command imports what it needs
    from components.config import RunConfig
    from components.data import ShardSet
    from components.stages.candidate import Candidate
    from components.stages.outcome import Outcome, Page, Skipped, Stage

Config = Annotated[Path, Parameter(help="The run's YAML file.")]
Overrides = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set", help="Change one value: --set models.gan.training.images=1000. May be repeated.", negative=()
    ),
]
AsJson = Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())]


def run(
    config: Config,
    *,
    set_: Overrides = (),
    regardless: Annotated[
        bool, Parameter(help="Train even where `retraining` in the file would skip the night.", negative=())
    ] = False,
) -> None:
    """Do all that is missing: prepare; of each model train, evaluate, promote; publish."""
    from components.stages.outcome import Skipped

    outcome = _retrained(config, set_, "publish", regardless=regardless)
    if isinstance(outcome, Skipped):
        say(f"Skipped: {outcome.why}. With --regardless it is trained all the same.")
        return
    say(f"Page: {_address(outcome)}   Dashboards (MLflow, Prefect): {_program()} dashboards")


def shard(config: Config, *, set_: Overrides = ()) -> None:
    """Stage prepare: read the source, check its images, write shards and the frozen evaluation set."""
    shards = _brought(config, set_, "prepare").data.shards
    refused = sum(shards.rejected.values())
    say(
        f"{shards.found:,} found = {shards.accepted:,} accepted + {shards.duplicates:,} duplicates "
        f"+ {refused:,} rejected\n{_took(shards)}Shards: {shards.path}"
    )


def train(config: Config, *, set_: Overrides = ()) -> None:
    """Stage train: train every model of the run, resuming what was interrupted."""
    from components.stages.candidate import after

    for model in _brought_on(config, set_, "train"):
        say(f"{model.name}: {after('train', model.checkpoint).path}")


def evaluate(config: Config, *, set_: Overrides = ()) -> None:
    """Stage evaluate: measure every model of the run, with the baselines beside it."""
    from components.stages.candidate import after

    for model in _brought_on(config, set_, "evaluate"):
        scores = after("evaluate", model.evaluated).table
        names = [score.name for score in scores.rows["model"] if "/" not in score.name]
        rows = [[row, *(_value(scores.values(row).get(metric)) for metric in names)] for row in scores.rows]
        say(table([model.name, *names], rows))


def promote(config: Config, *, set_: Overrides = ()) -> None:
    """Stage promote: register the run's models, and put those in service that the gate lets through."""
    from components.stages.candidate import after

    for model in _brought_on(config, set_, "promote"):
        promotion = after("promote", model.promotion)
        say(f"{promotion.model} version {promotion.version}: {promotion.verdict}")
        for reason in promotion.reasons:
            say(f"  {reason}")
        for answer in promotion.answers:
            say(f"  to answer: {answer}")


def report(config: Config, *, set_: Overrides = ()) -> None:
    """Stage publish: write the run's page."""
    say(_address(_brought(config, set_, "publish")))


def check(config: Config, *, set_: Overrides = (), as_json: AsJson = False) -> None:
    """Validate a configuration and say what a run would do, and what it would reuse. Changes nothing."""
    from components.artifacts import Store
    from components.config import load
    from components.stages.inputs import command_of
    from components.stages.plan import plan

    content = load(config, set_).of_the_night
    workspace = Workspace.from_environment()
    store = Store.open(content.store or workspace.default_store, workspace.cache, content.streaming_cache)
    steps = plan(content, command_of(config, set_), store, workspace.home)
    if as_json:
        say(json.dumps([step.model_dump(mode="json") for step in steps], indent=1))
        return
    say(f"{config}: valid")
    say(table(["stage", "what", "facts"], [[step.stage, step.state, step.facts] for step in steps]))


def compare(
    runs: Annotated[list[str], Parameter(help="Names of runs, or the first digits of their pages' digests.")],
    *,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"], help="Where to write the page.")] = None,
    store: Annotated[
        str | None, Parameter(help="Artifact store of the runs, if their configuration names one.")
    ] = None,
) -> None:
    """Write a page that sets runs side by side."""
    from components.artifacts import Store
    from components.report.comparison import write_comparison
    from flows.cli import pages

    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    columns = [pages.column(artifacts, run) for run in runs]
    path = output or workspace.pages / f"compare-{'-'.join(runs)}.html"
    say(write_comparison(columns, path).absolute().as_uri())


def trained_anew(config: Path, overrides: Overrides) -> str:
    """Do all that is missing of a run, whatever its policy is, and return the address of its page."""
    return _address(_brought(config, overrides, "publish"))


def _brought_on(config: Path, overrides: Overrides, until: "Stage") -> "list[Candidate]":
    """Return the run's models after the stage `until`."""
    return _brought(config, overrides, until).candidates


def _brought(config: Path, overrides: Overrides, until: "Stage") -> "Outcome":
    """Return the run as far as the stage `until`, which a person who asks for it gets whatever the policy is."""
    return cast("Outcome", _retrained(config, overrides, until, regardless=True))


def _address(outcome: "Outcome") -> str:
    """Return the address of a whole run's page."""
    from components.stages.outcome import page_address

    return page_address(cast("Page", outcome.page), Workspace.from_environment())


def _retrained(config: Path, overrides: Overrides, until: "Stage", *, regardless: bool) -> "Outcome | Skipped":
    """Do what is missing up to a stage, and return what the run has made.

    Prefect is started only if something is missing, and for no configuration that cannot work: it takes seconds, and a
    server of its own half a minute more.
    """
    from components.config import load

    run = load(config, overrides).of_the_night
    Workspace.from_environment().create()  # before Prefect is imported, which makes its folder but none above it
    with watched():
        if (outcome := _finished(run, config, overrides, until)) is not None:
            return outcome
        guard_server()  # first: a run may be killed while its server starts
        from flows import pipeline

        return pipeline.retrain(config, overrides, until=until, regardless=regardless)


def _finished(run: "RunConfig", config: Path, overrides: Overrides, until: "Stage") -> "Outcome | None":
    """Return what the run has made, if nothing is left to do; a store that is away is waited for by the run itself."""
    from components.artifacts import Store
    from components.artifacts.storage import StorageError
    from components.stages.finished import finished, show_reused
    from components.stages.inputs import command_of
    from flows.watching import watcher

    workspace = Workspace.from_environment()
    try:
        store = Store.open(run.store or workspace.default_store, workspace.cache, run.streaming_cache)
        outcome = finished(run, until, command_of(config, overrides), store, workspace)
    except StorageError:
        return None
    if outcome is not None:
        show_reused(outcome, watcher.get())
    return outcome


def _took(shards: "ShardSet") -> str:
    """Return a line that says what this version of the data took; none of shards that an earlier release made."""
    return f"This version took: {shards.growth.facts}\n" if shards.growth else ""


def _value(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _program() -> str:
    """Return how this program was called, so that the line can be copied."""
    return sys.argv[0] if "/" not in sys.argv[0] else str(Path(sys.argv[0]).absolute())
