"""Disks that are full or can only be read, and places that are no folders, are said in one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.obstacles import full_disk, in_the_way

KINTSUGI = str(Path(sys.executable).with_name("kintsugi"))
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def call(home: Path, *words: str | Path, mounted: str = 'exec "$@"') -> subprocess.CompletedProcess[str]:
    """Call a command in a namespace of its own, in which `mounted` has changed the disk of `home`."""
    command = ["unshare", "-Urm", "sh", "-c", mounted, str(home), KINTSUGI, *map(str, words)]
    environment = os.environ | {"KINTSUGI_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)


@pytest.mark.parametrize("command", ["shard", "run"])
def test_a_workspace_that_can_only_be_read_is_named_at_once(vae_only: Path, tmp_path: Path, command: str) -> None:
    for name in ("store", "training", "cache", "pages", "logs"):
        (tmp_path / "home" / name).mkdir(parents=True)
    refused = call(tmp_path / "home", command, vae_only, mounted=READ_ONLY)
    assert (refused.returncode, refused.stdout) == (2, "")
    words = "cannot be written to: see who owns it, and how its disk is mounted"
    assert refused.stderr == f"error: {tmp_path}/home/store {words}\n"


def test_checking_needs_a_workspace_that_can_be_read_and_no_more(vae_only: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "cache").mkdir(parents=True)
    checked = call(tmp_path / "home", "check", vae_only, mounted=READ_ONLY)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "words", [["models"], ["doctor"], ["verify"], ["check", "small.yaml"], ["shard", "small.yaml"]]
)
def test_a_home_that_is_a_file_is_named(vae_only: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").touch()
    named = [str(vae_only) if word == "small.yaml" else word for word in words]
    refused = call(tmp_path / "file" / "below", *named)
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"expected a folder, but {tmp_path / 'file'} is none\n")
    assert len(refused.stderr.splitlines()) == 1


def test_an_error_is_told_by_its_cause() -> None:
    error = RuntimeError("cannot save")
    error.__cause__ = OSError(errno.EROFS, "Read-only file system", "/a/b")
    assert (full_disk(error), in_the_way(error)) == (None, "/a/b: Read-only file system")
    spent = OSError(errno.EDQUOT, "", "/a")
    assert full_disk(spent) == "the disk is full, at /a (Disk quota exceeded); make room and run the same command again"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "", "/a"), KeyError("a"), RuntimeError("a")])
def test_what_nobody_foresaw_keeps_its_call_stack(error: Exception) -> None:
    assert (full_disk(error), in_the_way(error)) == (None, None)
