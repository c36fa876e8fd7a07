"""Succession: the one way into the ledger: to its next place, if the champion is still the one decided against."""

from components.tracking import seals
from components.tracking.client import MlflowClient
from components.tracking.ledger import Entry, History, append
from components.tracking.standing import State, read_state
from components.tracking.versions import Version


class ChampionMovedError(RuntimeError):
    """Someone else changed the champion; judge the challenger against the present one."""

    def __init__(self, name: str, judged_against: int | None, champion: int | None) -> None:
        super().__init__(
            f"{name}: expected version {judged_against} in service, found {champion}; judge against that one"
        )
        self.champion = champion


class WithdrawnError(ValueError):
    """A version that was rejected or rolled back is not put in service again without a person's word."""

    def __init__(self, name: str, history: History, version: int) -> None:
        rejected = history.rejection(version)
        what = "was rolled back before" if rejected is None else f"was rejected by {rejected.by} ({rejected.reason})"
        super().__init__(f"{name} {version} {what}; only a person may promote it again")


class RefusedError(ValueError):
    """A version that the gate did not let through is put in service only by a person who says who he is and why."""


def write_entry(client: MlflowClient, state: State, version: Version, entry: Entry) -> None:
    """Write the next ledger entry about a version.

    If someone else wrote that place first, the same champion as the outcome is accepted, and an entry that left the
    champion as it was is stepped over.

    Args:
        client: The door to MLflow.
        state: What the entry was made from.
        version: What it is about.
        entry: What is decided.

    Raises:
        ChampionMovedError: Someone else changed the champion.
        WithdrawnError: Someone else rejected the version.
        AlteredModelError: The version is not what the ledger sealed.
    """
    seals.demand_sealed(state, version)
    while not append(client, state.ledger, state.history, entry):
        now = read_state(client, version.name)
        if now.history.champion != state.history.champion:
            if now.history.champion == version.number and entry.action != "reject":
                return
            raise ChampionMovedError(version.name, state.history.champion, now.history.champion)
        if version.number in now.history.withdrawn - state.history.withdrawn:
            raise WithdrawnError(version.name, now.history, version.number)
        state, entry = now, now.history.moved(entry)
