"""A forked process is what `python -m` would have made, starts without importing, and ends with who stands for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from components.launch.forked import LENGTH, STATUS, connected
from components.launch.forkserver import Forkserver, can_fork, kept

pytestmark = pytest.mark.skipif(not can_fork(), reason="Linux from 5.3 on")
PROGRAM = """
import os, signal, sys, time
print(__name__, sys.argv[1:], os.getcwd(), os.environ["CHOSEN"], "colorsys" in sys.modules, flush=True)
what = sys.argv[1]
if what == "echo":
    sys.stderr.write(sys.stdin.read())
elif what == "leave":
    sys.exit(7)
elif what == "fail":
    raise ValueError("the 7th shard has no images")
elif what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif what == "clean":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
if what in ("wait", "clean"):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
IMPORTED = """
import os
os.environ.setdefault("KINTSUGI_TEST_DEFAULT", "by the import")
os.environ["KINTSUGI_TEST_FORCED"] = "by the import"
"""
SAYING = """
import forked_settings, os
print([value for name, value in sorted(os.environ.items()) if name.startswith("KINTSUGI_TEST_")])
"""
KEEPER = """
import os, subprocess, sys, time
from pathlib import Path
from components.launch.forkserver import Forkserver
server = Forkserver([], os.environ, Path(sys.argv[1]) / "log")
forked = subprocess.Popen(server.command("forked_program", ["clean"]), env={**os.environ, "CHOSEN": "x"})
time.sleep(60)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the module that is run."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "forked_program.py").write_text(PROGRAM)
    (folder / "forked_settings.py").write_text(IMPORTED)
    (folder / "forked_saying.py").write_text(SAYING)
    (folder / "forked_package").mkdir()
    (folder / "forked_package" / "__init__.py").touch()
    (folder / "forked_package" / "__main__.py").write_text("import sys\nprint(__name__, 'colorsys' in sys.modules)\n")
    return folder


@pytest.fixture(scope="module")
def variables(place, root) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(root)]), "CHOSEN": "the server's"}


@pytest.fixture
def server(variables, tmp_path) -> Iterator[Forkserver]:
    one = Forkserver(["colorsys"], variables, tmp_path / "log")
    yield one
    one.stop()


@pytest.fixture
def start(server, variables, place) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the program in a forked process."""
    started = []

    def begin(what: str, *more: str, **options: bool) -> "subprocess.Popen[str]":
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = server.command("forked_program", [what, *more], **options)
        own = {**variables, "CHOSEN": "its own"}
        started.append(subprocess.Popen(command, env=own, cwd=place, text=True, **pipes))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()


def forked(process: "subprocess.Popen[str]") -> psutil.Process:
    """Return the forked process, once it is at work."""
    process.stdout.readline()
    return psutil.Process(int(process.stdout.readline()))


def ends(process: psutil.Process) -> bool:
    return not psutil.wait_procs([process], timeout=5)[1]


def test_it_has_the_arguments_folder_variables_and_streams_of_its_command_and_what_was_imported(start, place):
    out, error = start("echo", "a b", "-x").communicate("said to it")
    assert out == f"__main__ ['echo', 'a b', '-x'] {place} its own True\n"
    assert error == "said to it"


@pytest.mark.parametrize("own", [{}, {"KINTSUGI_TEST_DEFAULT": "its own"}])
@pytest.mark.parametrize("given", [{}, {"KINTSUGI_TEST_FORCED": "the starter's"}])
def test_what_imports_set_is_set_as_if_it_had_imported_itself(variables, tmp_path, own, given):
    said = []
    for modules in ([], ["forked_settings"]):
        server = Forkserver(modules, {**variables, **given}, tmp_path / "log")
        command = server.command("forked_saying", [])
        said.append(subprocess.check_output(command, env={**variables, **given, **own}, text=True))
        server.stop()
    assert said[0] == said[1] != ""


