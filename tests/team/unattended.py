"""What tests of unattended nights need: a pile of pictures that grows, a configuration, and Prefect asked over HTTP."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from components.data import ShapesSource
from tests.team.stack import Stack

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

    def spoil(self) -> None:
        """Replace every second picture by noise: the same names, another world."""
        for number, path in enumerate(sorted(self.folder.glob("*.png"))):
            if number % 2:
                with Image.open(path) as picture:
                    size = picture.size
                noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
                Image.fromarray(noise).save(path)


def write_config(path: Path, pile: Pile, *, images: int, name: str = "nights") -> Path:
    """Write a configuration that trains a small VAE on the pile."""
    content = {
        "name": name,
        "dataset": {
            "source": {"kind": "folder", "path": str(pile.folder)},
            "size": 16,
            "split": {"validation": 0.05, "test": 0.3},  # enough held-out pictures to tell models apart
        },
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


def person(team: Stack, home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Call `kintsugi` as a person at the team's servers does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KINTSUGI_"))}
    environment = {**kept, **team.client(), "KINTSUGI_HOME": str(home)}
    command = [str(Path(sys.executable).with_name("kintsugi")), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def deploy(team: Stack, home: Path, config: Path, *, nightly: str) -> None:
    """Deploy a configuration with a schedule, or none."""
    done = person(team, home, "deploy", str(config), "--nightly", nightly, "--weekly", "", "--watch", "", "--drift", "")
    assert done.returncode == 0, done.stderr


def training_has_begun(team: Stack) -> bool:
    """Whether a training under way has written a checkpoint after its first step."""
    places = (team.settings.home / "worker" / "training").glob("*/checkpoints/*")
    return any(path.name.isdigit() and int(path.name) for path in places)


@dataclass(frozen=True)
class Prefect:
    """A Prefect server as its own API tells it."""

    url: str
    login: str

    @classmethod
    def of(cls, team: Stack) -> "Prefect":
        """Return that of the team's servers."""
        return cls(f"{team.settings.url('prefect')}/api", team.settings["PREFECT_AUTH"])

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the answer."""
        token = base64.b64encode(self.login.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        data = None if body is None else json.dumps(dict(body)).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=30) as answer:
            return json.loads(answer.read() or "null")

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

    def pause(self, deployment: str) -> None:
        """Take a deployment off its schedule."""
        known = self.ask(f"/deployments/name/{deployment}")
        self.ask(f"/deployments/{known['id']}/pause_deployment", {})

    def states(self, identity: str) -> list[str]:
        """Return the names of all states that a run has gone through, in order."""
        history = self.ask(f"/flow_run_states/?flow_run_id={identity}")
        return [state["name"] for state in sorted(history, key=lambda state: state["timestamp"])]

    def logs(self, identity: str) -> list[str]:
        """Return what the run's page shows."""
        wanted = {"logs": {"flow_run_id": {"any_": [identity]}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
        return [log["message"] for log in self.ask("/logs/filter", wanted)]

    def events(self, name: str) -> list[Facts]:
        """Return the events of this name, newest first."""
        wanted = {"filter": {"event": {"name": [name]}}, "limit": 50}
        return list(self.ask("/events/filter", wanted)["events"])

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
