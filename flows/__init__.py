"""Flows: order, retries, concurrency, schedules and artifacts in the Prefect UI; nothing else.

Prefect reads its settings while it is imported, so what a run without a server needs is set here first. Whatever the
environment already says stays.
"""

import os
from contextlib import suppress
from pathlib import Path


def _prefect_defaults() -> dict[str, str]:
    home = Path(os.environ.get("KINTSUGI_HOME", "workspace")).absolute()
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # 20 s is too short on a busy laptop
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default is pickle
        "PREFECT_LOGGING_EXTRA_LOGGERS": "components,flows",  # what stages and ranks say belongs on the run's page
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
    }


if "PREFECT_HOME" not in os.environ:
    with suppress(OSError):  # Prefect makes its own folder, but not those above it; a command says what is wrong
        Path(_prefect_defaults()["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
for _name, _value in _prefect_defaults().items():
    os.environ.setdefault(_name, _value)
