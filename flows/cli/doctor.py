"""Command doctor: what is installed, reachable and free, and what to do about what is not."""

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from components.section import Section
from components.storage import StorageError, open_storage, probe_conditional_writes
from components.workspace import Workspace
from flows.cli.tables import say, table

app = App()

_NEEDED_GIB = 2


class Finding(Section):
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""


@app.command
def doctor(
    *,
    store: Annotated[
        str | None, Parameter(help="Also check this artifact store: a folder or s3://bucket/prefix.")
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())] = False,
) -> None:
    """Say what is installed, reachable and free on this machine. Exit code 1 if something must be mended."""
    findings = list(_findings(store))
    if as_json:
        say(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        say(table(["", "what", "found", "what to do"], [[f.state, f.what, f.found, f.advice] for f in findings]))
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _findings(store: str | None) -> Iterator[Finding]:
    workspace = Workspace.from_environment()
    yield _torch()
    yield _devices()
    yield from _weights()
    yield _disk(workspace.home)
    yield _tracking(workspace.home)
    yield _prefect()
    if store is not None:
        yield _store(store)


def _torch() -> Finding:
    import torch

    from components.evaluation.extractors import pair_advice

    found = f"torch {torch.__version__}, torchvision {_version('torchvision')}"
    try:
        import torchvision  # noqa: F401 - importing is the check
    except (RuntimeError, ImportError) as error:
        advice = pair_advice(torch.__version__, _version("torchvision"))
        return Finding(what="PyTorch", state="problem", found=f"{found}: {error}", advice=advice)
    return Finding(what="PyTorch", state="ok", found=found)


def _devices() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding(what="GPUs", state="note", found=f"none; {os.cpu_count()} cores", advice="small models only")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Finding(what="GPUs", state="ok", found=", ".join(names))


def _weights() -> Iterator[Finding]:
    from components.evaluation.extractors import EfficientNetLite0Config, InceptionConfig

    extractors: list[tuple[str, Callable[[], Path], Literal["note", "problem"]]] = [
        ("EfficientNet-Lite0 weights", EfficientNetLite0Config().weights, "problem"),
        ("Inception weights (for FID)", InceptionConfig(download=False).weights, "note"),
    ]
    for what, find, state in extractors:
        try:
            yield Finding(what=what, state="ok", found=f"{find().name}, sha256 as pinned")
        except ValueError as error:
            yield Finding(what=what, state=state, found="not here", advice=str(error))


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(home).free / 2**30
    state: Literal["ok", "problem"] = "ok" if free >= _NEEDED_GIB else "problem"
    advice = "" if state == "ok" else f"at least {_NEEDED_GIB} GiB are needed; set KINTSUGI_HOME to another disk"
    return Finding(what="Disk", state=state, found=f"{free:.0f} GiB free at {home}", advice=advice)


def _tracking(home: Path) -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        return _server("MLflow", uri.rstrip("/") + "/health", "MLFLOW_TRACKING_URI")
    from components.tracking import runs

    runs.configure(home)
    return Finding(what="MLflow", state="ok", found=f"{_version('mlflow')}, on SQLite in {home}")


def _prefect() -> Finding:
    url = os.environ.get("PREFECT_API_URL", "")
    if url:
        return _server("Prefect", url.rstrip("/") + "/health", "PREFECT_API_URL")
    return Finding(what="Prefect", state="ok", found=f"{_version('prefect')}, a server of its own for each run")


def _server(what: str, url: str, variable: str) -> Finding:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return Finding(what=what, state="ok", found=f"the server of {variable} answers {answer.status}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Finding(what=what, state="problem", found=f"no answer ({reason})", advice=f"start it or mend {variable}")


def _store(place: str) -> Finding:
    try:
        probe_conditional_writes(open_storage(place))
    except (StorageError, ValueError) as error:
        return Finding(what="Artifact store", state="problem", found=place, advice=str(error))
    return Finding(what="Artifact store", state="ok", found=f"{place}: reachable, refuses to overwrite when asked to")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
