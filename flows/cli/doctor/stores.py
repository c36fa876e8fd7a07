"""The artifact store: whether it is there, takes our keys, and refuses to overwrite when asked to."""

from components.artifacts.bucket import BucketStorage
from components.artifacts.storage import StorageError, open_storage, probe_conditional_writes
from flows.cli.doctor.clocks import Offsets
from flows.cli.doctor.finding import Finding


def finding(place: str, ahead: Offsets) -> Finding:
    """Return what is to be said of the store at `place`, and note its clock."""
    try:
        storage = open_storage(place)
        if isinstance(storage, BucketStorage) and (seconds := storage.clock_offset_s()) is not None:
            ahead["the artifact store"] = seconds
        probe_conditional_writes(storage)
    except (StorageError, ValueError) as error:
        return Finding(what="Artifact store", state="problem", found=place, advice=str(error))
    return Finding(what="Artifact store", state="ok", found=f"{place}: reachable, refuses to overwrite when asked to")
