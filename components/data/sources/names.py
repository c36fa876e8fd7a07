"""Names in order, of a folder that may hold more of them than memory should."""

from collections.abc import Iterator
from itertools import chain, islice

from components.data.scratch import Scratch, Table
from components.data.texts import read, stored

_HELD = 2**14
"""Names that are sorted in memory; of more, none is held."""


def in_order(names: Iterator[str]) -> Iterator[str]:
    """Yield names sorted as texts are."""
    first = list(islice(names, _HELD + 1))
    if len(first) <= _HELD:
        yield from sorted(first)
        return
    with Scratch() as scratch:
        table = Table(scratch, "names", "name BLOB")
        for name in chain(first, names):
            table.add(stored(name))
        table.flush()
        first.clear()
        for (name,) in scratch.rows("SELECT name FROM names ORDER BY name"):
            yield read(name)
