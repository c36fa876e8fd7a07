"""Processes: what can be asked of those that may end at any moment."""

import psutil


def command_of(process: psutil.Process) -> list[str]:
    """Return a process's command line; nothing of one that is gone, or that nobody has waited for yet."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
