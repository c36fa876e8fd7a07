"""Damage drawn in processes is that drawn here; a process that is lost loses nothing, and none is left behind."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil

from components.corruption import CorruptionMix
from components.corruption.drawing import drawing
from components.corruption.registry import JpegConfig
from components.data.loader import Loader
from components.data.order import Samples, Share
from tests.processes import command_of

IMAGES = np.random.default_rng(1).integers(0, 256, (40, 16, 16, 3), np.uint8)
KEYS = [f"{number:032x}" for number in range(len(IMAGES))]
MIX = CorruptionMix(degradations=(JpegConfig(),))
LEFT = """
import os, sys
import numpy as np
from components.corruption import CorruptionMix
from components.corruption.drawing import drawing
with drawing(CorruptionMix(), 1, 2) as damage:
    damage(np.zeros((2, 16, 16, 3), np.uint8), ["a", "b"], [0, 0])
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def drawers(process=None):
    """Return the processes that draw: those below the server that forks them."""
    below = (process or psutil.Process()).children(recursive=True)
    servers = [one for one in below if "components.corruption.mix" in command_of(one)]
    return [one for server in servers for one in server.children() if one.is_running()]


def test_batches_are_the_same_whoever_draws_their_damage_and_nobody_is_left():
    taken = []
    for processes in (0, 1, 3):
        loader = Loader(Samples(IMAGES, KEYS, "d"), Share(16), seed=3, flip=True, corruption=MIX, processes=processes)
        batches = loader.batches(32)
        taken.append([next(batches) for _ in range(6)])
        batches.close()
    for here, *elsewhere in zip(*taken, strict=True):
        for one in elsewhere:
            assert (one.images == here.images).all()
            assert (one.corrupted == here.corrupted).all()
            assert (one.missing == here.missing).all()
    assert psutil.wait_procs(drawers(), timeout=5)[1] == []


def test_what_a_lost_process_was_drawing_is_drawn_again():
    passes = [0] * len(KEYS)
    with drawing(MIX, 3, 1) as damage, drawing(MIX, 3, 0) as here:
        damage(IMAGES, KEYS, passes)
        (process,) = drawers()
        process.kill()
        process.wait(5)
        for mine, theirs in zip(damage(IMAGES, KEYS, passes), here(IMAGES, KEYS, passes), strict=True):
            assert (mine == theirs).all()


def test_processes_end_with_a_training_that_is_killed():
    training = subprocess.Popen([sys.executable, "-c", LEFT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert int(training.stdout.readline()) == training.pid
    found = drawers(psutil.Process(training.pid))
    assert len(found) == 2
    os.kill(training.pid, signal.SIGKILL)
    training.communicate()
    deadline = time.monotonic() + 20
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
