"""A training that is stopped and killed in every way ends with the same bytes as one that was left alone."""

import json
import signal
import time

import psutil
import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.distributed, pytest.mark.timeout(1000)]


def images_kept(home):
    """Return the images seen by the newest checkpoint of the training under way."""
    return max((int(path.name) for path in home.glob("training/*/checkpoints/[0-9]*")), default=0)


def wait_for(condition, process, within_s=300):
    deadline = time.monotonic() + within_s
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"ended early with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def progressed(home):
    """Return a condition: another checkpoint has been written since now."""
    before = images_kept(home)
    return lambda: images_kept(home) > before


def ranks_below(process):
    """Return the training's processes."""
    return [one for one in psutil.Process(process.pid).children(recursive=True) if one.name() == "worker"]


def resumptions(home):
    return [
        line.rsplit("resumed at ", 1)[1]
        for path in sorted(home.glob("logs/train-vae/*/*/attempt_0/0/stderr.log"), key=lambda one: one.stat().st_mtime)
        for line in path.read_text().splitlines()
        if "resumed at" in line
    ]


def trained(home):
    """Return the export's digest and the curve of the one finished training."""
    (checkpoint,) = home.glob("store/checkpoint/[0-9a-f]*")
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    points = [json.loads(line) for line in (checkpoint / "curve.jsonl").read_text().splitlines()]
    return manifest["fields"]["export"], [(point["images"], point["vae/loss"]) for point in points]


@pytest.fixture(scope="module")
def left_alone(call, served, vae_only, tmp_path_factory):
    home = tmp_path_factory.mktemp("left-alone") / "home"
    said = call("train", vae_only, home=home, timeout_s=300, **served)
    assert said.returncode == 0, said.stderr
    return home


@pytest.fixture(scope="module")
def troubled(call, start, served, vae_only, tmp_path_factory):
    """Interrupt one training in turn by its time budget, SIGTERM, a rank's death and everyone's, then let it finish."""
    home = tmp_path_factory.mktemp("troubled") / "home"
    said = {}
    budget = "models.vae.execution.time_budget_s=4"
    said["budget"] = call("train", vae_only, "--set", budget, home=home, **served)

    process = start("train", vae_only, home=home, **served)
    wait_for(progressed(home), process)
    ranks = ranks_below(process)
    process.send_signal(signal.SIGTERM)
    said["terminated"] = (*process.communicate(timeout=60), process.returncode)
    said["survivors of SIGTERM"] = psutil.wait_procs(ranks, timeout=5)[1]

    process = start("train", vae_only, home=home, **served)
    wait_for(progressed(home), process)
    before = len(resumptions(home))
    ranks_below(process)[0].kill()
    wait_for(lambda: len(resumptions(home)) > before, process)  # by itself
    wait_for(progressed(home), process)
    everyone = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in everyone:
        one.kill()
    process.communicate(timeout=30)
    said["left after the kill"] = images_kept(home)

    said["finished"] = call("train", vae_only, home=home, timeout_s=300, **served)
    return home, said


def test_a_spent_time_budget_ends_with_code_3_and_says_where_it_goes_on(troubled):
    _, said = troubled
    assert said["budget"].returncode == 3, said["budget"].stderr
    assert "resumable at" in said["budget"].stderr
    assert "of 24,000 images" in said["budget"].stderr
    assert "Traceback" not in said["budget"].stderr


def test_sigterm_stops_all_ranks_in_a_resumable_state(troubled):
    _, said = troubled
    _, err, code = said["terminated"]
    assert code == 3, err
    assert err.splitlines()[-1].startswith("stopped: ")
    assert "WARNING" not in err
    assert "Traceback" not in err
    assert said["survivors of SIGTERM"] == []


def test_each_attempt_goes_on_where_the_one_before_had_got(troubled):
    home, said = troubled
    assert said["finished"].returncode == 0, said["finished"].stderr
    places = [int(line.split(" ")[0].replace(",", "")) for line in resumptions(home)]
    assert len(places) == 4  # after the budget, SIGTERM, the rank's death, everyone's death
    assert places == sorted(places)
    assert places[0] > 0
    assert places[-1] == said["left after the kill"]


def test_the_end_is_the_same_to_the_byte_as_without_interruption(troubled, left_alone):
    home, _ = troubled
    (export, curve), (undisturbed_export, undisturbed) = trained(home), trained(left_alone)
    assert export == undisturbed_export
    assert [images for images, _ in curve] == [images for images, _ in undisturbed] == list(range(320, 24_001, 320))
    # The mean over an interval that was cut in two is the mean of its second part.
    assert len(set(curve) - set(undisturbed)) <= len(resumptions(home))
    assert not list((home / "training").glob("[0-9a-f]*"))
