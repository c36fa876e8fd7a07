"""Commands of unattended running: deploy what runs by itself, and work on what is due."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.tables import say

Cron = Annotated[str | None, Parameter(help="Cron expression, UTC; an empty text takes it off the schedule.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Crons:
    """When what runs by itself is due; what is not given stays as the file has it."""

    nightly: Cron = None
    weekly: Cron = None
    watch: Cron = None
    drift: Cron = None
    gc: Cron = None


_AS_THE_FILE_SAYS = Crons()


def deploy(
    config: Annotated[Path | None, Parameter(help="The run's YAML file; left out: that of infra/prefect.yaml.")] = None,
    *,
    set_: Annotated[
        tuple[str, ...], Parameter(name="--set", help="Change one value of it. May be repeated.", negative=())
    ] = (),
    due: Crons = _AS_THE_FILE_SAYS,
    notify: Annotated[
        str | None,
        Parameter(
            help="Notification block of the server that tells people, such as slack-webhook/team; empty: nobody."
        ),
    ] = None,
) -> None:
    """Make the Prefect server retrain, watch and re-score by itself.

    With --gc it also deletes what nothing needs any more, as `kintsugi gc --delete` does; each day is best.
    """
    _demand_server()
    from components.config import load
    from flows import deploying

    if config is not None:
        load(config, set_)  # a mistake is better said now than at three in the morning
    given = {deploying.NIGHTLY: due.nightly, deploying.WEEKLY: due.weekly, deploying.WATCH: due.watch}
    given |= {deploying.DRIFT: due.drift, deploying.COLLECT: due.gc}
    crons = {name: cron for name, cron in given.items() if cron is not None}
    names = deploying.deploy(config, set_, crons, notify)
    say(f"Deployed: {', '.join(names)}")
    say("A worker carries them out: kintsugi worker")


def worker(
    *,
    limit: Annotated[int, Parameter(help="Trainings at once on this host.")] = 1,
    light: Annotated[int, Parameter(help="Looks and measurements at once beside them.")] = 2,
    grace_s: Annotated[float, Parameter(help="Seconds that a stopped training may take for its checkpoint.")] = 60.0,
) -> None:
    """Carry out what is due on this host until Ctrl-C or SIGTERM. A training that is stopped so is continued later."""
    _demand_server()
    from flows import working

    raise SystemExit(working.work({"kintsugi": limit, "kintsugi-light": light}, grace_s))


def _demand_server() -> None:
    Workspace.from_environment().create()  # first: Prefect, while it is imported, makes its folder but none above it
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ValueError(
            "PREFECT_API_URL is not set; expected the address of a Prefect server, such as http://127.0.0.1:4200/api"
        )
