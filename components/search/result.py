"""Result: what a sweep came to: the best with other seeds, the page that ranks trials, MLflow's runs; tidying up."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from components.artifacts.files import remove_folder
from components.config.text import assignment
from components.evaluation.protocol import MODEL_ROW
from components.launch import LaunchFailed
from components.report.scores import number
from components.report.sweep import Judged, SweepContent, TrialRow, verdict, write_sweep
from components.search.halving import Mark, ranking
from components.search.proposals import settings
from components.search.sweep import Sweep, Trial
from components.stages.candidate import Checkpoint, after
from components.stages.evaluate import Measurement, log_values, measure
from components.stages.train import train
from components.tracking import runs
from components.workspace import WorkspaceError

_HOUR_S = 3600
_log = logging.getLogger(__name__)


def judge(sweep: Sweep, trial: Trial) -> Judged:
    """Train a trial with a seed that had no part in the choice, and return what the score of the gate says of it.

    Raises:
        Stopped: It was asked to stop, or the budget is spent; the same call goes on.
        LaunchFailed: A process failed; the message is its own.
    """
    site, model = sweep.site_of(trial), trial.candidate.config
    checkpoint = after("train", train(trial.candidate, trial.data, site).checkpoint)
    what = Measurement(model, checkpoint.path / "export", trial.data.yardstick, trial.data.seed)
    metric = model.promotion.metric
    score = measure(f"evaluate {trial.candidate.name}", what, site).table.find(MODEL_ROW, metric)
    if score is None:
        raise ValueError(f"promotion.metric {metric} is none of the scores that `evaluation` measures")
    if (training := runs.run_of(sweep.name, trial.training)) is not None:
        log_values(training, "score", {metric: score.value}, checkpoint.images)
    return Judged(
        trial=trial.number,
        seed=trial.data.seed,
        metric=metric,
        better=score.better,
        value=score.value,
        low=score.low,
        high=score.high,
    )


def publish(sweep: Sweep, judged: Sequence[Judged] = ()) -> tuple[SweepContent, Path]:
    """Write the sweep's page, tell MLflow what it came to so far, and return what the page says and where it is."""
    content = _content(sweep, judged)
    page = sweep.site.workspace.pages / f"sweep-{sweep.name}-{sweep.digest[:8]}.html"
    write_sweep(content, page)
    if sweep.site.parent_run is not None:
        _tell_parent(sweep.site.parent_run, content, page)
    for row in content.trials:
        training = runs.run_of(sweep.name, sweep.trials[row.trial].training)
        if training is not None:
            values = {f"sweep.{path}": words for path, words in row.words.items()}
            runs.link_run(training, {"sweep": sweep.digest, "trial": str(row.trial), "rank": str(row.rank), **values})
    return content, page


def finish(sweep: Sweep, judged: Sequence[Judged]) -> tuple[SweepContent, Path]:
    """Publish, then remove what trials that were not finished have left, unless that is to be kept.

    Raises:
        LaunchFailed: No trial could be trained to the end; the page says why.
    """
    content, page = publish(sweep, judged)
    if content.best is None:
        reasons = "\n".join(f"trial {row.trial}: {row.reason}" for row in content.trials if row.reason)
        raise LaunchFailed(f"no trial was trained to the end; page: {page}\n{reasons}")
    if not sweep.section.keep:
        _remove_unfinished(sweep)
    return content, page


def _content(sweep: Sweep, judged: Sequence[Judged]) -> SweepContent:
    marks, best = sweep.marks, sweep.best
    order = ranking(marks)
    night = sweep.site.night
    shards = sweep.trials[0].data.shards
    finished = None if best is None else sweep.site.store.by_digest(Checkpoint, sweep.trials[best].training)
    found = settings(sweep.trials[best].run, sweep.run, sweep.reread) if best else {}
    by_trial = {trial: [mark for mark in marks if mark.trial == trial] for trial in order}
    return SweepContent(
        run=sweep.run.name,
        model=sweep.section.model,
        digest=sweep.digest,
        data=f"data {shards.digest[:8]}" if night is None else f"data {night.data_version}",
        metric=next((mark.metric for mark in marks if mark.metric), "score"),
        places=sweep.places,
        reduction=sweep.section.reduction,
        trials=tuple(_row(rank, sweep.trials[trial], by_trial[trial]) for rank, trial in enumerate(order, start=1)),
        best=best,
        settings=found,
        overrides=tuple(assignment(path, value) for path, value in found.items()),
        export=None if finished is None else finished.export,
        judged=tuple(judged),
        hours={trial: max(mark.seconds for mark in found) / _HOUR_S for trial, found in by_trial.items()},
        written=datetime.now(UTC),
    )


def _row(rank: int, trial: Trial, marks: Sequence[Mark]) -> TrialRow:
    along = sorted(marks, key=lambda mark: mark.rung)
    return TrialRow(
        rank=rank,
        trial=trial.number,
        values=dict(trial.values),
        scores=tuple(mark.score for mark in along),
        images=along[-1].images,
        reason=along[-1].reason,
        curve=along[-1].curve,
    )


def _tell_parent(run_id: str, content: SweepContent, page: Path) -> None:
    runs.log_files(run_id, page, "page")
    lines = [f"**{verdict(content)}** The page that ranks the trials is among the artifacts: `page/{page.name}`."]
    row = content.best_row
    if row is not None and row.scores[-1] is not None:
        runs.log_metrics(run_id, {f"best/{content.metric}": row.scores[-1]}, row.images)
        runs.link_run(run_id, {"best": str(row.trial), "export": content.export or ""})
        lines += ["", f"`{content.arguments}`"] if content.overrides else []
    if content.judged:
        lines += [
            "",
            *(f"- trial {one.trial}, seed {one.seed}: {one.metric} {number(one.value)}" for one in content.judged),
        ]
    runs.describe(run_id, "\n".join(lines))


def _remove_unfinished(sweep: Sweep) -> None:
    """Remove the folders of unfinished trials, but for the configuration without the sweep: a night goes on with it."""
    for trial in sweep.trials[1:]:
        try:
            with sweep.site.workspace.training_lock(trial.training) as folder:
                remove_folder(folder)
        except WorkspaceError as error:
            _log.warning("%s; what it has left stays", error)
