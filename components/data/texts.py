"""Texts: what rows refer to by number, such as classes, captions and reasons, each once, on disk."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from components.data.scratch import Scratch

_HELD = 1024
"""Texts whose numbers are held: classes and formats come again and again, captions do not."""


class Texts:
    """Texts by number; number 0 is the empty text."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._count = 0
        scratch.run("CREATE TABLE texts (number INTEGER PRIMARY KEY, text BLOB UNIQUE)")
        self._number = lru_cache(_HELD)(self._found_number)
        self._text = lru_cache(_HELD)(self._found_text)
        self.number("")

    def number(self, text: str | None) -> int:
        """Return the number of a text, a new one if it was not seen yet."""
        return self._number(text or "")

    def text(self, number: int) -> str:
        """Return the text of a number that was given."""
        return self._text(number)

    def write(self, path: Path) -> None:
        """Write all texts in the order of their numbers, as a JSON list."""
        with path.open("w", encoding="utf-8") as file:
            for number, text in enumerate(self._all()):
                file.write((", " if number else "[") + json.dumps(text))
            file.write("]")

    def _all(self) -> Iterator[str]:
        return (read(text) for (text,) in self._scratch.rows("SELECT text FROM texts ORDER BY number"))

    def _found_number(self, text: str) -> int:
        known = self._scratch.first("SELECT number FROM texts WHERE text = ?", stored(text))
        if known is not None:
            return int(known[0])
        self._scratch.run("INSERT INTO texts VALUES (?, ?)", self._count, stored(text))
        self._count += 1
        return self._count - 1

    def _found_text(self, number: int) -> str:
        known = self._scratch.first("SELECT text FROM texts WHERE number = ?", number)
        if known is None:
            raise KeyError(f"no text has the number {number}")
        return read(known[0])


def stored(text: str) -> bytes:
    """Return a text as bytes that sort as it does; captions may hold halves of characters, which JSON allows."""
    return text.encode("utf-8", "surrogatepass")


def read(kept: bytes) -> str:
    """Return the text that was stored."""
    return kept.decode("utf-8", "surrogatepass")
