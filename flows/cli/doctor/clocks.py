"""Clocks: how this machine's differs from the servers'."""

from collections.abc import Iterator

from components.servers.clock import clock_words
from flows.cli.doctor.finding import Finding

Offsets = dict[str, float]
"""Seconds by which this machine's clock is ahead of a server's, by the server's name."""

_NOTED_S = 5.0  # an HTTP date has whole seconds, and an answer takes some time
_PROBLEM_S = 300.0  # S3 refuses requests from 15 minutes on; sessions and schedules suffer before


def findings(ahead: Offsets) -> Iterator[Finding]:
    """Yield one finding for every server that said what time it is."""
    for server, seconds in ahead.items():
        what = f"Clock of {server}"
        if abs(seconds) < _NOTED_S:
            yield Finding(what=what, state="ok", found="the same as this machine's, to a few seconds")
        elif abs(seconds) < _PROBLEM_S:
            yield Finding(what=what, state="note", found=clock_words(seconds))
        else:
            yield Finding(what=what, state="problem", found=clock_words(seconds), advice="let NTP set both clocks")
