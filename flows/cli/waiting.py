"""Waiting: how many runs of the pipeline wait or run on Prefect's server, for `/metrics` of `kintsugi serve`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.cli.doctor import prefect_server
from flows.cli.doctor.server import RefusedError

_SOON = timedelta(minutes=1)  # a run that waits for its turn is due again every half a minute


def runs_by_state() -> dict[str, int]:
    """Return how many runs are due and wait, and how many are under way; nothing where no server answers."""
    soon = (datetime.now(UTC) + _SOON).isoformat()
    wanted: dict[str, dict[str, Any]] = {
        "waiting": {"state": {"type": {"any_": ["SCHEDULED", "PENDING"]}}, "expected_start_time": {"before_": soon}},
        "running": {"state": {"type": {"any_": ["RUNNING"]}}},
    }
    try:
        if (server := prefect_server.server()) is None:
            return {}
        return {
            name: int(server.ask("flow_runs/count", {"flow_runs": {**filters, "tags": {"all_": ["kintsugi"]}}}))
            for name, filters in wanted.items()
        }
    except (RefusedError, OSError, ValueError):
        return {}
