"""Packages: an export folder as an MLflow model that is loaded by a module's name, so that it holds no pickles."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from components.artifacts import sha256_of
from components.section import canonical_json
from components.tracking import signing
from components.tracking.client import MlflowClient, mlflow, patiently
from components.tracking.environment import installed_version
from components.tracking.inspection import DATA, EXPORT_SUFFIXES, objection

DIGEST_TAG = "kintsugi.export_digest"
FILES_TAG = "kintsugi.files"
SERVING = "components.recipes.serving"

_WRITTEN_ON_DOWNLOAD = "registered_model_meta"
_REQUIREMENTS = (
    "mlflow",
    "torch",
    "safetensors",
    "numpy",
    "pillow",
    "pandas",
    "pydantic",
    "jaxtyping",
    "psutil",
    "lazy-loader",
    "opencv-python-headless",
    "pyyaml",
    "scipy",
    "simplejpeg",
)


class Column(Protocol):
    """One value of each request to a served model, or of each answer."""

    @property
    def name(self) -> str:
        """Name of the column."""

    @property
    def kind(self) -> str:
        """MLflow's name of its type."""

    @property
    def required(self) -> bool:
        """Whether requests without it are refused."""


class Interface(Protocol):
    """What a served model does, takes and gives; `components.recipes` says which model has which."""

    @property
    def purpose(self) -> str:
        """What it does, e.g. "makes images"."""

    @property
    def command(self) -> str:
        """The command that asks a champion for it."""

    @property
    def inputs(self) -> Sequence[Column]:
        """Columns of a request."""

    @property
    def outputs(self) -> Sequence[Column]:
        """Columns of an answer."""

    @property
    def example(self) -> Mapping[str, Sequence[int | str]]:
        """Values of each input column, for people to try."""


class AlteredModelError(RuntimeError):
    """The files of a model are not those that were registered."""


@dataclass(frozen=True)
class Export:
    """What a training exported, to be registered."""

    folder: Path
    """Holds model.safetensors and model.json; all of it is kept."""
    digest: str
    """Its identity."""
    family: str
    """Kind of its recipe."""
    interface: Interface
    """What the served model does, takes and gives."""
    loader_module: str = SERVING
    """Importable module whose `_load_pyfunc(path)` returns an object with `predict(frame)`."""


@dataclass(frozen=True)
class Package:
    """A model in MLflow's store."""

    model_id: str
    files: dict[str, str]
    """sha256 by relative path."""


@dataclass(frozen=True)
class Delivery:
    """A model on this machine whose files were found to be those that were registered."""

    version: int
    model: Path
    """What MLflow serves: `mlflow models serve -m MODEL --env-manager local`."""
    export: Path
    """The export folder inside it: model.safetensors, model.json."""


def log_export(name: str, export: Export, run_id: str) -> Package:
    """Store an export as an MLflow model of the run that trained it, or find the one stored before.

    Raises:
        ValueError: The folder is empty or holds a pickle.
    """
    _demand_plain_files(export.folder)
    client = MlflowClient()
    experiment_id = client.get_run(run_id).info.experiment_id
    known = _stored_before(client, experiment_id, run_id, export.digest)
    if known is not None:
        return known
    stored = client.create_logged_model(
        experiment_id, name=name, source_run_id=run_id, tags={DIGEST_TAG: export.digest}, model_type=export.family
    )
    with tempfile.TemporaryDirectory(prefix="kintsugi-package-") as scratch:
        folder = Path(scratch) / "model"
        _save(folder, export, stored)
        signing.sign(folder)
        files = files_of(folder)
        client.log_model_artifacts(stored.model_id, str(folder))
    client.set_logged_model_tags(stored.model_id, {FILES_TAG: canonical_json(files).decode()})
    _link_to_run(client, run_id, stored.model_id)
    client.finalize_logged_model(stored.model_id, mlflow.entities.LoggedModelStatus.READY)
    return Package(stored.model_id, files)


