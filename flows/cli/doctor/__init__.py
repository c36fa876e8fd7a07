"""Command doctor: what is installed, reachable and free, and what to do about what is not."""

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.tables import say, table

if TYPE_CHECKING:
    from flows.cli.doctor.finding import Finding


def doctor(
    *,
    store: Annotated[
        str | None,
        Parameter(help="Artifact store to check: a folder or s3://bucket/prefix; by default KINTSUGI_STORE if set."),
    ] = None,
    tell: Annotated[
        bool, Parameter(help="Send each receiver of KINTSUGI_NOTIFY a message, to see whether it arrives.", negative=())
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())] = False,
) -> None:
    """Say what is installed, reachable and free, logging in to each server. Exit code 1 if something must be mended."""
    findings = list(_findings(store or os.environ.get("KINTSUGI_STORE"), tell=tell))
    if as_json:
        say(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        say(table(["", "what", "found", "what to do"], [[f.state, f.what, f.found, f.advice] for f in findings]))
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _findings(store: str | None, *, tell: bool) -> "Iterator[Finding]":
    workspace = Workspace.from_environment().create()
    from flows.cli.doctor import clocks, dask_scheduler, machine, mlflow_server, prefect_server, receivers, service

    yield machine.pytorch()
    yield machine.devices()
    yield from machine.weights()
    yield machine.disk(workspace.home)
    yield machine.sqlalchemy()
    ahead: clocks.Offsets = {}
    yield from mlflow_server.findings(workspace.home, ahead)
    yield from prefect_server.findings(ahead)
    if store is not None:
        from flows.cli.doctor import stores

        yield stores.finding(store, ahead)
    yield from dask_scheduler.findings()
    yield from service.findings()
    yield from receivers.findings(tell=tell)
    yield from clocks.findings(ahead)
