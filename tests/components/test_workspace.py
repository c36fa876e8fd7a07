"""A workspace keeps each thing in its place, for one trainer per run, while there is room."""

import shutil
import subprocess
import sys
import threading

import pytest

from components.workspace import Workspace, WorkspaceError, require_free

HOLDER = """
import sys
from pathlib import Path
from components.workspace import Workspace
with Workspace(Path(sys.argv[1])).training_lock("abc"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path):
    place = Workspace(tmp_path / "home")
    place.create()
    return place


@pytest.fixture
def holder(workspace):
    """Another process that trains the run abc."""
    command = [sys.executable, "-c", HOLDER, str(workspace.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_environment_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINTSUGI_HOME", "other")
    assert Workspace.from_environment().home == tmp_path / "other"
    monkeypatch.setenv("KINTSUGI_HOME", "~/own")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.from_environment().home == tmp_path / "own"
    monkeypatch.setenv("KINTSUGI_HOME", "")
    assert Workspace.from_environment().home == tmp_path / "workspace"
    monkeypatch.delenv("KINTSUGI_HOME")
    assert Workspace.from_environment().home == tmp_path / "workspace"
    assert not list(tmp_path.iterdir())


def test_only_folders_that_are_used_are_made_and_only_when_asked_for(tmp_path):
    made = Workspace(tmp_path / "home").create()
    assert {path.name for path in made.home.iterdir()} == {"store", "training", "cache", "pages", "logs"}


@pytest.mark.parametrize("stated", [None, "", "own", "~/own"])
def test_prefect_lives_in_the_same_workspace_and_importing_the_flows_makes_no_folder(tmp_path, monkeypatch, stated):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.delenv("KINTSUGI_HOME")
    if stated is not None:
        monkeypatch.setenv("KINTSUGI_HOME", stated)
    ask = "import os, flows; from components.workspace import Workspace as W; print(os.environ['PREFECT_HOME']); "
    said = subprocess.run(
        [sys.executable, "-c", ask + "print(W.from_environment().prefect)"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert set(said) == {str(tmp_path / ("own" if stated else "workspace") / "prefect")}
    assert not list(tmp_path.iterdir())


def test_a_second_trainer_is_refused_and_told_who_is_at_work(workspace, holder):
    with pytest.raises(WorkspaceError, match=f"training abc is already under way: process {holder.pid} on "):
        workspace.training_lock("abc").__enter__()
    with workspace.training_lock("other") as folder:
        assert folder == workspace.training / "other"


def test_a_killed_trainer_lets_go_of_its_run(workspace, holder):
    holder.kill()
    holder.wait()
    with workspace.training_lock("abc"):
        pass


def test_a_trainer_can_wait_for_the_one_before_it_to_finish_saving(workspace, holder):
    threading.Timer(0.3, holder.stdin.close).start()
    with workspace.training_lock("abc", wait_s=30):
        pass


def test_a_run_is_free_again_after_an_error(workspace):
    with pytest.raises(RuntimeError, match="nan"), workspace.training_lock("abc"):
        raise RuntimeError("nan")
    with workspace.training_lock("abc"):
        pass


def test_lack_of_room_is_found_before_work_begins(tmp_path):
    require_free(tmp_path, 1000, "to try")
    with pytest.raises(WorkspaceError, match=r"GiB free, [\d.]+ GiB needed to decode 70,000 images"):
        require_free(tmp_path, shutil.disk_usage(tmp_path).total * 2, "to decode 70,000 images")
