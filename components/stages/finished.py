"""Finished: what a run has made already, where nothing is left to do up to a stage: then nothing need be started."""

from collections.abc import Iterator
from pathlib import Path

from components.artifacts import Store
from components.config import RunConfig
from components.data import ShardSet, plan_shards
from components.stages.candidate import Candidate, Data, after
from components.stages.foresee import ask_registry, foresee, foresee_data
from components.stages.inputs import page_inputs
from components.stages.outcome import Outcome, Page, Stage
from components.stages.pinned import in_force
from components.stages.site import Progress, registered_name
from components.tracking import runs
from components.tracking.sqlite import is_untouched
from components.workspace import Workspace


def finished(run: RunConfig, until: Stage, command: str, store: Store, workspace: Workspace) -> Outcome | None:
    """Return what the run has made if all of it is there up to the stage `until`, and in MLflow; else None.

    Nothing is made or changed. A registry that does not answer counts as something left to do.

    Args:
        run: What is asked for.
        until: The last stage.
        command: What makes the run again, as its page says.
        store: Where its artifacts are.
        workspace: Where the pages of this machine are, and the registry unless a server has it.

    Raises:
        ValueError: The source is not there, or an evaluation set is asked for that is not.
        ArtifactError: The shards of the pinned evaluation set are gone.
    """
    shards, _ = plan_shards(run.dataset, store)
    data = None if shards is None else _prepared(run, shards, store)
    if data is None:
        return None
    if until == "prepare":
        return Outcome(data)
    candidates = list(_brought_on(run, until, data, store, workspace.home))
    if len(candidates) < len(run.models):
        return None
    if until != "publish":
        return Outcome(data, candidates)
    page = store.find(Page, page_inputs(run, command, data, candidates))
    if page is None or not (workspace.pages / page.file_name).is_file():
        return None
    return Outcome(data, candidates, page) if runs.is_linked(run.name, "page", page.digest) else None


def show_reused(outcome: Outcome, progress: Progress) -> None:
    """Show a person each stage as the stages themselves do where they find what they would make."""
    for candidate in outcome.candidates:
        name, checkpoint = candidate.name, after("train", candidate.checkpoint)
        progress(f"train {name}", checkpoint.images, checkpoint.images, "reused")
        if candidate.evaluated is not None:
            progress(f"baselines {name}", 1, 1, "reused")
            progress(f"evaluate {name}", 1, 1, "reused")


def _prepared(run: RunConfig, shards: ShardSet, store: Store) -> Data | None:
    """Return what models are trained and judged on; None if the data has no number yet, or a held-out set no damage."""
    if not any(known["shards"] == shards.digest for known in store.records(f"data/{run.name}").all()):
        return None
    is_own = run.evaluation_set == "fresh" or (run.evaluation_set == "pinned" and not shards.splits["test"].samples)
    pinned = None if is_own else in_force(run, shards, store)
    if pinned is None and not is_own:
        return None
    data = foresee_data(run, shards, pinned, store)
    sets = (data.yardstick, data.fresh) if data.fresh else (data.yardstick,)
    return None if run.corruption is not None and any(one.corruptions is None for one in sets) else data


def _brought_on(run: RunConfig, until: Stage, data: Data, store: Store, home: Path) -> Iterator[Candidate]:
    """Yield each model with all that the stages up to `until` add, up to the first that lacks any of it."""
    for name, config in run.models.items():
        model = foresee(Candidate(name, config), data, store)
        if model.candidate.checkpoint is None or (until != "train" and model.candidate.evaluated is None):
            return
        if until in {"promote", "publish"}:
            model = ask_registry(model, data, run.name, store, home)
            if model.candidate.promotion is None:
                return
        if until == "evaluate" and not _is_logged(run, model.candidate, home):
            return
        yield model.candidate


def _is_logged(run: RunConfig, candidate: Candidate, home: Path) -> bool:
    """Return whether MLflow has the candidate's scores: a run that was killed may have measured them and no more."""
    if is_untouched(home):
        return False
    runs.configure(home)
    scores = after("evaluate", candidate.evaluated).scores.digest
    return runs.is_linked(registered_name(run.name, candidate.name), "scores", scores)
