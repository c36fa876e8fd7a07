"""What the launch tests run in each rank: `python -m launched_rank WHAT FOLDER`."""

import os
import signal
import sys
import time
from pathlib import Path

from components.launch import Reporting, Stopped, heartbeat

RANK = int(os.environ["RANK"])
LAST = int(os.environ["WORLD_SIZE"]) - 1


def add_ranks(folder: Path) -> None:
    import torch
    import torch.distributed as dist

    from components.distributed import process_group

    with process_group() as world:
        total = torch.tensor(float(world.rank + 1))
        dist.all_reduce(total)
        (folder / f"sum-{world.rank}").write_text(f"{total.item():g} of {world.processes}")


def say(folder: Path) -> None:
    print(f"out {RANK}")
    print(f"error {RANK}", file=sys.stderr)
    names = ("PREFECT__FLOW_RUN_ID", "MLFLOW_RUN_ID", "OMP_NUM_THREADS", "CHOSEN")
    (folder / f"environment-{RANK}").write_text(" ".join(os.environ.get(name, "-") for name in names))


def falter(folder: Path) -> None:
    del folder
    for part in ("one line", ", in pieces", f" of {RANK}\nand its en"):
        sys.stdout.write(part)
        time.sleep(0.5)
    sys.stdout.write("d")


def fail(folder: Path) -> None:
    if RANK == LAST:
        raise ValueError("the 7th shard has no images")
    time.sleep(60)


def vanish(folder: Path) -> None:
    if RANK == 0:
        print("about to go", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    raise ConnectionError("connection closed by peer")


def stop(folder: Path) -> None:
    time.sleep(0.5 * RANK)
    raise Stopped(f"time budget spent at image {6400}")


def leave(folder: Path) -> None:
    print("stopped at image 12", file=sys.stderr)
    sys.exit(3)


def wait(folder: Path) -> None:
    """Write the process id, then work until SIGTERM, leave a trace and stop in a resumable state."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    (folder / f"pid-{RANK}").write_text(str(os.getpid()))
    while not stopping:
        heartbeat()
        time.sleep(0.05)
    (folder / f"stopped-{RANK}").touch()
    raise Stopped("asked to stop")


def ignore(folder: Path) -> None:
    """Never end, whatever the signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / f"pid-{RANK}").write_text(str(os.getpid()))
    time.sleep(600)


def tied(folder: Path) -> None:
    """Never end unless the parent does."""
    from components.launch.parent import die_with_parent

    die_with_parent()
    ignore(folder)


def hang(folder: Path) -> None:
    (folder / f"pid-{RANK}").write_text(str(os.getpid()))
    heartbeat()
    if RANK == LAST:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


if __name__ == "__main__":
    with Reporting():
        globals()[sys.argv[1]](Path(sys.argv[2]))
