"""Launch: start torchrun's processes, follow them, end them, and say what became of them."""

from components.launch.outcome import EXIT_STOPPED, Interrupted, LaunchFailed, Reporting, Stopped
from components.launch.torchrun import Limits, Placement, heartbeat, launch_ranks

__all__ = [
    "EXIT_STOPPED",
    "Interrupted",
    "LaunchFailed",
    "Limits",
    "Placement",
    "Reporting",
    "Stopped",
    "heartbeat",
    "launch_ranks",
]
