"""View: the columns that MLflow's table of runs opens with, kept as a shared view of each experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence

from components.servers.redaction import redact_text
from components.tracking.client import MlflowClient

_KEY = "kintsugi"
_TAG = f"mlflow.sharedViewState.{_KEY}"  # what the button "Share" of MLflow's page makes
_NOTE = "mlflow.note.content"
_FIRST = ("1", "attributes.`Run Name`", "runDateAndNestInfo")  # which the table has always: the box to tick, name, time
_SHARED = f"viewStateShareKey={_KEY}"


def column_of(group: str, name: str) -> str:
    """Return MLflow's name of a column.

    Args:
        group: "metrics", "params", "tags" or "attributes".
        name: As the run keeps it; of an attribute, as the table's head says it.
    """
    return f"{group}.`{name}`"


def preset(run_id: str, columns: Sequence[str], purpose: str) -> None:
    """Make the columns those with which the table opens that `address` leads to, for the experiment of a run.

    MLflow's own default columns cannot be set, so the experiment's description leads to the view, too. A description
    that somebody else wrote stays.

    Args:
        run_id: The run.
        columns: As `column_of` names them, in order.
        purpose: What stands in them, for the description.
    """
    client = MlflowClient()
    experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    place = _place(experiment.experiment_id, "TABLE", is_preset=True)
    widths = {column: _width_px(column) for column in columns}
    state = {"selectedColumns": [*columns], "columnOrder": [*_FIRST, *columns], "columnWidths": widths}
    wanted = {_TAG: json.dumps(state)}
    if _SHARED in experiment.tags.get(_NOTE, _SHARED):
        wanted[_NOTE] = f"[{purpose}](#{place})"
    for tag, value in wanted.items():
        if experiment.tags.get(tag) != value:
            client.set_experiment_tag(experiment.experiment_id, tag, value)


def _width_px(column: str) -> int:
    """Return how wide a column must be to show its head, within limits."""
    letters = len(column.partition(".`")[2])
    return min(max(100, 45 + 7 * letters), 230)


def address(uri: str, run_id: str) -> str:
    """Return where people see a run among the others of its experiment, with their curves, on the server at `uri`."""
    client = MlflowClient()
    experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    base = redact_text(uri).rstrip("/")
    return f"{base}/#{_place(experiment.experiment_id, 'CHART', is_preset=_TAG in experiment.tags)}"


def _place(experiment: str, mode: str, *, is_preset: bool) -> str:
    # Without the workspace a server that has several opens its list of them; without the type, a page about chats.
    asked = f"workflowType=machine_learning&workspace=default&compareRunsMode={mode}"
    # MLflow complains of an address that names a view which the experiment lacks.
    return f"/experiments/{experiment}/runs?{asked}" + (f"&{_SHARED}" if is_preset else "")
