"""Command dashboards: MLflow's and Prefect's pages over what this machine has recorded."""

import os
import subprocess
import sys
from typing import Annotated

from cyclopts import App, Parameter

from components.tracking import runs
from components.workspace import Workspace
from flows.cli.tables import say

app = App()


@app.command
def dashboards(
    *,
    mlflow_port: Annotated[int, Parameter(help="Port of MLflow: runs, curves, pictures, models.")] = 5000,
    prefect_port: Annotated[int, Parameter(help="Port of Prefect: flows, tasks, logs.")] = 4200,
) -> None:
    """Open MLflow and Prefect on this machine's own records, on loopback only, until Ctrl-C."""
    workspace = Workspace.from_environment()
    uri = runs.configure(workspace.home)
    here = "127.0.0.1"
    commands = [
        ["-m", "prefect", "server", "start", "--host", here, "--port", str(prefect_port)],
    ]
    say(f"Prefect: http://{here}:{prefect_port}")
    if uri.startswith(("http://", "https://")):
        say("MLflow: the server that MLFLOW_TRACKING_URI names")
    else:
        commands.append(
            ["-m", "mlflow", "server", "--host", here, "--port", str(mlflow_port), "--backend-store-uri", uri]
        )
        say(f"MLflow: http://{here}:{mlflow_port}")
    servers = [subprocess.Popen([sys.executable, *command], env=os.environ) for command in commands]
    try:
        for server in servers:
            server.wait()
    finally:
        for server in servers:
            server.terminate()
