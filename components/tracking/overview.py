"""Overview: the state of every model at once, and of those whose ledger cannot be trusted why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.tracking import local
from components.tracking.client import MlflowClient
from components.tracking.ledger import LedgerError
from components.tracking.standing import State, known_models, read_state


@dataclass(frozen=True)
class Overview:
    """What the registry holds at one moment."""

    states: Mapping[str, State] = field(default_factory=dict)
    """By name, of the models whose ledger can be trusted."""
    distrusted: Mapping[str, str] = field(default_factory=dict)
    """Why the others cannot be told of, by name."""


def overview() -> Overview:
    """Return the state of every model; one bad ledger does not hide the others."""
    if (known := local.states()) is not None:
        return Overview(known)
    client = MlflowClient()
    states, distrusted = {}, {}
    for name in known_models(client):
        try:
            states[name] = read_state(client, name)
        except LedgerError as error:
            distrusted[name] = str(error)
    return Overview(states, distrusted)
