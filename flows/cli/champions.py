"""The models that commands use: found by name in the registry, fetched and checked."""

from typing import NamedTuple

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


class InService(NamedTuple):
    """A version of a model, loaded."""

    called: str
    """What a person calls it."""
    producer: Producer
    maker: Maker
    """What its pictures say of where they come from."""


def loaded(model: str, version: int | None) -> InService:
    """Return the champion of a model, or another version, with the network that makes or mends pictures."""
    record, delivery = delivered(model, version)
    maker = Maker(record.name, delivery.version, export_digest(delivery.export))
    return InService(f"{record.name} version {delivery.version}", load_producer(delivery.export), maker)
