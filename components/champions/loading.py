"""Loading: a model in service, found by name in the registry, fetched, checked, and its network in memory."""

from __future__ import annotations

from typing import NamedTuple

from components.deferred.torch import torch
from components.pictures.provenance import Maker
from components.recipes.export import export_digest, load_producer
from components.recipes.recipe import Producer
from components.tracking import registry, runs, watching
from components.tracking.packaging import Delivery
from components.tracking.standing import ModelRecord
from components.workspace import Workspace


def delivered(model: str, version: int | None) -> tuple[ModelRecord, Delivery]:
    """Return a model's record and a local copy of its champion, or of another version.

    Args:
        model: Registered name, or its last part if that fits one model only.
        version: None for the champion.

    Raises:
        ValueError: There is no such model, or it has no champion.
    """
    workspace = Workspace.from_environment().create()
    runs.configure(workspace.home)
    record = watching.resolve(registry.models(), model)
    number = version if version is not None else record.champion
    if number is None:
        raise ValueError(f"{record.name} has no champion yet; kintsugi run CONFIG trains and promotes one")
    return record, registry.download(record.name, number, workspace.cache / "models" / f"{record.name}-{number}")


class Loaded(NamedTuple):
    """A version of a model, in memory."""

    name: str
    version: int
    producer: Producer
    maker: Maker
    """What its pictures say of where they come from."""


def loaded(model: str, version: int | None) -> Loaded:
    """Return the champion of a model, or another version, on a GPU where there is one.

    Arguments and errors are those of `delivered`.
    """
    record, delivery = delivered(model, version)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    maker = Maker(record.name, delivery.version, export_digest(delivery.export))
    return Loaded(record.name, delivery.version, load_producer(delivery.export, device), maker)
