"""Where and with what a run was made: versions, code commit, hardware, as MLflow tags."""

import getpass
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from components.tracking.hardware import hardware_facts, hardware_in_brief

_PACKAGES = ("kintsugi", "torch", "torchvision", "numpy", "mlflow", "prefect")


def environment_tags() -> dict[str, str]:
    """Return tags that say with which versions, commit, host and hardware the caller runs."""
    facts = {"python": platform.python_version(), "platform": platform.platform(), "host": platform.node()}
    facts |= {name: version for name in _PACKAGES if (version := installed_version(name)) is not None}
    facts |= hardware_facts()
    tags = {f"kintsugi.env.{name}": value for name, value in facts.items()}
    tags["kintsugi.hardware"] = hardware_in_brief()
    tags |= {"mlflow.source.name": "kintsugi", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
    if commit := code_commit():
        tags |= {"kintsugi.env.commit": commit, "mlflow.source.git.commit": commit.removesuffix("-dirty")}
    return tags


def installed_version(package: str) -> str | None:
    """Return the installed version of a distribution, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def code_commit() -> str | None:
    """Return the commit of this code, with `-dirty` if files were changed since; None if it is not known.

    Images that hold the code without its repository say it in the variable KINTSUGI_COMMIT.
    """
    if stated := os.environ.get("KINTSUGI_COMMIT"):
        return stated
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
