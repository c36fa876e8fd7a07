"""Collect: what nothing in use needs any more, in the store, on this machine and among MLflow's models, goes."""

import time
from collections.abc import Iterator

from components.artifacts import Store
from components.artifacts.collecting import Fate, Retention, collect
from components.stages import candidate, outcome  # noqa: F401 - with outcome imported, its kind is known, too
from components.stages.cached import cached
from components.stages.roots import roots_of
from components.tracking.reached import delete_model, standing_states, unreached_models, versions_in_use
from components.workspace import Workspace


def collect_all(
    store: Store, workspace: Workspace, retention: Retention, *, delete: bool, now: float | None = None
) -> Iterator[Fate]:
    """Yield what becomes of each artifact, copy, cached file and stored model, as it is done.

    Registered versions, whatever became of them, keep their files in MLflow, and the ledger is never touched.

    Args:
        store: Where artifacts are, which others may share.
        workspace: This machine's, whose cache and trainings are looked at.
        retention: How long what is not in use stays.
        delete: Whether to mark and to delete, or only to look.
        now: Seconds since 1970; None is this moment.

    Raises:
        ValueError: The registry knows nothing of what the store holds, so that all of it would seem unneeded.
        LedgerError: A model's ledger cannot be trusted, so nobody knows what is in service; nothing is deleted.
        StorageError: The store cannot be reached; the next call goes on from there.
    """
    now = time.time() if now is None else now
    since = retention.since(now)
    if delete:
        _demand_acquainted(store)
    used: dict[str, str] = {}
    for fate in collect(store, lambda: roots_of(store, since), retention, delete=delete, now=now):
        if fate.becomes == "kept":
            used[fate.name] = fate.why
        yield fate
    states = standing_states()
    for name, state in states.items():
        used |= {f"{name}-{number}": f"{name} {number}, {part}" for number, part in versions_in_use(state).items()}
    yield from cached(workspace, used, retention, delete=delete, now=now)
    for stored in unreached_models(states, since):
        if delete:
            delete_model(stored)
        becomes = "deleted" if delete else "unneeded"
        yield Fate(
            what="MLflow model", name=stored.model_id, bytes=stored.bytes, becomes=becomes, why="no version has it"
        )


def _demand_acquainted(store: Store) -> None:
    """Refuse a registry that is another one than that of the store's runs."""
    trained = set(store.digests(candidate.Checkpoint.folder()))
    versions = [version for state in standing_states().values() for version in state.versions.values()]
    if trained and trained.isdisjoint(version.lineage.get("checkpoint") for version in versions):
        raise ValueError(
            f"{store.place} holds {len(trained):,} trainings, and of {len(versions):,} versions in MLflow none came "
            "of them; expected the store and the MLflow of the same runs: see KINTSUGI_STORE and MLFLOW_TRACKING_URI"
        )
