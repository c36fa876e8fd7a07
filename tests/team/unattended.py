"""What tests of unattended nights need: a pile of pictures that grows, a configuration, and Prefect asked over HTTP."""

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.data import ShapesSource

Facts = dict[str, Any]


@dataclass(frozen=True)
class Pile:
    """A folder of drawn pictures."""

    folder: Path

    def grow_to(self, pictures: int) -> None:
        """Add pictures until there are so many."""
        there = len(list(self.folder.glob("*.png")))
        for number, item in enumerate(ShapesSource(images=pictures, raster_px=16).items()):
            if number >= there:
                (self.folder / f"{number:05d}.png").write_bytes(item.content)


def write_config(path: Path, pile: Pile, *, images: int) -> Path:
    """Write a configuration that trains a small VAE on the pile."""
    content = {
        "name": "nights",
        "dataset": {"source": {"kind": "folder", "path": str(pile.folder)}, "size": 16},
        "models": {
            "vae": {
                "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 4, "width": 8}},
                "training": {"images": images, "batch": 32},
                "execution": {"log_every": 640, "sample_every": images, "checkpoint_every": 3_200},
                "evaluation": {"kind": "generation", "samples": 16, "baselines": [{"kind": "random"}]},
                "promotion": {"metric": "reconstruction_psnr", "must_beat_baselines": False},
            }
        },
    }
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass(frozen=True)
class Prefect:
    """A Prefect server as its own API tells it."""

    url: str
    login: str

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the answer."""
        token = base64.b64encode(self.login.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        data = None if body is None else json.dumps(dict(body)).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=30) as answer:
            return json.load(answer)

    def runs(self, **wanted: object) -> list[Facts]:
        """Return the flow runs that began or are due, oldest first, with equal facts as `wanted`."""
        found = self.ask("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC", "limit": 200})
        return [run for run in found if all(run[name] == value for name, value in wanted.items())]

    def run(self, identity: str) -> Facts:
        """Return one flow run."""
        return dict(self.ask(f"/flow_runs/{identity}"))

    def start(self, deployment: str, **parameters: object) -> str:
        """Start a deployment as a person does, and return the run's id."""
        known = self.ask(f"/deployments/name/{deployment}")
        made = self.ask(f"/deployments/{known['id']}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def states(self, identity: str) -> list[str]:
        """Return the names of all states that a run has gone through, in order."""
        history = self.ask(f"/flow_run_states/?flow_run_id={identity}")
        return [state["name"] for state in sorted(history, key=lambda state: state["timestamp"])]

    def logs(self, identity: str) -> list[str]:
        """Return what the run's page shows."""
        wanted = {"logs": {"flow_run_id": {"any_": [identity]}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
        return [log["message"] for log in self.ask("/logs/filter", wanted)]

    def wait(self, what: Callable[[], object], within_s: float) -> None:
        """Wait until `what` is true; the server may be away meanwhile."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if what():
                    return
            except OSError:
                pass
            told = [(run["name"], run["state"]["name"], run["state"]["message"]) for run in self._known()]
            assert time.monotonic() < deadline, told
            time.sleep(1)

    def wait_for(self, identity: str, state: str, within_s: float) -> Facts:
        """Wait until a run has come to a state of this name, and return the run."""
        self.wait(lambda: self.run(identity)["state"]["name"] == state, within_s)
        return self.run(identity)

    def _known(self) -> list[Facts]:
        try:
            return self.runs()
        except OSError:
            return []
