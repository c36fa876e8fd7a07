"""The commands that serve: they answer, and leave no process behind."""

import base64
import io
import json
import signal
import socket
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest
from PIL import Image

pytestmark = [pytest.mark.smoke, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1000)]


@pytest.fixture
def port():
    """Give ports that were free a moment ago."""

    def free():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return free


def answer(request, process, within_s=200):
    """Wait until the server answers; return the content."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as found:
                return found.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.5)


def end(process):
    """Stop the command as Ctrl-C and service managers do; return its exit code and what is left of its processes."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return process.returncode, psutil.wait_procs(below, timeout=10)[1]


def test_dashboards_show_what_this_machine_recorded_until_they_are_stopped(smoke, start, port):
    mlflow_port, prefect_port = port(), port()
    process = start("dashboards", "--mlflow-port", mlflow_port, "--prefect-port", prefect_port, home=smoke.home)
    find = urllib.request.Request(
        f"http://127.0.0.1:{mlflow_port}/api/2.0/mlflow/experiments/search",
        json.dumps({"max_results": 10}).encode(),
        {"Content-Type": "application/json"},
    )
    assert "smoke" in {one["name"] for one in json.loads(answer(find, process))["experiments"]}
    flows = urllib.request.Request(
        f"http://127.0.0.1:{prefect_port}/api/flows/filter", b"{}", {"Content-Type": "application/json"}
    )
    assert "retrain" in {one["name"] for one in json.loads(answer(flows, process))}
    assert end(process) == (0, [])


def test_serve_mends_pictures_over_http_until_it_is_stopped(smoke, start, port):
    number = port()
    process = start("serve", "--model", "smoke-inpainter", "--port", number, home=smoke.home)
    rng = np.random.default_rng(2)
    picture, hole = rng.integers(0, 256, (30, 41, 3), np.uint8), np.zeros((30, 41), np.uint8)
    hole[10:20, 5:25] = 255
    row = {"image": encoded(picture), "mask": encoded(hole)}
    ask = urllib.request.Request(
        f"http://127.0.0.1:{number}/invocations",
        json.dumps({"dataframe_records": [row]}).encode(),
        {"Content-Type": "application/json"},
    )
    (mended,) = json.loads(answer(ask, process))["predictions"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(mended["image"]))))
    np.testing.assert_array_equal(pixels[hole == 0], picture[hole == 0])
    assert end(process) == (0, [])


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
