"""The registry: versions with lineage, and which of them is challenger, champion and previous.

What is true is in the promotion ledger and in version tags; MLflow's aliases are copies, set again by `reconcile`.
"""

from collections.abc import Mapping, Sequence

from components.servers.redaction import redact_text
from components.tracking import local, seals, versions
from components.tracking.attempts import attempt_of
from components.tracking.cards import fact_tags, model_card, shown_with, version_card
from components.tracking.client import MlflowClient
from components.tracking.delivery import Alias, download
from components.tracking.ledger import Entry, LedgerError
from components.tracking.packaging import Export, log_export
from components.tracking.standing import (
    ModelRecord,
    Standing,
    State,
    find_or_create_model,
    is_registered,
    known_models,
    read_state,
    record_of,
    set_aliases,
)
from components.tracking.succession import ChampionMovedError, RefusedError, WithdrawnError, write_entry
from components.tracking.verification import Adoption, adopt, verify
from components.tracking.versions import KeptDecision, Version, VersionScores

__all__ = [
    "Adoption",
    "Alias",
    "ChampionMovedError",
    "Export",
    "KeptDecision",
    "RefusedError",
    "VersionScores",
    "WithdrawnError",
    "adopt",
    "attempt",
    "champion",
    "decision",
    "describe",
    "download",
    "facts",
    "models",
    "promote",
    "reconcile",
    "record_decision",
    "register",
    "rejection",
    "rollback",
    "run_of",
    "state",
    "verify",
]

_ROUNDS = 20


def register(
    name: str,
    export: Export,
    *,
    lineage: Mapping[str, str],
    run_id: str,
    scores: VersionScores | None = None,
    facts: Mapping[str, str] | None = None,
) -> int:
    """Return the version of this export: a new one, or the one that an earlier call made.

    The digests of its files are sealed in the ledger before the version exists.

    Args:
        name: Name of the model; created with its promotion ledger if missing.
        export: What was trained.
        lineage: Digests of data set, shards, corruption set, config and code.
        run_id: The run that trained it.
        scores: How good it is; None attaches nothing.
        facts: What else people should read there, such as the number of images.

    Raises:
        AlteredModelError: The version or its package is no longer what was sealed.
    """
    versions.demand_plain("model name", name)
    versions.demand_plain("export digest", export.digest)
    client = MlflowClient()
    interface = export.interface
    find_or_create_model(client, name, model_card(name, export.family, interface.purpose, interface.command))
    version = versions.first_of_digest(client, name, export.digest)
    state = read_state(client, name)
    if version is None:
        package = seals.seal_export(client, state.ledger, export.digest, log_export(name, export, run_id))
        versions.create_version(client, name, package, export, lineage, run_id)
        version = versions.first_of_digest(client, name, export.digest)
        if version is None:
            raise RuntimeError(f"{name}: the version just made of export {export.digest} is gone again")
        seals.seal_version(client, state.ledger, version)
    elif seals.export_is_sealed(state.params, export.digest):
        seals.seal_version(client, state.ledger, version)
    versions.set_version_tags(client, version, fact_tags(facts or {}))
    versions.attach_scores(client, version, scores or VersionScores())
    _describe(client, name, version.number)
    reconcile(name)
    return version.number


def run_of(name: str, version: int) -> str:
    """Return the id of the run that trained a version."""
    return versions.read_version(MlflowClient(), name, version).run_id


def record_decision(
    name: str, version: int, verdict: str, reasons: Sequence[str], *, judged_against: int | None
) -> None:
    """Write the gate's decision to the version. A rejected version is no longer the challenger."""
    client = MlflowClient()
    decided = KeptDecision(verdict, tuple(reasons), judged_against)
    versions.attach_decision(client, versions.read_version(client, name, version), decided)
    _describe(client, name, version)
    reconcile(name)


def decision(name: str, version: int) -> KeptDecision | None:
    """Return the gate's last decision about a version; None before the first."""
    return versions.read_version(MlflowClient(), name, version).decision


def facts(name: str, version: int) -> dict[str, str]:
    """Return what is worth saying of a version besides scores and lineage, by name."""
    return versions.read_version(MlflowClient(), name, version).facts


def rejection(name: str, version: int) -> Entry | None:
    """Return the ledger's entry by which a person rejected a version; None where that is not the last word on it."""
    return read_state(MlflowClient(), name).history.rejection(version)


def attempt(name: str, version: int, days: int) -> int:
    """Return which attempt within so many days a version is, from 1."""
    return attempt_of(read_state(MlflowClient(), name), version, days)


def promote(name: str, version: int, *, judged_against: int | None, by: str = "", again: bool = False) -> Standing:
    """Make `version` champion, if the champion is still the one it was judged against.

    The ledger's entry holds what the gate said of it. Calling it again after a crash is safe: a version that is
    champion already stays so.

    Args:
        name: Name of the model.
        version: The version to put in service.
        judged_against: The champion it was compared with; None if there was none.
        by: Who or what decided, for the ledger.
        again: Also promote a version that was rejected or rolled back; a person's choice, never a schedule's.

    Raises:
        ChampionMovedError: The champion is another one now.
        WithdrawnError: The version was rejected or rolled back before.
        ValueError: There is no such version.
    """
    client = MlflowClient()
    state = read_state(client, name)
    if state.history.champion != version:
        candidate = state.version(version)
        if version in state.history.withdrawn and not again:
            raise WithdrawnError(name, state.history, version)
        if state.history.champion != judged_against:
            raise ChampionMovedError(name, judged_against, state.history.champion)
        entry = state.history.next_entry(
            "promote", version, candidate.export_digest, redact_text(by), gate=_gate_on(candidate)
        )
        write_entry(client, state, candidate, entry)
    return reconcile(name)


