"""Delivery: a version on this machine, whose files are those that the ledger sealed."""

from pathlib import Path
from typing import Literal

from components.tracking import seals
from components.tracking.client import MlflowClient
from components.tracking.packaging import SERVING, AlteredModelError, Delivery, fetch
from components.tracking.standing import read_state

Alias = Literal["champion", "challenger", "previous"]


def download(name: str, which: int | Alias, to: Path, *, loader_module: str = SERVING) -> Delivery:
    """Copy a version to the folder `to`, checked against the ledger; reuse a whole copy.

    The ledger says which export the version is and what its files are, so that neither edited files nor edited tags
    are believed; and a package that would run code other than `loader_module` is refused.

    Args:
        name: Name of the model.
        which: A version, or the part it plays by the ledger.
        to: A folder of this version alone; appears only when every file was checked.
        loader_module: The module that its MLmodel may name.

    Raises:
        AlteredModelError: A file is missing, added or altered, or the tags are not what the ledger sealed.
        LedgerError: The ledger cannot be trusted.
        ValueError: No such version, or something else lies at `to`.
    """
    state = read_state(MlflowClient(), name)
    parts = vars(state.standing)
    number = which if isinstance(which, int) else parts[which]
    if number is None:
        raise ValueError(f"{name} has no {which} yet")
    version = state.version(number)
    seals.demand_sealed(state, version)
    try:
        return Delivery(number, to, fetch(version.model_id, version.files, to, loader_module))
    except AlteredModelError as error:
        raise AlteredModelError(f"{name} {number} was altered after it was registered: {error}") from error