def test_a_package_whose_main_part_was_imported_runs_it_without_a_word_of_warning(variables, tmp_path):
    server = Forkserver(["colorsys", "forked_package.__main__"], variables, tmp_path / "log")
    command = server.command("forked_package", [])
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    server.stop()
    assert (ran.stdout, ran.stderr) == ("__main__ True\n", "")


def test_it_ends_as_a_program_of_its_own_would(start):
    failed = start("fail")
    assert failed.communicate()[1].splitlines()[-1] == "ValueError: the 7th shard has no images"
    assert failed.returncode == 1
    assert start("leave").wait(10) == 7
    assert start("die").wait(10) == -signal.SIGKILL


def test_a_signal_to_its_command_reaches_it(start):
    asked, cut = start("clean"), start("wait")
    for process in (asked, cut):
        forked(process)
        process.terminate()
    assert asked.wait(10) == 3
    assert cut.wait(10) == -signal.SIGTERM


def test_it_dies_with_its_command(start):
    process = start("wait")
    below = forked(process)
    process.kill()
    assert ends(below)


def test_a_stream_ends_with_its_own_process_though_others_were_forked_meanwhile(start):
    first = start("clean")
    forked(first)
    other = forked(start("wait"))
    first.terminate()
    assert first.stdout.read() == ""  # for ever, if the other held it open
    assert other.is_running()


def test_all_that_was_forked_dies_with_the_server_and_a_new_one_is_kept(variables, place, tmp_path):
    one = kept([], variables, tmp_path / "log")
    assert kept([], {**variables, "KINTSUGI_HOME": "elsewhere"}, tmp_path / "log") is one
    assert kept([], {**variables, "OMP_NUM_THREADS": "7"}, tmp_path / "log") is not one
    command = one.command("forked_program", ["wait"])
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        below = forked(process)
        below.parent().kill()
        assert process.wait(10) == -signal.SIGKILL
        assert ends(below)
    assert one.having("CHOSEN", "the server's") == []
    assert kept([], variables, tmp_path / "log") is not one


def test_the_processes_that_had_a_variable_are_told(server, start):
    process = start("wait")
    below = forked(process)
    assert server.having("CHOSEN", "its own") == [below]
    assert server.having("CHOSEN", "another") == []


def test_a_request_that_is_none_ends_nothing(server, start):
    below = forked(start("wait"))
    for content in (b"", b"x", LENGTH.pack(5) + b"{}", LENGTH.pack(2) + b"[]", LENGTH.pack(4) + b'"no"'):
        with connected(server._name) as stranger:
            stranger.sendall(content)
            stranger.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
    assert below.is_running()
    assert start("leave").wait(10) == 7


def test_a_folder_that_is_gone_is_an_error_of_the_process_and_the_server_goes_on(server, start, variables, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *server.command("forked_program", ["leave"])]
    process = subprocess.run(command, cwd=gone, env=variables, capture_output=True, text=True, check=False, timeout=20)
    assert process.returncode == 1
    assert "FileNotFoundError" in process.stderr
    assert start("leave").wait(10) == 7


def test_a_keeper_that_is_killed_leaves_its_forked_processes_until_their_own_end_and_no_server(variables, tmp_path):
    command = [sys.executable, "-c", KEEPER, str(tmp_path)]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as keeper:
        below = forked(keeper)
        server = below.parent()
        keeper.kill()
        time.sleep(1.5)
        assert below.is_running()
        below.terminate()
        assert ends(below)
        assert ends(server)


def test_a_signal_to_a_command_whose_process_has_just_ended_leaves_its_exit_code(root, tmp_path):
    name = f"kintsugi-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        script = root / "components" / "launch" / "forked.py"
        command = [sys.executable, "-I", "-S", str(script), name, "0", "anything"]
        standing = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        server, _ = listening.accept()
    with server:
        while not server.recv(1 << 16).endswith(b"}"):
            pass
        server.shutdown(socket.SHUT_RD)  # as of a server that is done with it: what is sent there is a broken pipe
        standing.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        server.sendall(STATUS.pack(3))
        assert (standing.wait(30), standing.stderr.read()) == (3, "")
