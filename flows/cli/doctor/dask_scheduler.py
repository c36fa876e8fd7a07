"""The Dask scheduler: whether it answers, and whether its workers would make the bytes that this machine makes."""

import os
from collections.abc import Iterator

from components.executors import DaskExecutor
from components.executors.dask_cluster import ADDRESS
from flows.cli.doctor.finding import Finding

_WHAT = "Dask scheduler"


def findings() -> Iterator[Finding]:
    """Yield what is to be said of the scheduler that DASK_SCHEDULER_ADDRESS names; nothing where it names none."""
    if not (address := os.environ.get(ADDRESS)):
        return
    try:
        yield Finding(what=_WHAT, state="ok", found=DaskExecutor(scheduler=address).describe())
    except ValueError as error:  # a mistyped address, too
        yield Finding(what=_WHAT, state="problem", found=address, advice=str(error))
