"""MLflow: whether the server that is named lets us in, and to the promotions."""

import os
from collections.abc import Iterator
from pathlib import Path

from components.servers.clock import ahead_s
from flows.cli.doctor import versions
from flows.cli.doctor.clocks import Offsets
from flows.cli.doctor.finding import Finding
from flows.cli.doctor.machine import installed
from flows.cli.doctor.server import RefusedError, Server

_ADDRESS = "MLFLOW_TRACKING_URI"
_SECRETS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_FORBIDDEN, _ABSENT = 403, 404


def findings(home: Path, ahead: Offsets) -> Iterator[Finding]:
    """Yield what is to be said of MLflow, and note its clock."""
    from components.tracking import runs
    from components.tracking.login import login

    uri = os.environ.get(_ADDRESS, "")
    if not uri.startswith(("http://", "https://")):
        runs.configure(home)
        yield Finding(what="MLflow", state="ok", found=f"{installed('mlflow')}, on SQLite in {home}")
        return
    try:
        known = login(uri)
    except OSError as error:
        found = f"its certificate file cannot be read ({error.strerror})"
        yield Finding(what="MLflow", state="problem", found=found, advice="mend MLFLOW_TRACKING_SERVER_CERT_PATH")
        return
    server = Server(uri, known.authorization, known.context)
    try:
        server.ask("api/2.0/mlflow/experiments/search", {"max_results": 1})
        yield _promotions(server)
        yield versions.finding(server, "version", "MLflow", "mlflow")
    except (RefusedError, OSError, ValueError) as error:
        yield server.problem("MLflow", error, _ADDRESS, _SECRETS)
    if (seconds := ahead_s(server.date)) is not None:
        ahead["MLflow"] = seconds


def _promotions(server: Server) -> Finding:
    from components.tracking.ledger import PROMOTIONS

    try:
        server.ask("api/2.0/mlflow/experiments/get-by-name", {"experiment_name": PROMOTIONS}, method="GET")
    except RefusedError as error:
        if error.status == _FORBIDDEN:
            found = f"we may not read the experiment {PROMOTIONS}, which says who is champion"
            advice = f"have an administrator give the right, or mend {_SECRETS}"
            return Finding(what="MLflow", state="problem", found=found, advice=advice)
        if error.status != _ABSENT:  # before the first model there is none
            raise
    return Finding(what="MLflow", state="ok", found=f"the server of {_ADDRESS} lets us in")
