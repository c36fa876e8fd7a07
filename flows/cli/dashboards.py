"""Command dashboards: MLflow's and Prefect's pages over what this machine has recorded."""

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.servers import serve
from flows.cli.tables import say

_HERE = "127.0.0.1"
_WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""MLflow starts ten processes for jobs of its own, which judge language models; here they would idle at 5 s each."""


def dashboards(
    *,
    mlflow_port: Annotated[int, Parameter(help="Port of MLflow: runs, curves, pictures, models.")] = 5000,
    prefect_port: Annotated[int, Parameter(help="Port of Prefect: flows, tasks, logs.")] = 4200,
) -> None:
    """Open MLflow and Prefect on this machine's own records, on loopback only, until Ctrl-C."""
    from components.tracking import runs

    workspace = Workspace.from_environment().create()
    uri = runs.configure(workspace.home)
    commands = []
    if os.environ.get("PREFECT_API_URL"):
        say("Prefect: the server that PREFECT_API_URL names")
    else:
        commands.append(["prefect", "server", "start", "--host", _HERE, "--port", str(prefect_port)])
        say(f"Prefect: http://{_HERE}:{prefect_port}")
    if uri.startswith(("http://", "https://")):
        say("MLflow: the server that MLFLOW_TRACKING_URI names")
    else:
        address = ["--host", _HERE, "--port", str(mlflow_port)]
        commands.append(["mlflow", "server", *address, "--workers", "1", "--backend-store-uri", uri])
        say(f"MLflow: http://{_HERE}:{mlflow_port}")
    if commands:
        serve([[sys.executable, "-m", *command] for command in commands], {**os.environ, **_WITHOUT_JOBS})
