"""Measure the GPU road: `make gpu`, or `python tests/gpu/run.py --out FOLDER [--only PART ...] [--small]`."""

import argparse
import importlib
import json
import multiprocessing
import platform
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]
sys.path += [str(_TESTS.parent), str(_TESTS / "benchmarks")]  # nothing of ours is installed on a bare machine

LIMITS_S = {"agreement": 90, "resume": 90, "throughput": 210, "launches": 75, "learning": 150}
"""The longest that each part may take; in all less than the 8 minutes of a lent machine, as few take all."""
_PATIENCE = 4  # times as long in the rehearsal, whose machine others use, too


def main() -> None:
    """Run the parts one after the other, each in a process of its own, and write what they found."""
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
    for name in arguments.only:
        run["parts"][name] = _part(context, name, small=arguments.small)
        (arguments.out / "gpu.json").write_text(json.dumps(run, indent=1))
        from rendering import render

        (arguments.out / "gpu.md").write_text(render(run))
        print(f"{name}: {run['parts'][name]['failure'] or 'done'} in {run['parts'][name]['seconds']:.0f} s", flush=True)
    print(f"written: {arguments.out / 'gpu.md'}")
    raise SystemExit(any(part["failure"] for part in run["parts"].values()))


def _part(context: Any, name: str, *, small: bool) -> dict[str, Any]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, small, sender))
    begun = time.monotonic()
    process.start()
    sender.close()
    limit_s = LIMITS_S[name] * (_PATIENCE if small else 1)
    found: dict[str, Any] = {"rows": [], "failure": f"not done within {limit_s} s"}
    if receiver.poll(limit_s):
        try:
            found = receiver.recv()
        except EOFError:
            found["failure"] = "its process was lost"
    process.kill()
    process.join()
    return {**found, "seconds": time.monotonic() - begun}


def _measure(name: str, small: bool, sender: Connection) -> None:
    from trainings import Scale

    part = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            sender.send({"rows": part.measure(Scale(small), Path(folder)), "failure": ""})
        except Exception:
            sender.send({"rows": [], "failure": traceback.format_exc().strip().splitlines()[-1]})
            raise


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
