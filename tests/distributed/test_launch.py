"""A launch brings back results or the failing rank's own words, and leaves no process behind, whoever dies."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from components.launch import Interrupted, LaunchFailed, Limits, Placement, Program, Stopped, launch_ranks
from tests.processes import command_of

pytestmark = pytest.mark.distributed
HERE = Path(__file__).parent
PLACE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
CALLER = """
import sys
from pathlib import Path
from components.launch import Placement, Program, launch_ranks
folder = Path(sys.argv[2])
launch_ranks(Program("launched_rank", sys.argv[1:3]), Placement(int(sys.argv[3])), folder / "logs")
"""
COUNTS = pytest.mark.parametrize("count", [1, 2])  # one alone, and two by torchrun


def launch(what: str, folder: Path, count: int = 2, **options) -> None:
    launch_ranks(Program("launched_rank", [what, str(folder)], PLACE), Placement(count), folder / "logs", **options)


def until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not so after {limit_s} s"
        time.sleep(0.1)


def ranks(folder: Path, count: int) -> list[psutil.Process]:
    """Wait for all ranks to be at work."""
    files = [folder / f"pid-{rank}" for rank in range(count)]
    until(lambda: all(file.is_file() and file.read_text() for file in files), 60)
    return [psutil.Process(int(file.read_text())) for file in files]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture
def caller(tmp_path):
    """Start a process that launches ranks; it and its ranks do not outlive the test."""
    started: list[psutil.Process] = []

    def start(what: str, count: int) -> tuple[psutil.Process, list[psutil.Process]]:
        command = [sys.executable, "-c", CALLER, what, str(tmp_path), str(count)]
        process = subprocess.Popen(command, env={**os.environ, **PLACE})
        started.append(psutil.Process(process.pid))
        started.extend(below := ranks(tmp_path, count))
        return started[0], below

    yield start
    for process in started:
        if process.is_running():
            process.kill()
    started[0].wait()


def test_two_ranks_work_together_and_their_results_come_back(tmp_path):
    launch("add_ranks", tmp_path)
    assert [(tmp_path / f"sum-{rank}").read_text() for rank in range(2)] == ["3 of 2", "3 of 2"]


@COUNTS
def test_lines_of_all_ranks_are_streamed_and_kept_and_the_flows_run_context_is_not_inherited(
    tmp_path, monkeypatch, count
):
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "a")
    monkeypatch.setenv("MLFLOW_RUN_ID", "b")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setitem(PLACE, "CHOSEN", "here")
    lines: list[str] = []
    launch("say", tmp_path, count, on_line=lines.append)
    assert sorted(lines) == [f"[rank {rank}] {text} {rank}" for rank in range(count) for text in ("error", "out")]
    for stream in ("out", "error"):
        kept = sorted(file.read_text() for file in (tmp_path / "logs").rglob(f"std{stream[:3]}.log"))
        assert kept == [f"{stream} {rank}\n" for rank in range(count)]
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    assert (tmp_path / "environment-0").read_text() == f"- - {threads} here"


@COUNTS
def test_lines_come_whole_however_slowly_they_are_written(tmp_path, count):
    lines: list[str] = []
    launch("falter", tmp_path, count, on_line=lines.append)
    told = [
        f"[rank {rank}] {text}" for rank in range(count) for text in (f"one line, in pieces of {rank}", "and its end")
    ]
    assert sorted(lines) == sorted(told)


@COUNTS
def test_the_failing_ranks_own_message_is_raised(tmp_path, count):
    words = f"rank {count - 1} of {count} failed: ValueError: the 7th shard has no images"
    with pytest.raises(LaunchFailed, match=words) as failure:
        launch("fail", tmp_path, count)
    assert 'raise ValueError("the 7th' in failure.value.traceback


@COUNTS
def test_a_rank_that_died_without_a_word_is_named_before_those_that_lost_it(tmp_path, count):
    with pytest.raises(LaunchFailed, match=rf"(?s)rank 0 of {count} failed: ended by SIGKILL.*about to go") as failure:
        launch("vanish", tmp_path, count)
    assert failure.value.lost


def test_an_unknown_module_fails_with_the_interpreters_words(tmp_path):
    with pytest.raises(LaunchFailed, match="No module named no_such_module"):
        launch_ranks(Program("no_such_module"), Placement(1), tmp_path)


@COUNTS
@pytest.mark.parametrize(("what", "words"), [("stop", "time budget spent at image 6400"), ("leave", "at image 12")])
def test_ranks_that_stop_on_purpose_are_resumable_and_not_failed(tmp_path, what, words, count):
    with pytest.raises(Stopped, match=words):
        launch(what, tmp_path, count)


def test_a_launch_in_a_thread_ends_when_it_is_asked_to_and_its_ranks_could_save(tmp_path):
    asked = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        launched = threads.submit(launch, "wait", tmp_path, limits=Limits(asked=asked))
        below = ranks(tmp_path, 2)
        asked.set()
        with pytest.raises(Interrupted):
            launched.result(timeout=30)
    assert gone(below)
    assert all((tmp_path / f"stopped-{rank}").is_file() for rank in range(2))
    with pytest.raises(Interrupted):
        launch("wait", tmp_path / "again", limits=Limits(asked=asked))
    assert not list((tmp_path / "again" / "logs").rglob("agent.log"))


def test_launches_side_by_side_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    placement, logs = Placement(processes=1, at_once=2), tmp_path / "logs"
    launch_ranks(Program("launched_rank", ["say", str(tmp_path)], PLACE), placement, logs)
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert (tmp_path / "environment-0").read_text().split()[2] == str(threads)


@COUNTS
def test_a_time_limit_ends_the_group_after_it_could_save(tmp_path, count):
    with pytest.raises(LaunchFailed, match="time limit of 8 s"):
        launch("wait", tmp_path, count, limits=Limits(timeout_s=8))
    assert sorted(path.name for path in tmp_path.glob("stopped-*")) == [f"stopped-{rank}" for rank in range(count)]
    assert gone_by_id(tmp_path, count)


def gone_by_id(folder: Path, count: int) -> bool:
    return not any(psutil.pid_exists(int((folder / f"pid-{rank}").read_text())) for rank in range(count))


@COUNTS
def test_a_hung_rank_is_found_by_its_missing_heartbeat(tmp_path, count):
    with pytest.raises(LaunchFailed, match="no progress for 2 s") as raised:
        launch("hang", tmp_path, count, limits=Limits(heartbeat=tmp_path / "heartbeat", heartbeat_timeout_s=2))
    assert raised.value.lost  # so that a stage starts another
    assert gone_by_id(tmp_path, count)


@COUNTS
def test_an_error_in_the_caller_ends_ranks_that_ignore_sigterm(tmp_path, monkeypatch, count):
    monkeypatch.setattr("components.launch.torchrun._GRACE_S", 1.0)

    def interrupt() -> None:
        ranks(tmp_path, count)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            launch("ignore", tmp_path, count)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone_by_id(tmp_path, count)


def agent_of(caller: psutil.Process) -> psutil.Process:
    return next(one for one in caller.children() if "components.launch.agent" in command_of(one))


@COUNTS
@pytest.mark.parametrize("what", ["tied", "ignore"])
def test_killing_the_agent_leaves_no_rank(caller, what, count):
    process, below = caller(what, count)
    agent_of(process).kill()
    until(lambda: gone([*below, process]), 10)


@COUNTS
def test_killing_the_forkserver_leaves_no_rank(caller, count):
    process, below = caller("ignore", count)
    below[0].parent().kill()
    until(lambda: gone([*below, process]), 10)


@COUNTS
def test_killing_the_launcher_ends_the_ranks_which_can_still_save(caller, tmp_path, count):
    process, below = caller("wait", count)
    process.kill()
    until(lambda: gone(below), 10)
    assert (tmp_path / "stopped-0").is_file()


@COUNTS
def test_killing_launcher_and_agent_at_once_leaves_no_rank(caller, count):
    process, below = caller("tied", count)
    agent = agent_of(process)
    process.kill()
    agent.kill()
    until(lambda: gone(below), 10)


@COUNTS
def test_sigterm_to_the_caller_ends_the_group(caller, tmp_path, count):
    process, below = caller("wait", count)
    process.terminate()
    until(lambda: gone([*below, process]), 20)
    assert (tmp_path / f"stopped-{count - 1}").is_file()


def test_two_hosts_make_one_group_with_fixed_ranks(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"

    def host(rank: int) -> None:
        command = ["add_ranks", str(tmp_path)]
        placement, logs = Placement(1, nodes=2, node_rank=rank, rendezvous=place), tmp_path / f"host-{rank}"
        launch_ranks(Program("launched_rank", command, PLACE), placement, logs, limits=Limits(timeout_s=90))

    other = threading.Thread(target=host, args=(1,))
    other.start()
    host(0)
    other.join()
    assert [(tmp_path / f"sum-{rank}").read_text() for rank in range(2)] == ["3 of 2", "3 of 2"]


@pytest.mark.parametrize("wrong", [Placement(2, nodes=2), Placement(2, 2, 2, "a:1")])
def test_contradicting_hosts_are_refused_before_anything_starts(tmp_path, wrong):
    with pytest.raises(ValueError, match="host"):
        launch_ranks(Program("launched_rank", ["say", str(tmp_path)], PLACE), wrong, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
