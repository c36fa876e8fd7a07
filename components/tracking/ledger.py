"""The promotion ledger: what was decided on versions, written once per entry, so that racing promoters cannot both win.

MLflow's aliases are set without comparing and keep no history. Its params can be written once: a second value for the
same name is refused by a unique constraint of the database. So entry n of a model's history is the param `p/00000n` of
one run, each entry holds the sha256 of the one before, and aliases are only copies of what the ledger says. What the
ledger says of files stands under other keys: `seals.py`.
"""

from __future__ import annotations

import hashlib
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import ValidationError

from components.section import Section, canonical_json
from components.tracking.client import MlflowClient, mlflow

LEDGER_FOR = "kintsugi.ledger_for"
PROMOTIONS = "kintsugi-promotions"
"""The experiment that holds all ledgers; whoever may write there may promote."""

_PREFIX = "p/"
_LONGEST_BY = 60
_LONGEST_REASON = 300
_LONGEST_ENTRY = 5000
_SELF_TEST = "write_once"
_RIVALS = 100


class LedgerError(RuntimeError):
    """A ledger is missing, deleted or altered; nothing may be promoted or served by its word."""


Action = Literal["promote", "rollback", "approve", "reject"]
"""promote, rollback: another champion. approve, reject: what a person made of a version that was held."""


class Entry(Section):
    """One decision: a change of champion, or a person's refusal of a version."""

    action: Action
    version: int
    """The version decided on: the champion from here on, unless it was rejected."""
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
    override: bool = False
    """Whether a person put `version` in service against the gate's word, or without it."""
    reason: str = ""
    """Why, in the words of the person who decided, at most 300 characters."""
    gate: str = ""
    """What the gate had said of `version`, in at most 300 characters; empty where it was not asked."""

    def moves_by(self, at: str) -> bool:
        """Return whether it changed the champion, and by that time, UTC, ISO 8601."""
        return self.action != "reject" and self.at <= at

    @property
    def text(self) -> str:
        """The entry as it is stored: one line of JSON, under 5000 characters.

        What an entry does not say is left out, so that entries from before there were such fields keep their text.
        """
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True)).decode()


@dataclass(frozen=True)
class History:
    """What the ledger says, replayed from its first entry."""

    entries: tuple[Entry, ...] = ()
    line: tuple[int, ...] = ()
    """Champions that stand on each other: the last is in service, the one before it is what a rollback returns to."""
    withdrawn: frozenset[int] = frozenset()
    """Versions that a person rejected, or took out of service and nobody put back; they may stand in the line, below
    the top."""

    @property
    def champion(self) -> int | None:
        """The version in service."""
        return self.line[-1] if self.line else None

    @property
    def champion_since(self) -> datetime | None:
        """When the version in service was put there; None while there is none."""
        moves = (entry for entry in reversed(self.entries) if entry.action != "reject")
        last = next((entry for entry in moves if entry.version == self.champion), None)
        return None if last is None else datetime.fromisoformat(last.at)

    def rejection(self, version: int) -> Entry | None:
        """Return the entry by which a person rejected a version, if that is the last word on it."""
        last = next((entry for entry in reversed(self.entries) if entry.version == version), None)
        return last if last is not None and last.action == "reject" else None

    def then(self, entry: Entry) -> Self:
        """Return the history one entry later.

        A rollback down the line takes every version above its target out of it. One to a version elsewhere, and every
        override, stands on the champion it replaces, so that the next rollback undoes it. A rejection moves
        no champion.
        """
        version, withdrawn = entry.version, self.withdrawn
        if entry.action == "reject":
            return type(self)((*self.entries, entry), self.line, withdrawn | {version})
        line = (*(one for one in self.line if one != version), version)
        if entry.action == "rollback":
            if version in self.line and not entry.override:
                line = self.line[: self.line.index(version) + 1]
            withdrawn |= frozenset(self.line) - frozenset(line) | frozenset(self.line[-1:])
        return type(self)((*self.entries, entry), line, withdrawn - {version})

    def next_entry(
        self,
        action: Action,
        version: int,
        export: str,
        by: str,
        *,
        override: bool = False,
        reason: str = "",
        gate: str = "",
    ) -> Entry:
        """Return the entry that would put this decision on `version` after this history.

        Raises:
            ValueError: The reason is too long or not one line, or a person's decision lacks one or a name.
        """
        if (override or action in {"approve", "reject"}) and not (by.strip() and reason.strip()):
            what = "an override" if override else f"who would {action} a version"
            raise ValueError(f"{what} says who decided and why; one of them is empty")
        if len(reason) > _LONGEST_REASON or not reason.isprintable():
            raise ValueError(f"the reason: expected one line of at most {_LONGEST_REASON} characters")
        entry = Entry(
            action=action,
            version=version,
            base=self.champion,
            export=export,
            by=by[:_LONGEST_BY],
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            id=uuid.uuid4().hex[:16],
            before=self._top,
            override=override,
            reason=reason,
            gate=gate,
        )
        if len(entry.text) >= _LONGEST_ENTRY:
            raise ValueError("who decided and why: too long for the ledger; say it in fewer words")
        return entry

    def moved(self, entry: Entry) -> Entry:
        """Return an entry, made for the same champion at an earlier place, for the next place of this history."""
        return entry.model_copy(update={"before": self._top})

    @property
    def _top(self) -> str:
        return _sha256(self.entries[-1].text) if self.entries else ""


