"""Chronicle: what became of a model's versions, event by event, in sentences."""

from collections.abc import Iterator
from typing import Literal

from components.section import Section
from components.tracking import registry
from components.tracking.cards import HEADLINE
from components.tracking.decisions import rejected
from components.tracking.ledger import Action, Entry
from components.tracking.standing import State
from components.tracking.versions import FORGOTTEN_AT, SAW_FORGOTTEN, KeptDecision, Version

GATE = "gate"
_VERBS = {
    "promote": "promoted version {version}, which replaces {before}",
    "rollback": "returned to version {version} from {before}",
    "override": "put version {version} in service in place of {before}, without the gate's consent",
    "approve": "approved version {version}, which the gate had held; it replaces {before}",
    "reject": "rejected version {version}; {before} stays in service",
    "hold": "held version {version}, judged against {before}",
    "forget": "had images forgotten that version {version} learnt from; they stay in its weights",
}


class Event(Section):
    """One thing that was decided on a version."""

    at: str
    """UTC time, ISO 8601; empty where it is not known."""
    action: Action | Literal["override", "hold", "forget"]
    """What was done; an override is a rollback against the gate's word, a hold leaves it to a person; forget: images
    that the version learnt from are forgotten, which changes no champion."""
    version: int
    """The version it was done to."""
    champion_before: int | None
    """The version in service until then, which it was judged against."""
    champion: int | None
    """The version in service from then on."""
    by: str
    """Who or what decided."""
    reason: str
    """Why, in the words of the person who decided; empty where the gate did."""
    gate: str
    """What the gate said, its verdict first; empty where it was not asked."""
    score: str
    """The version's score that decides, with its interval and the best baseline; empty where it has none."""
    source: Literal["ledger", "version"]
    """Where it is written: in the ledger, which nobody can edit, or in the tags of the version."""

    @property
    def sentence(self) -> str:
        """It in words: when, who, what, against which champion, why, and the score where the reasons hold none."""
        before = "no champion" if self.champion_before is None else f"version {self.champion_before}"
        told = _VERBS[self.action].format(version=self.version, before=before)
        when = f"{self.at[:16].replace('T', ' ')} UTC" if self.at else "at a time not written down"
        why = self.reason or self.gate.partition(": ")[2]
        who = "the gate" if self.by == GATE else self.by or "somebody"
        parts = [f"{when}  {who} {told}.", _ended(f"Why: {why}") if why else ""]
        if self.reason and self.gate:
            parts.append(_ended(f"The gate had said {self.gate}"))
        if self.score and not self.gate:
            parts.append(f"Score: {self.score}.")
        return " ".join(part for part in parts if part)


def _ended(words: str) -> str:
    return words if words.endswith(".") else f"{words}."


def history(name: str) -> list[Event]:
    """Return what was decided on a model's versions, newest last.

    Changes of champion and what people decided come from the ledger. What the gate held or rejected and nobody
    answered is added from the versions, which hold the last such word alone.

    Raises:
        ValueError: There is no such model.
        LedgerError: Its ledger cannot be trusted.
    """
    state = registry.state(name)
    if state is None:
        known = ", ".join(record.name for record in registry.models()) or "none"
        raise ValueError(f"no model {name!r} is registered; there are: {known}")
    return sorted([*_written(state), *_unanswered(state), *_forgotten(state)], key=lambda event: event.at)


def _written(state: State) -> Iterator[Event]:
    for entry in state.history.entries:
        version = state.versions.get(entry.version)
        yield Event(
            at=entry.at,
            action="override" if entry.override else entry.action,
            version=entry.version,
            champion_before=entry.base,
            champion=entry.base if entry.action == "reject" else entry.version,
            by=entry.by,
            reason=entry.reason,
            gate=entry.gate or _remembered(entry, version),
            score=_score(version),
            source="ledger",
        )


def _remembered(entry: Entry, version: Version | None) -> str:
    """Return what the gate said at a promotion whose entry, of an earlier release, does not hold it."""
    decided = None if version is None else version.decision
    if entry.action != "promote" or decided is None or decided.verdict != "promote":
        return ""
    return decided.brief if decided.judged_against == entry.base else ""


def _unanswered(state: State) -> Iterator[Event]:
    refused = {(entry.version, rejected(entry)) for entry in state.history.entries if entry.action == "reject"}
    for number, version in sorted(state.versions.items()):
        decided = version.decision
        if decided is None or decided.verdict == "promote" or (number, *decided.reasons[:1]) in refused:
            continue
        yield _by_gate(number, version, decided)


def _by_gate(number: int, version: Version, decided: KeptDecision) -> Event:
    return Event(
        at=decided.at,
        action="hold" if decided.verdict == "hold" else "reject",
        version=number,
        champion_before=decided.judged_against,
        champion=decided.judged_against,
        by=GATE,
        reason="",
        gate=decided.brief,
        score=_score(version),
        source="version",
    )


def _forgotten(state: State) -> Iterator[Event]:
    for number, version in sorted(state.versions.items()):
        if at := version.tags.get(FORGOTTEN_AT):
            champion = next((entry.version for entry in reversed(state.history.entries) if entry.moves_by(at)), None)
            yield Event(
                at=at,
                action="forget",
                version=number,
                champion_before=champion,
                champion=champion,
                by="",
                reason=version.facts.get(SAW_FORGOTTEN, ""),
                gate="",
                score="",
                source="version",
            )


def _score(version: Version | None) -> str:
    return "" if version is None else version.tags.get(HEADLINE, "")
