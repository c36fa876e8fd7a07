"""Local: what the registry says, read from the file that keeps it where no server does, without importing MLflow.

MLflow and its store take four seconds to import, and reading takes milliseconds. Only what is whole is read so: where
anything is not as expected, the answer is None, and whoever asked asks MLflow, which says what is wrong.
"""

import sqlite3

from components.tracking.ledger import LEDGER_FOR, PROMOTIONS, LedgerError, undisputed
from components.tracking.sqlite import Ask, database_in_use, opened
from components.tracking.standing import LEDGER, State, state_of
from components.tracking.versions import DUPLICATE_OF, Version, is_plain

_LEDGERS = """
    SELECT name, value FROM registered_model_tags WHERE workspace = 'default' AND key = ? ORDER BY name
"""
_MODEL = "SELECT 1 FROM registered_models WHERE workspace = 'default' AND name = ?"
_PARAMS = """
    SELECT runs.run_uuid, params.key, params.value
    FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id AND runs.lifecycle_stage = 'active'
    JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ? AND tags.value = ?
    JOIN params ON params.run_uuid = runs.run_uuid
    WHERE experiments.workspace = 'default' AND experiments.name = ? AND experiments.lifecycle_stage = 'active'
"""
_VERSIONS = """
    SELECT version, source, run_id, description, creation_time FROM model_versions
    WHERE workspace = 'default' AND name = ? AND current_stage != 'Deleted_Internal'
"""
_TAGS = "SELECT version, key, value FROM model_version_tags WHERE workspace = 'default' AND name = ?"


def states() -> dict[str, State] | None:
    """Return the state of every model that has a ledger, by name; None where MLflow must be asked."""
    try:
        with opened(database_in_use()) as ask:
            if ask is None:
                return None
            return {name: _state(ask, name, ledger) for name, ledger in ask(_LEDGERS, LEDGER) if is_plain(name)}
    except (sqlite3.Error, LedgerError, KeyError):
        return None


def is_registered(name: str) -> bool | None:
    """Return whether there is a model of this name, with a ledger or without; None where MLflow must be asked."""
    try:
        with opened(database_in_use()) as ask:
            return None if ask is None else bool(ask(_MODEL, name))
    except sqlite3.Error:
        return None


def _state(ask: Ask, name: str, ledger: str) -> State:
    written: dict[str, dict[str, str]] = {}
    for run_id, key, value in ask(_PARAMS, LEDGER_FOR, name, PROMOTIONS):
        written.setdefault(run_id, {})[key] = value
    params = undisputed(written, ledger, name)
    tags: dict[int, dict[str, str]] = {}
    for number, key, value in ask(_TAGS, name):
        tags.setdefault(number, {})[key] = value
    found = [
        Version(
            name,
            number,
            source.removeprefix("models:/"),
            run_id or "",
            tags.get(number, {}),
            description or "",
            (created_ms or 0) / 1000,
        )
        for number, source, run_id, description, created_ms in ask(_VERSIONS, name)
    ]
    return state_of(name, ledger, params, [version for version in found if DUPLICATE_OF not in version.tags])
