"""Packed: many pieces of bytes as one array, which pickle hands from process to process without copying it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Packed:
    """Pieces of bytes, one behind the other."""

    joined: UInt8[np.ndarray, " bytes"]
    lengths: Sequence[int]

    @classmethod
    def of(cls, pieces: Sequence[bytes]) -> Self:
        """Return them packed."""
        return cls(np.frombuffer(b"".join(pieces), np.uint8), [len(piece) for piece in pieces])

    def pieces(self) -> Iterator[bytes]:
        """Yield them one by one."""
        start = 0
        for length in self.lengths:
            yield self.joined[start : start + length].tobytes()
            start += length
