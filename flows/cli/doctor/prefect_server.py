"""Prefect: whether the server that is named lets us in, fires its schedules, and has workers."""

import base64
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

from components.servers.clock import ahead_s
from flows.cli.doctor import versions
from flows.cli.doctor.clocks import Offsets
from flows.cli.doctor.finding import Finding
from flows.cli.doctor.machine import installed
from flows.cli.doctor.server import RefusedError, Server

_ADDRESS, _SECRET = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
_SOON = timedelta(minutes=3)  # a new deployment's first runs are planned within one


def findings(ahead: Offsets) -> Iterator[Finding]:
    """Yield what is to be said of Prefect, and note its clock."""
    try:
        there = server()
    except OSError as error:
        found = f"its certificate file cannot be read ({error.strerror})"
        yield Finding(what="Prefect", state="problem", found=found, advice="mend PREFECT_API_SSL_CERT_FILE")
        return
    if there is None:
        found = f"{installed('prefect')}, a server of its own for each run"
        yield Finding(what="Prefect", state="ok", found=found)
        return
    try:
        there.ask("flow_runs/count", {})
        yield Finding(what="Prefect", state="ok", found=f"the server of {_ADDRESS} lets us in")
        yield versions.finding(there, "admin/version", "Prefect", "prefect")
        yield from _schedules(there)
        yield from _workers(there)
    except (RefusedError, OSError, ValueError) as error:
        yield there.problem("Prefect", error, _ADDRESS, _SECRET)
    if (seconds := ahead_s(there.date)) is not None:
        ahead["Prefect"] = seconds


def server() -> Server | None:
    """Return the server that Prefect's own settings name, from variables or a profile, or None."""
    from prefect.settings import Settings

    api = Settings().api
    if not api.url:
        return None
    in_address = unquote(urlsplit(api.url).netloc.rpartition("@")[0])
    secret = api.auth_string.get_secret_value() if api.auth_string else in_address
    authorization = f"Basic {base64.b64encode(secret.encode()).decode()}" if secret else None
    if api.key:
        authorization = f"Bearer {api.key.get_secret_value()}"
    context = ssl.create_default_context(cafile=api.ssl_cert_file)
    if api.tls_insecure_skip_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Server(api.url, authorization, context)


def _schedules(server: Server) -> Iterator[Finding]:
    """Say of every deployment with an active schedule whether runs are planned: without any, the scheduler is dead."""
    now = datetime.now(UTC)
    for deployment in server.ask("deployments/filter", {}):
        if deployment["paused"] or not any(schedule["active"] for schedule in deployment["schedules"]):
            continue
        what, later = f"Schedule of {deployment['name']}", {"after_": now.isoformat()}
        planned = server.ask(
            "flow_runs/filter",
            {
                "deployments": {"id": {"any_": [deployment["id"]]}},
                "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": later},
                "sort": "EXPECTED_START_TIME_ASC",
                "limit": 1,
            },
        )
        if planned:
            yield Finding(what=what, state="ok", found=f"next run at {planned[0]['expected_start_time'][:16]}Z")
        elif now - datetime.fromisoformat(deployment["updated"]) < _SOON:
            yield Finding(what=what, state="note", found="no run is planned yet", advice="look again in three minutes")
        else:
            advice = "the server's scheduler does not work: look into its log; its SQLAlchemy must be older than 2.1"
            yield Finding(what=what, state="problem", found="active, and no run is planned", advice=advice)


def _workers(server: Server) -> Iterator[Finding]:
    for pool in server.ask("work_pools/filter", {}):
        name = pool["name"]
        workers = server.ask(f"work_pools/{name}/workers/filter", {})
        online = sum(worker["status"] == "ONLINE" for worker in workers)
        what, found = f"Workers of {name}", f"{online} online of {len(workers)}"
        if online or pool["is_paused"]:
            yield Finding(what=what, state="ok", found=found + (", pool paused" if pool["is_paused"] else ""))
        else:
            advice = f"its runs wait until one is: prefect worker start --pool {name}"
            yield Finding(what=what, state="note", found=found, advice=advice)
