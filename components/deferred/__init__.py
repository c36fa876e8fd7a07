"""Deferred: libraries that take seconds to import, imported when they are first used and not before."""

from importlib import import_module
from typing import Any


def later(name: str) -> Any:  # noqa: ANN401 - stands for a module
    """Return what stands for the module `name` and imports it when anything of it is asked for."""
    return _Later(name)


class _Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, part: str) -> Any:  # noqa: ANN401 - whatever the module has under that name
        found = getattr(import_module(self._name), part)
        setattr(self, part, found)  # the next time it is asked for it is here
        return found

    def __repr__(self) -> str:
        return f"<{self._name}, imported when it is used>"
