"""Naming: what a flow run is called in Prefect's lists, where it lives, and that its page shows what is said in it."""

import logging
import socket
from collections.abc import Mapping
from contextlib import suppress

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.settings import PREFECT_LOGGING_EXTRA_LOGGERS

from flows.reaching import reach

HOST, PROCESS, STARTED = "kintsugi.host", "kintsugi.process", "kintsugi.process_started"
"""Labels of a deployed flow run: they tell the worker of the same host whether its process still lives."""


def rename(name: str) -> None:
    """Call the present flow run `name`; nothing happens outside of one."""
    identity = flow_run.id

    def update() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(identity, name=name)

    if identity:
        reach(update, "to name the run")


def present_name(run: FlowRun) -> str:
    """Return what a flow run is called now; what it was called at its beginning, where the server does not answer."""
    with suppress(httpx.TransportError, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        return client.read_flow_run(run.id).name
    return run.name


def show_logs() -> None:
    """Let what stages and ranks say reach the flow run's page, where Prefect was told to take it."""
    for name in PREFECT_LOGGING_EXTRA_LOGGERS.value():
        logging.getLogger(name).setLevel(logging.INFO)  # Prefect gives these loggers its handler, but not its level


def say_where() -> None:
    """Note on the present flow run which process of which host carries it out."""
    identity = flow_run.id
    here = psutil.Process()
    labels = {HOST: socket.gethostname(), PROCESS: here.pid, STARTED: here.create_time()}
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(identity, labels)


def lives_here(labels: Mapping[str, object]) -> bool | None:
    """Return whether the process that the labels name lives on this host; None if they name another host, or none."""
    if labels.get(HOST) != socket.gethostname():
        return None
    number, started = labels.get(PROCESS), labels.get(STARTED)
    if not isinstance(number, int) or not isinstance(started, float):
        return None
    try:
        process = psutil.Process(number)
        return bool(abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
