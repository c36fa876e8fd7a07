"""Roots: what is in use, by digest, and why: versions, runs and records of these days, pinned sets, newest data."""

import json
from collections.abc import Iterator
from contextlib import suppress

from components.artifacts import Store
from components.artifacts.artifact import digests_in
from components.artifacts.reach import RECORDS
from components.tracking.reached import digests_in_use, digests_of_runs, standing_states

_PINNED = "evaluation"
_LATEST = {"data": "the newest data", "diary": "the last night that ended"}
_ENDED = "finished"


def roots_of(store: Store, since: float) -> dict[str, str]:
    """Return why digests are in use. A digest may be one of something that is no artifact.

    Args:
        store: Where the records are.
        since: What runs and records name that are younger is in use; in seconds since 1970.

    Raises:
        LedgerError: A model's ledger cannot be trusted, so nobody knows what is in service.
    """
    found: dict[str, str] = {}
    for state in standing_states().values():
        for digest, why in digests_in_use(state):
            found[digest] = why
    for text, why in (*_recorded(store, since), *digests_of_runs(since)):
        for digest in digests_in(text):
            found.setdefault(digest, why)
    return found


def _recorded(store: Store, since: float) -> Iterator[tuple[str, str]]:
    """Yield what records say that matter, and why they do."""
    lists: dict[str, list[str]] = {}
    for one in store.storage.entries(f"{RECORDS}/"):
        name, _, _ = one.key.removeprefix(f"{RECORDS}/").rpartition("/")
        lists.setdefault(name, []).append(one.key)
        if name.startswith(f"{_PINNED}/"):
            yield _read(store, one.key), f"a pinned evaluation set of {name.removeprefix(f'{_PINNED}/')}"
        elif one.at > since:
            yield _read(store, one.key), f"a record of these days, {name}"
    for name, keys in lists.items():
        if (why := _LATEST.get(name.partition("/")[0])) is not None:
            yield _latest(store, keys), f"{why} of {name.partition('/')[2]}"


def _latest(store: Store, keys: list[str]) -> str:
    """Return the last record of a list, and where nights are told of, back to the last that ended."""
    said = ""
    for key in reversed(keys):
        text = _read(store, key)
        said += text
        became = json.loads(text).get("became", _ENDED)
        if became == _ENDED:
            break
    return said


def _read(store: Store, key: str) -> str:
    with suppress(FileNotFoundError):
        return store.storage.read_bytes(key).decode()
    return "{}"