def fetch(model_id: str, files: dict[str, str], to: Path, loader_module: str = SERVING) -> Path:
    """Copy a stored model to the folder `to` and return its export folder; reuse what lies there if it is whole.

    Nothing appears at `to` before every file's sha256 is the one in `files` and nothing there asks for code of its
    own, and nothing else is downloaded over it.

    Raises:
        AlteredModelError: A file is missing, added or altered, or could run code; the message names it.
        ValueError: Something else lies at `to`.
    """
    if to.exists():
        try:
            _compare(to, files)
        except AlteredModelError as error:
            raise ValueError(f"{to}: in the way, and not a copy of this model ({error})") from error
        _demand_harmless(to, loader_module)
        return to / DATA
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as scratch:
        draft = Path(scratch) / "model"
        draft.mkdir()
        copy = partial(mlflow.artifacts.download_artifacts, f"models:/{model_id}", dst_path=str(draft))
        draft = Path(patiently(copy))
        (draft / _WRITTEN_ON_DOWNLOAD).unlink(missing_ok=True)
        _compare(draft, files)
        _demand_harmless(draft, loader_module)
        try:
            draft.rename(to)
        except OSError:
            if not to.exists():
                raise
            _compare(to, files)
    return to / DATA


def files_of(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file under `folder`, by relative path."""
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def requirements() -> list[str]:
    """Return the packages that serving needs, pinned to the versions seen working here."""
    versions = {name: installed_version(name) for name in _REQUIREMENTS}
    return [f"{name}=={version.split('+')[0]}" for name, version in versions.items() if version is not None]


def _save(folder: Path, export: Export, stored: mlflow.entities.LoggedModel) -> None:
    contents = folder.parent / "export"
    shutil.copytree(export.folder, contents)
    description = mlflow.models.Model(
        run_id=stored.source_run_id,
        model_id=stored.model_id,
        artifact_path=stored.artifact_location,
        metadata={"family": export.family},
    )
    interface = export.interface
    import pandas as pd

    mlflow.pyfunc.save_model(
        path=str(folder),
        loader_module=export.loader_module,
        data_path=str(contents),
        mlflow_model=description,
        signature=mlflow.models.ModelSignature(inputs=_schema(interface.inputs), outputs=_schema(interface.outputs)),
        input_example=pd.DataFrame(dict(interface.example)),
        pip_requirements=requirements(),
    )


def _link_to_run(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Make MLflow show the model as what the run made; it refuses a second time, as after an answer that got lost."""
    try:
        client.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model_id, step=0)])
    except mlflow.exceptions.MlflowException:
        outputs = client.get_run(run_id).outputs
        if outputs is None or model_id not in {output.model_id for output in outputs.model_outputs}:
            raise


def _stored_before(client: MlflowClient, experiment_id: str, run_id: str, export_digest: str) -> Package | None:
    """Return the package that an earlier, perhaps interrupted, registration of this export finished storing."""
    found = client.search_logged_models([experiment_id], filter_string=f"tags.`{DIGEST_TAG}` = '{export_digest}'")
    for model in found:
        if model.status == mlflow.entities.LoggedModelStatus.READY and model.source_run_id == run_id:
            return Package(model.model_id, json.loads(model.tags[FILES_TAG]))
    return None


def _demand_plain_files(export: Path) -> None:
    names = [path.name for path in export.rglob("*") if path.is_file()] if export.is_dir() else []
    if not names:
        raise ValueError(f"{export}: expected a folder with an exported model, found no files")
    others = sorted(name for name in names if Path(name).suffix not in EXPORT_SUFFIXES)
    if others:
        raise ValueError(f"{export}: holds {', '.join(others)}; an export holds safetensors and JSON, never pickles")


def _demand_harmless(folder: Path, loader_module: str) -> None:
    if (found := objection(folder, loader_module)) is not None:
        raise AlteredModelError(f"{found}; no code that comes with a model is ever run")
    if (found := signing.objection(folder)) is not None:
        raise AlteredModelError(found)


def _compare(folder: Path, files: dict[str, str]) -> None:
    found = files_of(folder)
    for name in sorted(found.keys() ^ files.keys()):
        raise AlteredModelError(f"{name} was not registered" if name in found else f"{name} is missing")
    for name, expected in files.items():
        if found[name] != expected:
            raise AlteredModelError(f"{name} has the sha256 {found[name][:12]}…, registered was {expected[:12]}…")


def _schema(columns: Sequence[Column]) -> mlflow.types.Schema:
    return mlflow.types.Schema(
        [mlflow.types.ColSpec(column.kind, column.name, required=column.required) for column in columns]
    )
