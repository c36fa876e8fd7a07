"""Ordered pairs (low, high) that config fields draw from."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

_Number = TypeVar("_Number", int, float)


def _ordered(pair: tuple[_Number, _Number]) -> tuple[_Number, _Number]:
    if pair[0] > pair[1]:
        raise ValueError(f"found ({pair[0]}, {pair[1]}), expected the lower number first")
    return pair


_Fraction = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1, le=10_000)]

FractionRange = Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)]
"""Two fractions in [0, 1], the lower first."""

CountRange = Annotated[tuple[_Count, _Count], AfterValidator(_ordered)]
"""Two counts of at least 1, the lower first; both ends are drawn."""
