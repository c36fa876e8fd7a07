"""Standing: which versions of a model are champion, challenger and previous, worked out from ledger and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from components.section import Section
from components.tracking.client import MlflowClient, mlflow
from components.tracking.ledger import PROMOTIONS, History, LedgerError, create_ledger, ledger_params, replay
from components.tracking.runs import find_or_create_experiment
from components.tracking.versions import Version, all_versions, is_plain, one_of

LEDGER = "kintsugi.ledger"
"""Tag of a registered model with the id of the run that is its ledger."""


@dataclass(frozen=True)
class Standing:
    """Which version plays which part; None where none does."""

    champion: int | None
    """In service."""
    challenger: int | None
    """The newest version, while it is neither promoted nor rejected."""
    previous: int | None
    """What a rollback returns to."""


class ModelRecord(Section):
    """What `kintsugi models` says of one model."""

    name: str
    family: str
    champion: int | None
    """Version in service."""
    champion_since: datetime | None = None
    """When that was decided, by the ledger (UTC)."""
    challenger: int | None
    """Newest version, while it is neither promoted nor rejected."""
    previous: int | None
    """Version that a rollback returns to."""
    scores: dict[str, float]
    """Of the champion, or of the challenger while there is no champion."""
    lineage: dict[str, str]
    """Digests of what that version was made from."""
    card: str = ""
    """What MLflow shows of that version, in words."""


class VersionRecord(Section):
    """What is worth saying of one version to those who may choose it."""

    version: int
    verdict: str
    """The gate's: promote, reject or hold; empty before it decided."""
    served: bool
    """Whether it is or was in service."""
    withdrawn: bool
    """Whether a person took it out of service."""
    scores: dict[str, float]


@dataclass(frozen=True)
class State:
    """All that a model's standing follows from."""

    name: str
    ledger: str
    """Id of the run that is its promotion ledger."""
    params: Mapping[str, str]
    """All that the ledger holds, by key."""
    history: History
    versions: dict[int, Version]
    strangers: frozenset[int] = frozenset()
    """Versions without this program's tags: registered by hand, or robbed of them."""

    def version(self, number: int) -> Version:
        """Return one version, unchecked.

        Raises:
            ValueError: There is none of this number, or it is a stranger.
        """
        return one_of(self.name, self.versions, self.strangers, number)

    @property
    def previous(self) -> int | None:
        """The last champion before this one that still exists."""
        return next((number for number in reversed(self.history.line[:-1]) if number in self.versions), None)

    @property
    def standing(self) -> Standing:
        """Which version plays which part."""
        promoted = {entry.version for entry in self.history.entries}
        newest = max(self.versions, default=None)
        decided = self.versions[newest].decision if newest is not None else None
        is_open = newest not in promoted and (decided is None or decided.verdict != "reject")
        return Standing(self.history.champion, newest if is_open else None, self.previous)


def read_state(client: MlflowClient, name: str) -> State:
    """Return the state of the model `name`.

    Raises:
        LedgerError: Its ledger is missing or cannot be trusted.
        ValueError: There is no such model.
    """
    model = _find_model(client, name)
    if model is None:
        raise ValueError(f"no model {name!r} is registered; there are: {', '.join(known_models(client)) or 'none'}")
    ledger = _ledger_of(model)
    return state_of(name, ledger, ledger_params(client, ledger, name), all_versions(client, name))


def state_of(name: str, ledger: str, params: Mapping[str, str], found: Sequence[Version]) -> State:
    """Return the state of a model whose ledger holds `params` and whose versions are `found`.

    Raises:
        LedgerError: The ledger cannot be trusted.
    """
    ours = {version.number: version for version in found if version.is_ours}
    strangers = frozenset(version.number for version in found) - ours.keys()
    return State(name, ledger, params, replay(params, ledger, name), ours, strangers)


def is_registered(client: MlflowClient, name: str) -> bool:
    """Return whether a model of this name is registered."""
    return _find_model(client, name) is not None


def record_of(name: str, state: State) -> ModelRecord:
    """Return what is worth saying of the model `name`."""
    standing = state.standing
    shown = state.versions.get(standing.champion or standing.challenger or max(state.versions, default=0))
    return ModelRecord(
        name=name,
        family=shown.family if shown else "",
        scores=shown.scores if shown else {},
        lineage=shown.lineage if shown else {},
        card=shown.description if shown else "",
        champion_since=state.history.champion_since,
        **vars(standing),
    )


def version_records(state: State) -> tuple[VersionRecord, ...]:
    """Return what is worth saying of each version, the newest first."""
    served = {entry.version for entry in state.history.entries}
    return tuple(
        VersionRecord(
            version=number,
            verdict=version.decision.verdict if version.decision else "",
            served=number in served,
            withdrawn=number in state.history.withdrawn,
            scores=version.scores,
        )
        for number, version in sorted(state.versions.items(), reverse=True)
    )


def champion_of(client: MlflowClient, name: str, ledger: str) -> int | None:
    """Return the version that a ledger says is in service, by one request.

    Raises:
        LedgerError: The ledger cannot be trusted.
    """
    return replay(ledger_params(client, ledger, name), ledger, name).champion


def set_aliases(client: MlflowClient, name: str, standing: Standing) -> None:
    """Make MLflow's aliases say what `standing` says."""
    aliases = client.get_registered_model(name).aliases
    for alias, version in vars(standing).items():
        if version is None and alias in aliases:
            client.delete_registered_model_alias(name, alias)
        elif version is not None and str(aliases.get(alias)) != str(version):
            client.set_registered_model_alias(name, alias, str(version))


def known_models(client: MlflowClient) -> list[str]:
    """Return the names of the models that have a promotion ledger."""
    names, token = [], None
    while True:
        page = client.search_registered_models(page_token=token)
        names += [model.name for model in page if LEDGER in model.tags and is_plain(model.name)]
        token = page.token
        if not token:
            return sorted(names)


def find_or_create_model(client: MlflowClient, name: str, description: str) -> None:
    """Create the registered model together with its ledger, unless it is there.

    The ledger is named by the very call that creates the model, so of several that try at once, one ledger counts.
    """
    if (known := _find_model(client, name)) is not None:
        _ledger_of(known)
        if not known.description:
            client.update_registered_model(name, description)
        return
    ledger = create_ledger(client, find_or_create_experiment(client, PROMOTIONS), name)
    try:
        client.create_registered_model(name, tags={LEDGER: ledger}, description=description)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        known = _find_model(client, name)
        if known is None or _ledger_of(known) != ledger:  # else it is ours, and the first answer got lost
            client.delete_run(ledger)


def _find_model(client: MlflowClient, name: str) -> mlflow.entities.model_registry.RegisteredModel | None:
    # Searched for first: asked for what is not there, a server with accounts says that it may not be read.
    if not is_plain(name) or not client.search_registered_models(f"name = '{name}'", max_results=1):
        return None
    return client.get_registered_model(name)


def _ledger_of(model: mlflow.entities.model_registry.RegisteredModel) -> str:
    if LEDGER not in model.tags:
        raise LedgerError(f"the registered model {model.name!r} was not made by this program: it has no ledger")
    return str(model.tags[LEDGER])
