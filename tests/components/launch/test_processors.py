"""Launches do not share a graphics card, nor, without cards, a host with other runs; what is free is used at once."""

import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.launch import processors
from components.workspace import WorkspaceError

NAMES = ("GPU-a1", "GPU-b2", "GPU-c3")
HOLDER = """
import sys
from components.launch import processors
processors._uuids = lambda: sys.argv[1:]
with processors.processors("train gan", 1, lambda words: None) as shown:
    print(shown.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A host of the test's own, on which work is done alone."""
    monkeypatch.setenv("KINTSUGI_PROCESSORS", "alone")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def host(monkeypatch):
    """Say which cards the host has."""

    def has(*names: str) -> None:
        monkeypatch.setattr(processors, "_uuids", lambda: list(names))

    return has


@pytest.fixture
def elsewhere():
    """Another process that holds a card of those named, or the host."""
    started = []

    def hold(*names: str) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, *names]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() in {"all\n", f"{names[0] if names else ''}\n"}
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.wait()


def never(words: str) -> None:
    pytest.fail(f"waited: {words}")


def shown(variables) -> str:
    return variables.get("CUDA_VISIBLE_DEVICES", "all")


def test_launches_side_by_side_see_a_card_each_and_one_that_needs_all_sees_all(host):
    host(*NAMES)
    with processors.processors("vae", 1, never) as one, processors.processors("gan", 2, never) as two:
        assert (shown(one), shown(two)) == ("GPU-a1", "GPU-b2,GPU-c3")
    with processors.processors("gan", 3, never) as whole:
        assert shown(whole) == "all"
        with pytest.raises(InTheWayError), processors.processors("vae", 1, in_the_way):
            pass


class InTheWayError(RuntimeError):
    pass


def in_the_way(words: str) -> None:
    raise InTheWayError(f"in the way: {words}")


def test_who_needs_several_cards_holds_none_while_it_waits(host):
    host(*NAMES[:2])
    with processors.processors("vae", 1, never):
        with pytest.raises(InTheWayError), processors.processors("gan", 2, in_the_way):
            pass
        with processors.processors("inpainter", 1, never) as free:
            assert shown(free) == "GPU-b2"


def test_who_asks_for_more_cards_than_there_are_sees_all_of_them(host):
    host(*NAMES[:2])
    with processors.processors("gan", 4, never) as variables:
        assert shown(variables) == "all"  # and its ranks say what is missing


def test_a_launch_waits_for_the_card_of_another_process_and_takes_it_when_that_is_killed(host, elsewhere):
    host(NAMES[0])
    holder, told = elsewhere(NAMES[0]), []

    def waiting(words: str) -> None:
        told.append(words)
        holder.kill()  # the kernel lets go of what a killed process held

    with processors.processors("repair", 1, waiting):
        assert holder.wait() != 0
    assert f"process {holder.pid} on" in told[0]


def test_without_cards_a_run_holds_the_host_for_all_its_launches(host, elsewhere):
    host()
    first, second = (processors.processors(name, 1, never) for name in ("vae", "gan"))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(elsewhere)
        with pytest.raises(TimeoutError):
            other.result(timeout=4)
        second.__exit__(None, None, None)
        holder = other.result(timeout=60)
    with pytest.raises(InTheWayError, match=f"process {holder.pid} on"), processors.processors("vae", 1, in_the_way):
        pass


def test_where_work_is_shared_nobody_waits_and_launches_see_what_this_process_sees(host, monkeypatch):
    monkeypatch.setenv("KINTSUGI_PROCESSORS", "shared")
    host(*NAMES)
    with processors.processors("vae", 1, never) as one, processors.processors("gan", 3, never) as other:
        assert (one, other) == ({}, {})
    assert processors.cards_to_hold() == 0


@pytest.mark.parametrize(
    ("stated", "seen"),
    [
        (None, {name: name for name in NAMES}),
        ("2,0", {"2": "GPU-c3", "0": "GPU-a1"}),
        ("GPU-b", {"GPU-b": "GPU-b2"}),
        ("MIG-5", {"MIG-5": "MIG-5"}),
        ("1,-1,0", {"1": "GPU-b2"}),
        ("", {}),
        ("9", {}),
    ],
)
def test_cards_are_those_that_cuda_would_show_to_this_process(stated, seen, host, monkeypatch):
    host(*NAMES)
    if stated is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    assert processors.cards() == seen
    assert processors.cards_to_hold() == len(seen)


def test_cards_that_the_driver_does_not_know_are_none(host, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    host()
    assert processors.cards() == {}


def test_two_names_of_one_card_are_one_lock(host, monkeypatch):
    host(*NAMES[:2])
    with processors.processors("vae", 1, never):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with processors.processors("gan", 1, never) as free:
            assert shown(free) == "1"


def test_other_words_than_alone_and_shared_are_refused(monkeypatch):
    monkeypatch.setenv("KINTSUGI_PROCESSORS", "both")
    with pytest.raises(WorkspaceError, match="alone or shared"), processors.processors("repair", 1, never):
        pass


def test_looking_for_cards_opens_no_cuda_context():
    program = "import sys; from components.launch.processors import cards; cards(); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout == "False\n"


def test_many_threads_share_the_cards_without_ever_sharing_one(host):
    host(*NAMES)
    guard, busy, most = threading.Lock(), set(), []

    def work(number: int) -> None:
        with processors.processors(f"model {number}", 1, lambda words: None) as variables:
            with guard:
                assert shown(variables) not in busy
                busy.add(shown(variables))
                most.append(len(busy))
            threading.Event().wait(0.2)
            with guard:
                busy.remove(shown(variables))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert max(most) == 3
