"""Kintsugi for Python programs: `from kintsugi import champion`. This is all that is promised to stay as it is."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.champions.champion import Champion, champion

__all__ = ["Champion", "champion"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562: whatever is asked for
    """Return what is asked for, imported now: a program that only names kintsugi should not wait for more."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from components.champions import champion

    return getattr(champion, name)
