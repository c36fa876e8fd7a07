"""`kintsugi generate --per-tar`, killed at random instants and begun again, ends in the bytes of an undisturbed run."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # five processes, each of which imports torch
COUNT = 800
PROGRAM = "from flows.cli import main; main()"


def command(output: Path, *more: str) -> list[str]:
    words = ["generate", "--model", "zoo-gan", "-n", str(COUNT), "--seed", "4", "-o", str(output), "--per-tar", "100"]
    return [sys.executable, "-c", PROGRAM, *words, *more]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def killed(output: Path, environment: dict[str, str], whole: int, delay_s: float) -> bool:
    """Kill the command a little after it has begun or finished so many tars; return whether it lived until then."""
    process = subprocess.Popen(command(output), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and (not output.is_dir() or len(list(output.glob("[!.]*.tar"))) < whole):
            time.sleep(0.01)
        time.sleep(delay_s)
        return process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_killed_at_random_instants_it_ends_in_the_same_bytes(registered: Path, root: Path, tmp_path: Path) -> None:
    environment = os.environ | {"KINTSUGI_HOME": str(registered), "PYTHONPATH": str(root)}
    chance = random.Random(7)
    lived = [killed(tmp_path / "killed", environment, whole, chance.uniform(0, 0.15)) for whole in (1, 4)]
    assert any(lived)
    done = subprocess.run(command(tmp_path / "killed"), env=environment, check=True, capture_output=True, text=True)
    assert " were there already" in done.stdout
    assert "generate: 800 of 800" in done.stderr
    subprocess.run(command(tmp_path / "undisturbed"), env=environment, check=True, capture_output=True)
    assert content(tmp_path / "killed") == content(tmp_path / "undisturbed")
    assert len(content(tmp_path / "killed")) == COUNT // 100
    again = subprocess.run(command(tmp_path / "killed"), env=environment, check=True, capture_output=True, text=True)
    assert again.stdout.startswith(f"{tmp_path / 'killed'}: 0 pictures made by zoo-gan version 1, 800 were there")


@pytest.mark.parametrize("more", [["--per-tar", "0", "-o", "away"], ["--per-tar", "10", "-o", "sheet.png"]])
def test_tars_that_cannot_be_are_refused_in_one_line(more: list[str], registered: Path, root: Path) -> None:
    environment = os.environ | {"KINTSUGI_HOME": str(registered), "PYTHONPATH": str(root)}
    words = ["generate", "--model", "zoo-gan", *more]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], env=environment, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "expected at least 1, and a folder for the tars" in done.stderr
