"""Deploying: work pools, the deployments of `infra/prefect.yaml` with their schedules, and automations, on a server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from flows.automations import automations, block_called, block_in_use, settle, stop_telling

NIGHTLY, WEEKLY, WATCH = "retrain-nightly", "rescore-champion-weekly", "watch"
DRIFT, COLLECT = "drift-nightly", "collect"

_ROOT = Path(__file__).parents[1]
_FILE = _ROOT / "infra" / "prefect.yaml"
_POOLS = ("kintsugi", "kintsugi-light")


class DeployError(RuntimeError):
    """Prefect refused a deployment; the message holds its words."""


def deploy(
    config: Path | None, overrides: tuple[str, ...], crons: Mapping[str, str], notify: str | None = None
) -> list[str]:
    """Make or renew everything that runs by itself, and return the names of the deployments.

    Args:
        config: What the deployments run, in place of the file's own configuration.
        overrides: Changes of single values of it.
        crons: Schedules by deployment, in place of the file's own; an empty text leaves the deployment unscheduled.
        notify: The notification block that tells people, as TYPE/NAME; an empty text tells nobody, None as before.

    Raises:
        DeployError: Prefect refused.
        ValueError: There is no such block.
    """
    block = block_in_use() if notify is None else block_called(notify) if notify else None
    content = yaml.safe_load(_FILE.read_text())
    for deployment in content["deployments"]:
        if config is not None and deployment["name"] != "quickstart":
            deployment["parameters"] |= {"config": str(config.absolute()), "overrides": list(overrides)}
        if (cron := crons.get(deployment["name"])) is not None:
            deployment["schedules"] = [{**deployment["schedules"][0], "cron": cron, "active": True}] if cron else []
    _make_pools()
    _deploy(content)
    names = [
        f"{deployment['entrypoint'].rpartition(':')[2]}/{deployment['name']}" for deployment in content["deployments"]
    ]
    with get_client(sync_client=True) as client:
        nightly = client.read_deployment_by_name(next(name for name in names if name.endswith(f"/{NIGHTLY}")))
    settle(automations(nightly.id, block))
    if block is None:
        stop_telling()
    return names


def _make_pools() -> None:
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        for pool in _POOLS:
            try:
                client.create_work_pool(WorkPoolCreate(name=pool, type=ProcessWorker.type, base_job_template=template))
            except ObjectAlreadyExists:
                continue


def _deploy(content: Mapping[str, Any]) -> None:
    """Hand the file to Prefect's own command, which is the only one that reads all of its format."""
    with tempfile.TemporaryDirectory(prefix="kintsugi-deploy-") as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(dict(content), sort_keys=False))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        environment = {**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"}
        said = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise DeployError(f"prefect deploy failed: {(said.stderr.strip() or said.stdout.strip())[-2000:]}")
