"""Two trainings side by side are stopped by one SIGTERM, both in a resumable state, and go on when called again."""

import copy
import signal
import time

import psutil
import pytest
import yaml

pytestmark = [pytest.mark.smoke, pytest.mark.distributed, pytest.mark.timeout(600)]

IMAGES = 16_000


@pytest.fixture
def pair(vae_only, tmp_path):
    """Two models of the long training, at once."""
    content = yaml.safe_load(vae_only.read_text())
    other = copy.deepcopy(content["models"]["vae"])
    other["recipe"]["network"]["latent"] = 3
    content["models"]["other"] = other
    for model in content["models"].values():
        model["training"]["images"] = IMAGES
    path = tmp_path / "pair.yaml"
    path.write_text(yaml.safe_dump(content | {"models_at_once": 2}))
    return path


def places(home):
    """Return the images seen at each checkpoint, by training."""
    folders = [path for path in home.glob("training/*/checkpoints") if path.is_dir()]
    return {folder.parent.name: max((int(one.name) for one in folder.glob("[0-9]*")), default=0) for folder in folders}


def wait_for(condition, process, within_s=300):
    deadline = time.monotonic() + within_s
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"ended early with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_sigterm_stops_both_in_a_resumable_state_and_both_go_on(pair, start, call, served, tmp_path):
    home = tmp_path / "home"
    process = start("train", pair, home=home, **served)
    wait_for(lambda: len(places(home)) == 2 and all(place >= 320 for place in places(home).values()), process)
    below = psutil.Process(process.pid).children(recursive=True)
    ranks = [one for one in below if one.name() == "worker"]
    assert len(ranks) == 2
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert said.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in said
    assert psutil.wait_procs(ranks, timeout=5)[1] == []
    left = places(home)
    assert all(320 <= place < IMAGES for place in left.values()), left

    again = call("train", pair, home=home, timeout_s=400, **served)
    assert again.returncode == 0, again.stderr
    logs = [path.read_text() for path in home.glob("logs/train-*/*/*/attempt_0/0/stderr.log")]
    resumed = [line.split("resumed at ")[1] for text in logs for line in text.splitlines() if "resumed at" in line]
    assert sorted(resumed) == sorted(f"{place:,} of {IMAGES:,} images" for place in left.values())
