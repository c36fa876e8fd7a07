"""Measure the GPU road: `make gpu`, or `python tests/gpu/run.py --out FOLDER [--only PART ...] [--small]`."""

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]
sys.path += [str(_TESTS.parent), str(_TESTS / "benchmarks")]  # nothing of ours is installed on a bare machine

LIMITS_S = {
    "agreement": 110,
    "compiling": 110,
    "throughput": 160,
    "resume": 95,
    "launches": 50,
    "scoring": 25,
    "learning": 40,
}
"""The longest that each part may take, in seconds: 8 minutes in all, as the first two run side by side."""
_TOGETHER = ("agreement", "compiling")  # whose rows are no rates, so that they may share the card
_PATIENCE = 4  # times as long in the rehearsal, whose machine others use, too


def main() -> None:
    """Run the parts, each in a process of its own, and write what they found after each."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")  # CUDA does not survive a fork, torch's import does
    context.set_forkserver_preload(["torch", "components.worker.train"])
    run: dict[str, Any] = {
        "command": " ".join(["python", "tests/gpu/run.py", *sys.argv[1:]]),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": _machine(),
        "parts": {},
    }
    with tempfile.TemporaryDirectory() as shared:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", shared)  # what one part has compiled, the next ones find
        for names in _groups(arguments.only):
            with ThreadPoolExecutor(len(names)) as pool:
                tasks = [pool.submit(_part, context, name, Path(shared), small=arguments.small) for name in names]
                run["parts"] |= {name: task.result() for name, task in zip(names, tasks, strict=True)}
            _write(run, arguments.out)
            for name in names:
                part = run["parts"][name]
                print(f"{name}: {part['failure'] or 'done'} in {part['seconds']:.0f} s", flush=True)
    print(f"written: {arguments.out / 'gpu.md'}")
    raise SystemExit(any(part["failure"] for part in run["parts"].values()))


def _groups(names: list[str]) -> list[list[str]]:
    together = [name for name in names if name in _TOGETHER]
    alone = [[name] for name in names if name not in _TOGETHER]
    return [together, *alone] if together else alone


def _write(run: dict[str, Any], folder: Path) -> None:
    from rendering import render

    (folder / "gpu.json").write_text(json.dumps(run, indent=1))
    (folder / "gpu.md").write_text(render(run))


def _part(context: Any, name: str, shared: Path, *, small: bool) -> dict[str, Any]:
    """Run a part until its end or its limit; rows that it had sent by then are kept."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, small, shared, sender))
    begun = time.monotonic()
    process.start()
    sender.close()
    limit_s = LIMITS_S[name] * (_PATIENCE if small else 1)
    rows: list[dict[str, Any]] = []
    failure = f"not done within {limit_s} s"
    while receiver.poll(max(0.0, begun + limit_s - time.monotonic())):
        try:
            rows.append(receiver.recv())
        except EOFError:
            process.join()
            failed = [row["failure"] for row in rows if "failure" in row]
            failure = failed[0] if failed else "its process was lost" if process.exitcode else ""
            break
        print(f"{name}: {json.dumps(rows[-1])}", flush=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started
    process.join()
    return {"rows": rows, "failure": failure, "seconds": time.monotonic() - begun}


def _measure(name: str, small: bool, shared: Path, sender: Connection) -> None:
    """Send a part's rows as they come; a row that fails is sent as what it failed by, and the next ones are tried."""
    from trainings import Scale

    os.setpgid(0, 0)
    part = importlib.import_module(name)
    folder = shared / name
    folder.mkdir()
    for piece in part.pieces(Scale(small), folder):
        try:
            sender.send(piece.named | piece.measure())
        except Exception:
            traceback.print_exc()
            sender.send(piece.named | {"failure": traceback.format_exc().strip().splitlines()[-1][:300]})


def _machine() -> dict[str, str]:
    """Return what it is measured on. The card is asked in another process: CUDA must not be begun in this one."""
    from machine import facts

    known = facts()
    return {
        "card:": known["card"],
        "processor:": f"{known['processor']}, {known['cores']} cores",
        "Python": platform.python_version(),
        **{name: known["packages"][name] for name in ("torch", "numpy")},
        "commit": f"{known['commit']} with {known['changed_files']} changed files",
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("workspace/gpu"), help="folder for gpu.json and gpu.md")
    parser.add_argument("--only", nargs="+", choices=LIMITS_S, default=list(LIMITS_S), help="parts to run")
    parser.add_argument("--small", action="store_true", help="rehearse: every part, tiny, on a CPU too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
