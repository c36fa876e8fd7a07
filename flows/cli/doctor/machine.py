"""The machine: PyTorch, GPUs, weights of feature extractors, room on the disk, and packages that do not fit."""

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from flows.cli.doctor.finding import Finding

_NEEDED_GIB = 2
_BREAKS_SCHEDULES = (2, 1)
"""From this SQLAlchemy on, the scheduler of Prefect 3.8 fails on every pass, and says so in the server's log alone."""


def pytorch() -> Finding:
    """Whether PyTorch and torchvision are here and fit each other."""
    import torch

    from components.evaluation.extractors import pair_advice

    found = f"torch {torch.__version__}, torchvision {installed('torchvision')}"
    try:
        import torchvision  # noqa: F401 - importing is the check
    except (RuntimeError, ImportError) as error:
        advice = pair_advice(torch.__version__, installed("torchvision"))
        return Finding(what="PyTorch", state="problem", found=f"{found}: {error}", advice=advice)
    return Finding(what="PyTorch", state="ok", found=found)


def devices() -> Finding:
    """Which GPUs there are."""
    import torch

    from components.tracking.hardware import hardware_facts

    if not torch.cuda.is_available():
        if (cards := hardware_facts()["graphics_cards"]) != "none":
            advice = (
                f"install a torch for the driver's CUDA (this one: {torch.version.cuda or 'none'}); see pytorch.org"
            )
            return Finding(what="GPUs", state="problem", found=f"{cards}, which this torch cannot use", advice=advice)
        return Finding(what="GPUs", state="note", found=f"none; {os.cpu_count()} cores", advice="small models only")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Finding(what="GPUs", state="ok", found=", ".join(names))


def weights() -> Iterator[Finding]:
    """Which feature extractors can be used."""
    from components.evaluation.extractors import EfficientNetLite0Config, EfficientNetLite2Config, InceptionConfig

    extractors: list[tuple[str, Callable[[], Path], Literal["note", "problem"]]] = [
        ("EfficientNet-Lite0 weights", EfficientNetLite0Config().weights, "problem"),
        ("EfficientNet-Lite2 weights", EfficientNetLite2Config().weights, "problem"),
        ("Inception weights (for FID)", InceptionConfig(download=False).weights, "note"),
    ]
    for what, find, state in extractors:
        try:
            yield Finding(what=what, state="ok", found=f"{find().name}, sha256 as pinned")
        except ValueError as error:
            yield Finding(what=what, state=state, found="not here", advice=str(error))


def disk(home: Path) -> Finding:
    """Whether the workspace has room."""
    free = shutil.disk_usage(home).free / 2**30
    state: Literal["ok", "problem"] = "ok" if free >= _NEEDED_GIB else "problem"
    advice = "" if state == "ok" else f"at least {_NEEDED_GIB} GiB are needed; set KINTSUGI_HOME to another disk"
    return Finding(what="Disk", state=state, found=f"{free:.0f} GiB free at {home}", advice=advice)


def installed(package: str) -> str:
    """Return the installed version of a package, in words."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def sqlalchemy() -> Finding:
    """Whether the installed SQLAlchemy lets a Prefect server of this machine fire schedules."""
    found = installed("sqlalchemy")
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if numbers >= _BREAKS_SCHEDULES:
        advice = "a Prefect server with it never fires a schedule; pip install 'sqlalchemy<2.1'"
        return Finding(what="SQLAlchemy", state="problem", found=found, advice=advice)
    return Finding(what="SQLAlchemy", state="ok", found=f"{found}, with Prefect {installed('prefect')}")
