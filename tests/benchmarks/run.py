"""Run the benchmarks: `make bench`, or `python tests/benchmarks/run.py --only loading --rounds 9`."""

import argparse
import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import machine
import table
import torch
from harness import Effort, compare

HERE = Path(__file__).parent


def main() -> None:
    """Measure every area, and write `bench.json` and `bench.md`."""
    areas = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    arguments = _arguments(areas)
    effort = Effort(arguments.rounds or (1 if arguments.quick else 5), 0.05 if arguments.quick else 1.0)
    # Libraries that the tools do without are installed apart from them; whatever both have, the tools' own wins.
    sys.path.append(str(arguments.peers.resolve()))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    run: dict[str, Any] = {
        "command": _command(arguments),
        "machine": machine.facts(),
        "roofline": machine.roofline(),
        "areas": {},
    }
    for area in arguments.only or areas:
        measured = run["areas"][area] = []
        with tempfile.TemporaryDirectory() as folder:
            for figure in import_module(f"bench_{area}").figures(effort, Path(folder)):
                print(f"{area}: {figure.name} ...", end=" ", flush=True)
                measured.append(compare(figure, effort.rounds))
                ratios = (f"{peer['ratio']['cpu']['median']:.3g}x {peer['name']}" for peer in measured[-1]["peers"])
                print(", ".join(ratios), "by CPU time")
                _write(run, arguments.out)
    print(f"Written: {arguments.out / 'bench.md'}, {arguments.out / 'bench.json'}")


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that measures the same again, without the folders of this machine."""
    options = ["--only", *arguments.only] if arguments.only else []
    options += ["--rounds", str(arguments.rounds)] if arguments.rounds else []
    options += ["--quick"] if arguments.quick else []
    return f'make bench BENCH="{" ".join(options)}"' if options else "make bench"


def _write(run: dict[str, Any], out: Path) -> None:
    """Write all that was measured so far, so that a run that is stopped has not been for nothing."""
    run["load_average_at_end"] = round(os.getloadavg()[0], 2)
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(run, indent=1) + "\n")
    (out / "bench.md").write_text(table.render(run))


def _arguments(areas: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=areas, metavar="AREA", help=f"some of: {', '.join(areas)}")
    parser.add_argument("--rounds", type=int, help="rounds per figure (5)")
    parser.add_argument("--quick", action="store_true", help="one round of a twentieth of the work, to try things out")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for bench.json and bench.md")
    parser.add_argument("--peers", type=Path, default=Path(".venv/peers"), help="folder that peers.txt is installed in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
