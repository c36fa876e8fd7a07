"""The promotion ledger: which version is champion, written once per entry, so that racing promoters cannot both win.

MLflow's aliases are set without comparing and keep no history. Its params can be written once: a second value for the
same name is refused by a unique constraint of the database. So entry n of a model's history is the param `p/00000n` of
one run, each entry holds the sha256 of the one before, and aliases are only copies of what the ledger says.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from components.section import Section, canonical_json
from components.tracking.client import MlflowClient

LEDGER_FOR = "kintsugi.ledger_for"

_PREFIX = "p/"
_LONGEST_BY = 60
_SELF_TEST = "write_once"


class LedgerError(RuntimeError):
    """A ledger is missing, deleted or altered; nothing may be promoted or served by its word."""


class Entry(Section):
    """One change of champion."""

    action: Literal["promote", "rollback"]
    version: int
    """The champion from here on."""
    base: int | None
    """The champion until here, against which `version` was judged."""
    export: str
    """Digest of the version's export."""
    by: str
    """Who or what decided, at most 60 characters."""
    at: str
    """UTC time, ISO 8601."""
    id: str
    """Random, so that two promoters never write the same text and both believe to have won."""
    before: str
    """sha256 of the entry before this one; empty for the first."""

    @property
    def text(self) -> str:
        """The entry as it is stored: one line of JSON, under 500 characters."""
        return canonical_json(self).decode()


@dataclass(frozen=True)
class History:
    """What the ledger says, replayed from its first entry."""

    entries: tuple[Entry, ...] = ()
    line: tuple[int, ...] = ()
    """Champions that stand on each other: the last is in service, the one before it is what a rollback returns to."""
    withdrawn: frozenset[int] = frozenset()
    """Versions that were rolled back and not promoted again."""

    @property
    def champion(self) -> int | None:
        """The version in service."""
        return self.line[-1] if self.line else None

    def then(self, entry: Entry) -> Self:
        """Return the history one entry later. A rollback takes every version above its target out of the line."""
        line, withdrawn = self.line, self.withdrawn
        if entry.action == "rollback":
            kept = line[: line.index(entry.version) + 1] if entry.version in line else (*line[:-1], entry.version)
            withdrawn |= frozenset(line) - frozenset(kept)
            line = kept
        else:
            line = (*(version for version in line if version != entry.version), entry.version)
        return type(self)((*self.entries, entry), line, withdrawn - {entry.version})

    def next_entry(self, action: Literal["promote", "rollback"], version: int, export: str, by: str) -> Entry:
        """Return the entry that would make `version` champion after this history."""
        return Entry(
            action=action,
            version=version,
            base=self.champion,
            export=export,
            by=by[:_LONGEST_BY],
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            id=uuid.uuid4().hex[:16],
            before=_sha256(self.entries[-1].text) if self.entries else "",
        )


def create_ledger(client: MlflowClient, experiment_id: str, name: str) -> str:
    """Return the id of a new, empty ledger run for the model `name`, after seeing that the store writes once.

    Raises:
        LedgerError: The store let a param be overwritten.
    """
    run_id: str = client.create_run(
        experiment_id, run_name=f"promotions of {name}", tags={LEDGER_FOR: name}
    ).info.run_id
    if not (_write_once(client, run_id, _SELF_TEST, "first") and not _write_once(client, run_id, _SELF_TEST, "second")):
        raise LedgerError("this MLflow store lets params be overwritten; promotion needs SQLite, PostgreSQL or MySQL")
    client.set_terminated(run_id)
    return run_id


def read_ledger(client: MlflowClient, run_id: str, name: str) -> History:
    """Return the history of the model `name`.

    Raises:
        LedgerError: The run is missing, deleted, another model's, or an entry is missing or altered.
    """
    run = _ledger_run(client, run_id, name)
    texts = {key: text for key, text in run.data.params.items() if key.startswith(_PREFIX)}
    history = History()
    for number in range(1, len(texts) + 1):
        text = texts.get(_key(number))
        if text is None:
            raise LedgerError(
                f"the ledger of {name} (run {run_id}) has {len(texts)} entries but none of number {number}"
            )
        try:
            entry = Entry.model_validate_json(text)
        except ValidationError as error:
            raise LedgerError(f"the ledger of {name} (run {run_id}): entry {number} is not readable") from error
        expected = _sha256(history.entries[-1].text) if history.entries else ""
        if entry.before != expected or entry.base != history.champion or entry.text != text:
            raise LedgerError(f"the ledger of {name} (run {run_id}): an entry before number {number} was altered")
        history = history.then(entry)
    return history


def append(client: MlflowClient, run_id: str, history: History, entry: Entry) -> bool:
    """Write `entry` after `history`; False if someone else wrote that place first."""
    return _write_once(client, run_id, _key(len(history.entries) + 1), entry.text)


def _write_once(client: MlflowClient, run_id: str, key: str, text: str) -> bool:
    """Return whether `text` is what the param holds for good, also when the reply to the write was lost."""
    try:
        client.log_param(run_id, key, text, synchronous=True)
    except MlflowException:
        stored = client.get_run(run_id).data.params.get(key)
        if stored is None:
            raise
        return bool(stored == text)
    return True


def _ledger_run(client: MlflowClient, run_id: str, name: str) -> Run:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise LedgerError(f"the ledger of {name} (run {run_id}) cannot be read: {error.message}") from error
    if run.info.lifecycle_stage != "active":
        raise LedgerError(f"the ledger of {name} was deleted; bring it back: mlflow runs restore --run-id {run_id}")
    if run.data.tags.get(LEDGER_FOR) != name:
        raise LedgerError(f"run {run_id} is not the ledger of {name} but of {run.data.tags.get(LEDGER_FOR)}")
    return run


def _key(number: int) -> str:
    return f"{_PREFIX}{number:06d}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
