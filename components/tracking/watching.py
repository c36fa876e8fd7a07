"""Watching: what a server of models asks of the registry, again and again, with short patience and errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from components.servers.patience import PatienceEndedError
from components.servers.redaction import redact_text
from components.tracking import registry, runs
from components.tracking.client import MlflowClient, TrackingError, mlflow
from components.tracking.ledger import LedgerError
from components.tracking.overview import Overview, overview
from components.tracking.packaging import Delivery
from components.tracking.standing import (
    ModelRecord,
    VersionRecord,
    champion_of,
    known_models,
    read_state,
    record_of,
    version_records,
)

_REQUEST_S = "10"  # MLflow's own default is two minutes, in which nobody would learn that it is away


class RegistryAwayError(RuntimeError):
    """The registry does not answer, or not with what was asked for."""


@dataclass(frozen=True)
class Registered:
    """What the registry says at one moment."""

    models: tuple[ModelRecord, ...] = ()
    """Those whose ledger can be trusted, by name."""
    distrusted: Mapping[str, str] = field(default_factory=dict)
    """Why the others cannot be used, by name."""
    versions: Mapping[str, tuple[VersionRecord, ...]] = field(default_factory=dict)
    """Of each model, the newest first."""
    ledgers: Mapping[str, str] = field(default_factory=dict)
    """Ids of the runs that are the models' ledgers, by name."""


def watch(home: Path) -> None:
    """Point MLflow at its store and make this process ask with short patience, unless told otherwise."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _REQUEST_S)
    with answering():
        runs.configure(home)


def look() -> Registered:
    """Return every model by its ledger; one bad ledger does not hide the others.

    Raises:
        RegistryAwayError: The registry does not answer.
    """
    models, distrusted, versions, ledgers = [], {}, {}, {}
    with answering():
        client = MlflowClient()
        for name in known_models(client):
            try:
                state = read_state(client, name)
            except LedgerError as error:
                distrusted[name] = str(error)
            else:
                models.append(record_of(name, state))
                versions[name], ledgers[name] = version_records(state), state.ledger
    return Registered(tuple(models), distrusted, versions, ledgers)


def look_at_all() -> Overview:
    """Return the state of every model with all that is known of its versions.

    Raises:
        RegistryAwayError: The registry does not answer.
    """
    with answering():
        return overview()


def champions(ledgers: Mapping[str, str]) -> dict[str, int | None]:
    """Return the version in service of each model by its ledger alone, which takes far less than a look at everything.

    Args:
        ledgers: Ids of the ledgers, by model. One that cannot be trusted is left out.

    Raises:
        RegistryAwayError: The registry does not answer.
    """
    found = {}
    with answering():
        client = MlflowClient()
        for name, ledger in ledgers.items():
            with suppress(LedgerError):
                found[name] = champion_of(client, name, ledger)
    return found


def fetch(name: str, version: int, to: Path) -> Delivery:
    """Return a checked local copy of a version, at the folder `to`.

    Raises:
        AlteredModelError: The files are not those that were registered.
        LedgerError: The ledger cannot be trusted.
        RegistryAwayError: The registry or its files cannot be reached.
        ValueError: There is no such version, or something else lies at `to`.
    """
    with answering():
        return registry.download(name, version, to)


def resolve(models: Sequence[ModelRecord], name: str) -> ModelRecord:
    """Return the model called `name`, or the only one whose name ends so: "inpainter" for "photos-inpainter".

    Raises:
        ValueError: There is none, or more than one; the message lists what there is.
    """
    fitting = [record for record in models if record.name == name] or [
        record for record in models if record.name.endswith(f"-{name}")
    ]
    if len(fitting) != 1:
        known = ", ".join(record.name for record in fitting or models) or "none; kintsugi run CONFIG makes some"
        problem = "is the name of more than one model" if fitting else "is not registered"
        raise ValueError(f"model {name} {problem}; there are: {known}")
    return fitting[0]


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow, and the network and the disk below it, raise into `RegistryAwayError`."""
    try:
        yield
    except (PatienceEndedError, TrackingError) as error:
        raise RegistryAwayError(str(error)) from error
    except (
        mlflow.exceptions.MlflowException,
        OSError,
    ) as error:  # requests' and urllib3's errors are OSErrors or wrapped by MLflow
        raise RegistryAwayError(redact_text(f"MLflow does not answer: {error}")) from error
