"""Whatever ends a run started by hand, the Prefect server that it started for itself ends with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import command_of

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.timeout(300)]

KINTSUGI = str(Path(sys.executable).with_name("kintsugi"))
LONG = "models.vae.training.images=10_000_000"


def below(process: "subprocess.Popen[bytes]", words: str) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if words in " ".join(command_of(one))]


@pytest.fixture
def heard() -> Iterator[None]:
    """A closed terminal is heard, though these tests may be run by `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGHUP, 3)])
def test_a_run_that_is_killed_or_loses_its_terminal_leaves_nothing_behind(
    vae_only: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    environment = os.environ | {"KINTSUGI_HOME": str(tmp_path / "home")}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen([KINTSUGI, "train", vae_only, "--set", LONG], env=environment) as run:
        deadline = time.monotonic() + 120
        while not below(run, "components.launch.agent"):
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.2)
        assert below(run, "prefect.server.api.server:create_app")
        everyone = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        try:
            assert run.wait(60) == code
        finally:
            run.kill()
    assert psutil.wait_procs(everyone, timeout=40)[1] == []


def test_a_run_that_is_killed_while_its_server_starts_leaves_nothing_behind(vae_only: Path, tmp_path: Path) -> None:
    environment = os.environ | {"KINTSUGI_HOME": str(tmp_path / "home")}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen([KINTSUGI, "train", vae_only, "--set", LONG], env=environment) as run:
        deadline = time.monotonic() + 120
        while not (servers := below(run, "prefect.server.api.server:create_app")):
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.02)
        run.kill()
    assert psutil.wait_procs(servers, timeout=40)[1] == []
