"""`kintsugi serve` as a person starts it: its one line, its password, its mistakes, its end."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from components.artifacts import Store

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(400)]

COMMAND = [str(Path(sys.executable).with_name("kintsugi")), "serve"]
SECRET = "a-very-long-secret"


@pytest.fixture
def start(home, tmp_path) -> Iterator[object]:
    """Start the command in the test's home; give the process and the line it printed."""
    started = []

    def begin(*arguments: str, **more: str) -> tuple["subprocess.Popen[str]", str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("KINTSUGI_", "MLFLOW_TRACKING"))}
        with (tmp_path / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**kept, "KINTSUGI_HOME": str(home), **more},
            )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def address(line):
    return re.search(r"http://127\.0\.0\.1:\d+", line)[0]


def test_it_serves_from_the_first_moment_until_it_is_stopped(start, register, workspace, publish, told, tmp_path):
    process, line = start("--port", "0", KINTSUGI_SERVE_AUTH=f"team:{SECRET}")
    assert line.endswith("with a password")
    with httpx.Client(base_url=address(line), auth=("team", SECRET), timeout=60) as client:
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/models", auth=None).status_code == 401
        deadline = time.monotonic() + 60
        while (answer := client.get("/models")).status_code == 503:  # the registry has not answered yet
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert answer.json() == []
        assert "No run has a page" in client.get("/runs").text
        register("vae", 1)  # the first night
        publish(Store(workspace.store), told("nightly"))
        deadline = time.monotonic() + 30
        while "nightly" not in (index := client.get("/runs").text) or "team-vae" not in index:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        answer = client.post("/models/vae/generate", json={"count": 4})
        assert (answer.status_code, answer.headers["x-kintsugi-version"]) == (200, "1")
        assert SECRET not in index + answer.text
        assert SECRET not in " ".join(psutil.Process(process.pid).cmdline())
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")
    assert (tmp_path / "stderr").read_text() == ""


def test_a_body_of_200_megabytes_and_a_picture_of_81_megapixels_cost_little(start, register):
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    large = buffer.getvalue()
    register("inpainter", 1)
    process, line = start("--port", "0", "--model", "inpainter")
    with httpx.Client(base_url=address(line), timeout=100) as client:
        deadline = time.monotonic() + 60
        while client.post("/invocations", json={"dataframe_records": []}).status_code != 422:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        before = psutil.Process(process.pid).memory_info().rss
        answer = client.post(
            "/invocations", content=(b"x" * (1 << 20) for _ in range(200)), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413
        answer = client.post("/models/inpainter/repair", files={"image": large, "mask": large})
        assert answer.status_code == 413
        assert psutil.Process(process.pid).memory_info().rss - before < 100e6
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


MISTAKES = {
    "open without a password": (["--host", "0.0.0.0"], {}, "error: --host 0.0.0.0 can be reached by others"),
    "password of another form": ([], {"KINTSUGI_SERVE_AUTH": "secretword"}, "is not of the form user:password"),
    "version of no model": (["--version", "3"], {}, "error: --version 3: say with --model of which model"),
    "port that is none": (["--port", "70000"], {}, "error: --port 70000: expected a number"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_one_line_and_end_with_2(start, tmp_path, what):
    arguments, environment, words = MISTAKES[what]
    process, _ = start(*arguments, **environment)
    assert process.wait(60) == 2
    (line,) = (tmp_path / "stderr").read_text().splitlines()
    assert words in line
    assert "secretword" not in line


def test_a_port_that_is_taken_is_said_in_one_line(start, tmp_path):
    _, line = start("--port", "0")
    process, _ = start("--port", address(line).rpartition(":")[2])
    assert process.wait(100) == 1
    assert "Address already in use" in (tmp_path / "stderr").read_text()
    assert "Traceback" not in (tmp_path / "stderr").read_text()
