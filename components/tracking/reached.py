"""Reached: what registry and runs still name, by digest, and stored models that they name no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from components.tracking.client import MlflowClient, patiently
from components.tracking.ledger import LedgerError
from components.tracking.overview import overview
from components.tracking.packaging import DIGEST_TAG as EXPORT_TAG
from components.tracking.standing import State

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_PAGE = 1000
_MODELS = 50
_OURS = "kintsugi."
_GOING = "deleted"


@dataclass(frozen=True)
class Stored:
    """A model in MLflow's store, which no version and no seal in a ledger names."""

    model_id: str
    files_at: str
    """Address of its files."""
    bytes: int


def standing_states() -> dict[str, State]:
    """Return the state of every model.

    Raises:
        LedgerError: A ledger cannot be trusted, so nobody knows what is in service.
    """
    found = overview()
    for name, why in found.distrusted.items():
        raise LedgerError(f"{name}: {why}")
    return dict(found.states)


def versions_in_use(state: State) -> dict[int, str]:
    """Return the versions of a model that are in service, or may come into it, by number, and as what."""
    standing, history = state.standing, state.history
    answered = {entry.version for entry in history.entries}
    used = {}
    for number, version in state.versions.items():
        decided = version.decision
        if decided is None:
            used[number] = "not judged yet"
        elif decided.verdict == "hold" and number not in answered and decided.judged_against == standing.champion:
            used[number] = "held, waits for a person"
    parts = {"challenger": standing.challenger, "previous": standing.previous, "champion": standing.champion}
    return used | {number: part for part, number in parts.items() if number is not None}


def digests_in_use(state: State) -> Iterator[tuple[str, str]]:
    """Yield what the versions in use were made from, and why each is kept."""
    for number, part in versions_in_use(state).items():
        if (version := state.versions.get(number)) is not None:
            for digest in (*version.lineage.values(), version.export_digest):
                yield digest, f"{state.name} {number}, {part}"


def digests_of_runs(since: float) -> Iterator[tuple[str, str]]:
    """Yield what runs name that are under way, or that began or ended after `since`, in seconds since 1970; and why."""
    client, since_ms = MlflowClient(), int(since * 1000)
    recent = [f"attributes.{moment} >= {since_ms}" for moment in ("start_time", "end_time")]
    asked = {"attributes.status = 'RUNNING'": "a run under way", **dict.fromkeys(recent, "a recent run")}
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    for condition, words in asked.items():
        for run in _pages(client.search_runs, experiments, condition, max_results=_PAGE) if experiments else ():
            called = run.data.tags.get("mlflow.runName", run.info.run_id)
            for name, value in run.data.tags.items():
                if name.startswith(_OURS):
                    yield value, f"{words}: {called}"


def unreached_models(states: Mapping[str, State], before: float) -> Iterator[Stored]:
    """Yield the stored models that killed registrations left: of ours, stored before a time, named by nobody.

    Args:
        states: The state of every model.
        before: In seconds since 1970; what is younger may have its version registered at this moment.
    """
    client = MlflowClient()
    sources = {str(version.source) for version in _pages(client.search_model_versions, "", max_results=_PAGE)}
    sealed = "\n".join(text for state in states.values() for text in state.params.values())
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    for model in _pages(client.search_logged_models, experiments, max_results=_MODELS) if experiments else ():
        is_named = f"models:/{model.model_id}" in sources or model.model_id in sealed
        if EXPORT_TAG in model.tags and model.creation_timestamp < before * 1000 and not is_named:
            yield Stored(model.model_id, model.artifact_location, _bytes_at(model.artifact_location))


def delete_model(stored: Stored) -> None:
    """Delete a stored model's files, and then the model; before, so that no registration takes it up half deleted."""
    client = MlflowClient()
    client.set_logged_model_tags(stored.model_id, {EXPORT_TAG: _GOING})
    patiently(_files_at(stored.files_at).delete_artifacts)
    client.delete_logged_model(stored.model_id)


def _bytes_at(place: str) -> int:
    files, folders, size = _files_at(place), [""], 0
    while folders:
        for one in patiently(partial(files.list_artifacts, folders.pop() or None)):
            if one.is_dir:
                folders.append(one.path)
            else:
                size += one.file_size or 0
    return size


def _files_at(place: str) -> ArtifactRepository:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place)


def _pages(search: Callable[..., Sequence[Any]], *arguments: object, **_options: object) -> Iterator[Any]:
    """Yield all that a search of MLflow's finds, page by page."""
    token = None
    while True:
        page = search(*arguments, **_options, page_token=token)
        yield from page
        token = getattr(page, "token", None)
        if not token:
            return
