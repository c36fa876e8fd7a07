"""Flows: order, retries, concurrency, schedules and artifacts in the Prefect UI; nothing else.

Prefect reads its settings while it is imported, so what a run without a server needs is set here first. Whatever the
environment already says stays.
"""

import os
from contextlib import suppress

from components.logs import lines
from components.workspace import Workspace

_JSON = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": f"{lines.JsonLines.__module__}.{lines.JsonLines.__qualname__}",
}


def _prefect_defaults() -> dict[str, str]:
    defaults = {
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # 20 s is too short on a busy laptop
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default is pickle
        "PREFECT_LOGGING_EXTRA_LOGGERS": "components,flows",  # what stages and ranks say belongs on the run's page
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
    }
    with suppress(ValueError):  # the command line says what is wrong with it
        if lines.is_json():
            defaults |= _JSON
    with suppress(ValueError):  # KINTSUGI_HOME makes no sense: whoever asks for the workspace says so
        defaults["PREFECT_HOME"] = str(Workspace.from_environment().prefect)
    return defaults


for _name, _value in _prefect_defaults().items():
    os.environ.setdefault(_name, _value)
