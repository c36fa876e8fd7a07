"""How many cores this process may use, which in a container or under `taskset` are fewer than the machine has."""

import os


def threads_per_process(local_processes: int = 1) -> int:
    """Return how many threads each of `local_processes` on this host may use: at least one."""
    available = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(available(0)) if available else os.cpu_count() or 1
    return max(1, cores // local_processes)
