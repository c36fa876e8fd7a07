"""How a process ends: with its parent, or at a signal that asks it to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.distributed
HERE = Path(__file__).parent
LISTENER = """
import time
from components.distributed import install_stop_signal
stop_requested = install_stop_signal()
print(stop_requested(), flush=True)
while not stop_requested():
    time.sleep(0.02)
print("stopping in order", flush=True)
"""


def start(*command):
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("means", ["prctl", "thread"])
def test_a_process_dies_with_the_one_that_started_it(means):
    with start(str(HERE / "orphan.py"), means) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the child outlived its parent"
            time.sleep(0.05)


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGINT]])
def test_a_signal_is_a_request_that_the_process_answers_in_its_own_time(numbers):
    with start("-c", LISTENER) as process:
        assert process.stdout.readline() == "False\n"
        for number in numbers:
            process.send_signal(number)
        assert process.stdout.readline() == "stopping in order\n"
        assert process.wait() == 0
