"""Decisions: a person's word on a version that the gate held, carried out as a promotion is, or kept as a refusal."""

from components.servers.redaction import redact_text
from components.tracking import registry
from components.tracking.client import MlflowClient
from components.tracking.ledger import Action, Entry
from components.tracking.standing import Standing, State, read_state
from components.tracking.succession import RefusedError, write_entry
from components.tracking.versions import KeptDecision


def approve(name: str, version: int, *, by: str, reason: str) -> Standing:
    """Put a held version in service, if the champion is still the one it was judged against.

    Calling it again after a crash is safe: a version that was approved and is in service stays so.

    Args:
        name: Name of the model.
        version: A version whose last decision is `hold`.
        by: Who decides, for the ledger.
        reason: Why, for the ledger.

    Raises:
        RefusedError: It is not held, or was judged against another champion than the present one.
        ChampionMovedError: Someone else changed the champion meanwhile.
        ValueError: There is no such version, or who and why are missing or too long.
        AlteredModelError: The version is not what the ledger sealed.
    """
    state = read_state(MlflowClient(), name)
    if state.history.champion == version:
        return _approved_before(state, version)
    held = _held(state, version)
    if held.judged_against != state.history.champion:
        raise RefusedError(
            f"{name} version {version} was judged against {_called(held.judged_against)}, and "
            f"{_called(state.history.champion)} is in service now; run its configuration again, which judges it anew"
        )
    entry = _write(state, "approve", version, held, by, reason)
    _tell(name, version, "promote", f"approved by {entry.by}: {entry.reason}", held)
    return registry.reconcile(name)


def reject(name: str, version: int, *, by: str, reason: str) -> Standing:
    """Refuse a held version for good: no run promotes it by itself any more. The champion stays.

    Args:
        name: Name of the model.
        version: A version whose last decision is `hold`.
        by: Who decides, for the ledger.
        reason: Why, for the ledger.

    Raises:
        RefusedError: It is not held, or is in service.
        ChampionMovedError: Someone else changed the champion meanwhile.
        ValueError: There is no such version, or who and why are missing or too long.
        AlteredModelError: The version is not what the ledger sealed.
    """
    state = read_state(MlflowClient(), name)
    if state.history.champion == version:
        raise RefusedError(f"{name} version {version} is in service; to take it out: kintsugi rollback {name}")
    held = _held(state, version)
    entry = state.history.rejection(version) or _write(state, "reject", version, held, by, reason)
    _tell(name, version, "reject", rejected(entry), held)
    return registry.reconcile(name)


def rejected(entry: Entry) -> str:
    """Return a rejection in words, as reasons give it."""
    return f"rejected by {entry.by}: {entry.reason}"


def _write(state: State, action: Action, version: int, held: KeptDecision, by: str, reason: str) -> Entry:
    found = state.version(version)
    entry = state.history.next_entry(
        action, version, found.export_digest, redact_text(by), reason=redact_text(reason), gate=held.brief
    )
    write_entry(MlflowClient(), state, found, entry)
    return entry


def _tell(name: str, version: int, verdict: str, words: str, held: KeptDecision) -> None:
    """Write to the version what a person made of the gate's word, before that word."""
    registry.record_decision(name, version, verdict, (words, *held.reasons), judged_against=held.judged_against)


def _held(state: State, version: int) -> KeptDecision:
    """Return the gate's word on a version.

    Raises:
        RefusedError: It is none that waits for a person.
    """
    decided, who = state.version(version).decision, f"{state.name} version {version}"
    if decided is not None and decided.verdict == "hold":
        return decided
    insist = f"to put it in service all the same: kintsugi rollback {state.name} --to {version} --override"
    if decided is None:
        raise RefusedError(f"{who} was not judged yet, so there is nothing to answer")
    if decided.verdict == "promote":
        raise RefusedError(f"{who} was let through already, and does not wait; to return to it: kintsugi rollback")
    raise RefusedError(f"{who} is rejected, not held ({'; '.join(decided.reasons)}); {insist} --by WHO --reason WHY")


def _approved_before(state: State, version: int) -> Standing:
    """Return the standing of a version that is in service, its tags as they were to be after its approval."""
    last, kept = state.history.entries[-1], state.version(version).decision
    if last.action == "approve" and last.version == version and kept is not None and kept.verdict == "hold":
        _tell(state.name, version, "promote", f"approved by {last.by}: {last.reason}", kept)
    return registry.reconcile(state.name)


def _called(champion: int | None) -> str:
    return "no champion" if champion is None else f"version {champion}"