def in_brief(words: Sequence[str]) -> str:
    """Return sentences as one line that an entry has room for: the first of them, cut at a word."""
    line = textwrap.shorten("; ".join(words), _LONGEST_REASON, placeholder=" ...")
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def create_ledger(client: MlflowClient, experiment_id: str, name: str) -> str:
    """Return the id of a new, empty ledger run for the model `name`, after seeing that the store writes once.

    Raises:
        LedgerError: The store let a param be overwritten.
    """
    run_id: str = client.create_run(
        experiment_id, run_name=f"promotions of {name}", tags={LEDGER_FOR: name}
    ).info.run_id
    if not (write_once(client, run_id, _SELF_TEST, "first") and not write_once(client, run_id, _SELF_TEST, "second")):
        raise LedgerError("this MLflow store lets params be overwritten; promotion needs SQLite, PostgreSQL or MySQL")
    client.set_terminated(run_id)
    return run_id


def replay(params: Mapping[str, str], run_id: str, name: str) -> History:
    """Return the history that a ledger's params tell.

    Raises:
        LedgerError: An entry is missing or altered.
    """
    texts = {key: text for key, text in params.items() if key.startswith(_PREFIX)}
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
        if entry != history.moved(entry) or entry.base != history.champion or entry.text != text:
            raise LedgerError(f"the ledger of {name} (run {run_id}): an entry before number {number} was altered")
        history = history.then(entry)
    return history


def append(client: MlflowClient, run_id: str, history: History, entry: Entry) -> bool:
    """Write `entry` after `history`; False if someone else wrote that place first."""
    return write_once(client, run_id, _key(len(history.entries) + 1), entry.text)


def write_once(client: MlflowClient, run_id: str, key: str, text: str) -> bool:
    """Return whether `text` is what the param holds for good, also when the reply to the write was lost."""
    try:
        client.log_param(run_id, key, text, synchronous=True)
    except mlflow.exceptions.MlflowException:
        stored = client.get_run(run_id).data.params.get(key)
        if stored is None:
            raise
        return bool(stored == text)
    return True


def ledger_params(client: MlflowClient, run_id: str, name: str) -> dict[str, str]:
    """Return all that is written in the ledger of the model `name`, by key.

    Raises:
        LedgerError: The run is missing, deleted, another model's or not among the promotions; or another ledger of the
            model has entries, too: then somebody pointed the model to a ledger of his own.
    """
    experiment = client.get_experiment_by_name(PROMOTIONS)
    places = [] if experiment is None else [experiment.experiment_id]
    found = client.search_runs(places, f"tags.`{LEDGER_FOR}` = '{name}'", max_results=_RIVALS) if places else []
    params = {run.info.run_id: run.data.params for run in found}
    if run_id not in params:
        raise LedgerError(_why_missing(client, run_id, name))
    return undisputed(params, run_id, name)


def undisputed(written: Mapping[str, Mapping[str, str]], run_id: str, name: str) -> dict[str, str]:
    """Return what is written in the run `run_id`, one of all that call themselves the ledger of `name`.

    Raises:
        LedgerError: Another of them has entries, too.
        KeyError: It is none of them.
    """
    for other, params in written.items():
        if other != run_id and params.keys() - {_SELF_TEST}:
            raise LedgerError(f"{name} has two ledgers with entries, runs {run_id} and {other}: one of them is false")
    return dict(written[run_id])


def _why_missing(client: MlflowClient, run_id: str, name: str) -> str:
    try:
        run = client.get_run(run_id)
    except mlflow.exceptions.MlflowException as error:
        return f"the ledger of {name} (run {run_id}) cannot be read: {error.message}"
    if run.info.lifecycle_stage != "active":
        return f"the ledger of {name} was deleted; bring it back: mlflow runs restore --run-id {run_id}"
    if (other := run.data.tags.get(LEDGER_FOR)) != name:
        return f"run {run_id} is not the ledger of {name} but of {other}"
    return f"the ledger of {name} (run {run_id}) is not in the experiment {PROMOTIONS!r}, where ledgers are kept"


def _key(number: int) -> str:
    return f"{_PREFIX}{number:06d}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
