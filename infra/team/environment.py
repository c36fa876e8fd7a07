"""The environment that services inherit: what the machine gives, without the servers and keys of whoever typed `up`."""

import os
from collections.abc import Mapping

from infra.team.settings import CHECKOUT

MARK = "KINTSUGI_TEAM"
"""In the environment of the supervisor and all it starts: the home of the team's servers."""
SERVICE = "KINTSUGI_TEAM_SERVICE"
"""In the environment of a service and all it starts: its name."""

_PERSONAL = ("AWS_", "MLFLOW_", "PREFECT_", "PG", "KINTSUGI_", "POSTGRES_", "S3_", "SERVE_", "SUPERVISOR_")
_KEPT = (MARK, SERVICE, "KINTSUGI_COMMIT")
_QUIET = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def clean(own: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment: its own variables over what is inherited from the machine."""
    inherited = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_PERSONAL)}
    return {**inherited, **_QUIET, "PYTHONPATH": str(CHECKOUT), **own}
