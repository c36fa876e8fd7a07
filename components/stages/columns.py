"""Columns: what MLflow's tables of trainings and of nights say at first sight, and the tags that say it."""

from components.config import RunConfig
from components.evaluation.protocol import MODEL_ROW
from components.stages.candidate import Candidate, Promotion, after
from components.stages.night import Night
from components.tracking import runs, view

_SCORES = 3
_HARDWARE = view.column_of("tags", "kintsugi.hardware")
_DECISION = view.column_of("tags", "kintsugi.decision")
_DATA = view.column_of("tags", "kintsugi.data_version")


def show_training(run_id: str, candidate: Candidate, promotion: Promotion, night: Night | None) -> None:
    """Tell the run of a model's training what became of it, and preset the columns of the model's experiment.

    Args:
        run_id: The run that trained it.
        candidate: The model, measured.
        promotion: What was decided.
        night: The night that it is of; None outside of one.
    """
    told = {"decision": promotion.verdict, "version": str(promotion.version)}
    runs.link_run(run_id, told | ({"data_version": str(night.data_version)} if night is not None else {}))
    columns = [
        _DECISION,
        _DATA,
        *(view.column_of("metrics", f"score/{name}") for name in _main_scores(candidate)),
        view.column_of("params", "training.images"),
        view.column_of("metrics", "system/train_wall_hours"),
        _HARDWARE,
    ]
    view.preset(run_id, columns, "All trainings with decision, data, scores, images, hours and hardware")


def preset_nights(run_id: str, run: RunConfig) -> None:
    """Preset the columns of the experiment of a configuration's nights, of which `run_id` is one."""
    columns = [
        *(view.column_of("tags", f"kintsugi.verdict.{name}") for name in run.models),
        *([view.column_of("tags", "kintsugi.skipped")] if run.retraining.may_skip else []),
        _DATA,
        *(view.column_of("metrics", f"{name}/{model.promotion.metric}") for name, model in run.models.items()),
        view.column_of("tags", "kintsugi.reason"),
        _HARDWARE,
    ]
    view.preset(run_id, columns, "All nights with decisions, data, scores, reasons and hardware")


def _main_scores(candidate: Candidate) -> list[str]:
    """Return the names of the first scores that are of all images, that of the gate before the others."""
    table, first = after("evaluate", candidate.evaluated).table, candidate.config.promotion.metric
    names = [score.name for score in table.rows[MODEL_ROW] if "/" not in score.name and score.name != first]
    return [first, *names][:_SCORES]
