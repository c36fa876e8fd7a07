"""Three nights on a pile that grows, a folder and a bucket: only what is new is read, and the third outlives a kill."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from components.artifacts.places import bucket_and_prefix
from components.data import ShapesSource
from tests.team.unattended import Pile, write_config

pytestmark = [pytest.mark.team, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1_200)]

PICTURES = [item.content for item in ShapesSource(images=300, raster_px=16).items()]
GROWN = (200, 240, 300)
COMMAND = str(Path(sys.executable).with_name("kintsugi"))


@dataclass
class Place:
    """A pile of pictures, what a configuration calls it, and where the run's artifacts are."""

    put: Callable[[str, bytes], object]
    source: str
    store: str


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        pile = tmp_path / "pile"
        pile.mkdir()
        source = f"dataset.source={{kind: folder, path: {pile}}}"
        return Place(lambda name, content: _written_long_ago(pile / name, content), source, str(tmp_path / "store"))
    s3 = request.getfixturevalue("s3")
    bucket, prefix = bucket_and_prefix(s3)
    client = boto3.client("s3")
    return Place(
        lambda name, content: client.put_object(Bucket=bucket, Key=f"{prefix}/pile/{name}", Body=content),
        f"dataset.source={{kind: s3, url: '{s3}/pile'}}",
        f"{s3}/artifacts",
    )


def _written_long_ago(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (1_000_000_000,) * 2)  # a file of this moment is read once more the next night


@contextmanager
def night(place: Place, config: Path, home: Path) -> Iterator["subprocess.Popen[str]"]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KINTSUGI_"))}
    process = subprocess.Popen(
        [COMMAND, "run", str(config), "--set", place.source],
        env={**kept, "KINTSUGI_HOME": str(home), "KINTSUGI_STORE": place.store},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lived(place: Place, config: Path, home: Path) -> None:
    """Live through one night."""
    with night(place, config, home) as process:
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said


def called(place: Place, home: Path, *words: str) -> str:
    environment = {**os.environ, "KINTSUGI_HOME": str(home), "KINTSUGI_STORE": place.store}
    return subprocess.run([COMMAND, *words], env=environment, capture_output=True, text=True, check=True).stdout


def test_each_night_reads_what_is_new_and_the_third_goes_on_after_a_kill(place: Place, tmp_path: Path) -> None:
    home, before = tmp_path / "home", 0
    config = write_config(tmp_path / "nights.yaml", Pile(tmp_path / "unused"), images=9_600)
    for number, grown in enumerate(GROWN, start=1):
        for row in range(before, grown):
            place.put(f"{row:03d}.png", PICTURES[row])
        if number == 3:
            _kill_in_training(place, config, home)
        lived(place, config, home)
        page = max((home / "pages").glob("nights-*.html"), key=lambda path: path.stat().st_mtime).read_text()
        assert f"{grown - before:,} files read, {grown - before:,} images encoded, {before:,} kept" in page
        before = grown
    told = "".join(path.read_text() for path in home.glob("logs/train-vae/*/*/attempt_0/0/stderr.log"))
    assert len(re.findall(r"resumed at [1-9][\d,]* of 9,600 images", told)) == 1
    config_of = ("--set", place.source)
    listed = called(place, home, "data", "show", str(config), *config_of)
    assert re.findall(r"^([123]) +(\d+) +(\d+) +(\d+) +(\d+)", listed, re.MULTILINE) == [
        ("1", "200", "200", "200", "0"),
        ("2", "240", "40", "40", "200"),
        ("3", "300", "60", "60", "240"),
    ]
    assert called(place, home, "data", "verify", str(config), *config_of).count(": whole") == len(GROWN)


def _kill_in_training(place: Place, config: Path, home: Path) -> None:
    """Begin the night and kill all of it once its training has left a checkpoint."""
    known = set(home.glob("training/*"))
    with night(place, config, home) as process:
        deadline = time.monotonic() + 300
        while not [one for one in home.glob("training/*/checkpoints/[0-9]*") if one.parents[1] not in known]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
