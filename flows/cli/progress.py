"""Progress bars for people at a terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from components.logs.lines import is_json
from flows.watching import LineProgress, watcher

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class BarProgress:
    """One bar per stage."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Move the stage's bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)


@contextmanager
def watched() -> Iterator[None]:
    """Show the progress of the stages that run inside the block: bars on a terminal, lines elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if is_json():
        for name in ("components", "flows"):
            logging.getLogger(name).setLevel(logging.INFO)  # progress is lines of the log, and so is what ranks say
        yield
        return
    if not console.is_terminal:
        token = watcher.set(LineProgress(lambda line: console.print(line, highlight=False, soft_wrap=True)))
        try:
            yield
        finally:
            watcher.reset(token)
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=console) as bars:
        token = watcher.set(BarProgress(bars))
        try:
            yield
        finally:
            watcher.reset(token)
