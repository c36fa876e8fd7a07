"""Keys of a split's images, by number, as they lie in its index: read where they are asked for, and not held."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Int64, Shaped

from components.data.rows_on_disk import AT_ONCE


class Keys(Sequence[str]):
    """The texts of keys that are packed."""

    __hash__ = None  # type: ignore[assignment]  # as a list, which it equals

    def __init__(self, packed: Shaped[np.ndarray, " images"]) -> None:
        self._packed = packed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._packed)

    def __iter__(self) -> Iterator[str]:
        """Yield all in order."""
        for start in range(0, len(self), AT_ONCE):
            yield from _texts(self._packed[start : start + AT_ONCE])

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same keys in the same order."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(one == another for one, another in zip(self, other, strict=True))

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return one key, or a list of several."""
        return _texts(self._packed[place]) if isinstance(place, slice) else str(self._packed[place].decode())


@dataclass(frozen=True)
class ChosenKeys(Sequence[str]):
    """Those of some images, by their new numbers."""

    whole: Sequence[str]
    numbers: Int64[np.ndarray, " images"]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return one key, or a list of several."""
        if isinstance(place, slice):
            return [self.whole[number] for number in self.numbers[place].tolist()]
        return self.whole[int(self.numbers[place])]


def _texts(packed: Shaped[np.ndarray, " some"]) -> list[str]:
    return [key.decode() for key in packed.tolist()]
