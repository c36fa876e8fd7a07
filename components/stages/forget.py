"""Forget: an image out of the data for good: refused from now on, deleted where it lies, models that saw it marked."""

import json
from collections.abc import Collection

from pydantic import Field

from components.artifacts import Store
from components.config import RunConfig
from components.data import ShardSet, write_shards
from components.data.forgetting import Holding, delete, forbid, holding, keys_of
from components.section import Section
from components.tracking import marks, runs
from components.tracking.sqlite import is_untouched
from components.workspace import Workspace


class Trace(Section):
    """Where images that are to be forgotten are, and what saw them."""

    held: Holding
    made_from: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Digests of other artifacts that name one of those data versions among their inputs, by kind."""
    models: tuple[tuple[str, int], ...] = ()
    """Name and number of the registered versions that learnt from them, or began with the weights of such."""


def trace(named: Collection[str], run: RunConfig, store: Store, workspace: Workspace) -> Trace:
    """Return where the images are, each named by its key or its file's name, and what saw them. Changes nothing.

    Raises:
        ValueError: One is neither a key nor the name of a file.
        ArtifactError: A shard is missing, so that nobody knows what is in it.
    """
    held = holding(keys_of(named, run.dataset, store), store)
    seen = frozenset(held.seen_in) | frozenset(held.corruption_sets)
    models: tuple[tuple[str, int], ...] = ()
    if not is_untouched(workspace.home):
        runs.configure(workspace.home)
        models = tuple(marks.learnt_from(frozenset(held.learnt_in)))
    return Trace(held=held, made_from=_made_from(seen, store), models=models)


def forget(found: Trace, run: RunConfig, store: Store, workspace: Workspace, reason: str) -> ShardSet:
    """Refuse the images from now on, delete them, mark the models that saw them, and return the data without them.

    The version without them is whole before any is deleted, and points to none that is. Killed at any instant, the same
    call goes on.

    Raises:
        ValueError: The source is not there, or holds no other image.
    """
    forbid(found.held, store, reason)
    for name, version in found.models:
        marks.mark_forgotten(name, version, f"{', '.join(found.held.keys)}: {reason}")
    shards = write_shards(run.dataset, store, executor=run.executor)
    delete(store, workspace.cache)
    return shards


def _made_from(seen: frozenset[str], store: Store) -> dict[str, tuple[str, ...]]:
    """Return the artifacts among whose inputs one of these digests stands."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in store.folders():
        texts = ((digest, json.dumps(store.manifest(folder, digest)["inputs"])) for digest in store.digests(folder))
        if those := tuple(digest for digest, text in texts if any(one in text for one in seen)):
            found[folder] = those
    return found