def rollback(name: str, to: int | None = None, *, by: str = "", reason: str = "", override: bool = False) -> Standing:
    """Put the previous champion, or version `to`, in service. `promote` then refuses what was taken out of it.

    Args:
        name: Name of the model.
        to: A version; None is the previous champion.
        by: Who decides, for the ledger.
        reason: Why, for the ledger; an override needs one.
        override: Also take a version that the gate did not let through. A plain rollback undoes it.

    Raises:
        ChampionMovedError: Someone else changed the champion meanwhile.
        RefusedError: The gate did not let `to` through, or never judged it.
        ValueError: There is nothing to return to, or an override lacks who and why.
        AlteredModelError: The version is not what the ledger sealed.
    """
    client = MlflowClient()
    state = read_state(client, name)
    target = state.previous if to is None else to
    if state.history.champion is None or target is None:
        raise ValueError(f"{name}: no earlier champion to return to; the champion is {state.history.champion}")
    if target != state.history.champion:
        version = state.version(target)
        if to is not None and not override:
            _demand_gate_passed(version)
        entry = state.history.next_entry(
            "rollback",
            target,
            version.export_digest,
            redact_text(by),
            override=override,
            reason=redact_text(reason),
            gate=_gate_on(version) if override else "",
        )
        write_entry(client, state, version, entry)
    return reconcile(name)


def reconcile(name: str) -> Standing:
    """Make MLflow's aliases say what the ledger says, and return it. Safe to call at any time, by anyone.

    Raises:
        LedgerError: The ledger cannot be trusted, or the champion it names was deleted.
    """
    client = MlflowClient()
    state = read_state(client, name)
    for _ in range(_ROUNDS):
        standing = state.standing
        if standing.champion is not None:
            if standing.champion not in state.versions:
                lost = "lost the tags it was registered with" if standing.champion in state.strangers else "was deleted"
                raise LedgerError(f"{name}: its champion, version {standing.champion}, {lost}; roll back")
            mark = {"kintsugi.ledger_entry": str(len(state.history.entries))}
            versions.set_version_tags(client, state.versions[standing.champion], mark)
        set_aliases(client, name, standing)
        _show_champion(client, state)
        state = read_state(client, name)
        if state.standing == standing:
            return standing
    raise RuntimeError(f"{name}: the champion changed {_ROUNDS} times while its aliases were set; try again")


def champion(name: str) -> int | None:
    """Return the version in service, by the ledger and not by the alias; None before the first promotion."""
    return read_state(MlflowClient(), name).standing.champion


def models() -> list[ModelRecord]:
    """Return every model that has a promotion ledger, by name."""
    if (states := local.states()) is None:
        client = MlflowClient()
        states = {name: read_state(client, name) for name in known_models(client)}
    return [record_of(name, state) for name, state in states.items()]


def state(name: str) -> State | None:
    """Return all that the standing of the model `name` follows from; None if no model of that name is registered."""
    states = local.states()
    if states is not None and (name in states or local.is_registered(name) is False):
        return states.get(name)
    client = MlflowClient()
    return read_state(client, name) if is_registered(client, name) else None


def _demand_gate_passed(version: Version) -> None:
    decided = version.decision
    if decided is not None and decided.verdict == "promote":
        return
    why = f"the gate said {decided.verdict} ({'; '.join(decided.reasons)})" if decided else "the gate never judged it"
    raise RefusedError(
        f"{version.name} version {version.number}: {why}; to put it in service all the same: "
        f"kintsugi rollback {version.name} --to {version.number} --override --by WHO --reason WHY"
    )


def _gate_on(version: Version) -> str:
    """Return the last decision about a version in one line, for the ledger; nothing before the first."""
    return version.decision.brief if version.decision else ""


def _show_champion(client: MlflowClient, state: State) -> None:
    """Make MLflow's description of a model show the card of its champion."""
    shown = client.get_registered_model(state.name).description or ""
    champion = state.standing.champion
    if (card := shown_with(shown, None if champion is None else state.versions[champion])) != shown:
        client.update_registered_model(state.name, card)


def describe(name: str, number: int) -> None:
    """Make MLflow's descriptions of a version, and of its model if it is in service, say what its tags say."""
    client = MlflowClient()
    _describe(client, name, number)
    _show_champion(client, read_state(client, name))


def _describe(client: MlflowClient, name: str, number: int) -> None:
    """Make MLflow's description of a version say what its tags say."""
    version = versions.read_version(client, name, number)
    if (card := version_card(version)) != version.description:
        client.update_model_version(name, str(number), card)
