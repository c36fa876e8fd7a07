"""Costs: what a model's stages took, in hours, memory and bytes, and what that comes to in money."""

from collections.abc import Iterable

from pydantic import Field

from components.section import Section
from components.training.config import PricePerHour


class StageCost(Section):
    """What one stage of one model took. Work that a kill undid, and starting and ending, are not in it."""

    stage: str = Field(min_length=1)
    wall_s: float = Field(ge=0)
    core_s: float = Field(ge=0)
    """Processor seconds, all processes together."""
    card_s: float = Field(ge=0)
    """Seconds for which graphics cards were held, each counted."""
    images: int | None = None
    """Images seen; None for a stage that is not counted in images."""
    data_wait: float | None = None
    """Share of the time in which a process waited for its next batch; None likewise."""
    peak_bytes: float = Field(ge=0)
    """The most memory that each process held, all together."""
    peak_card_bytes: float | None = None
    """The same on graphics cards; None where there were none."""
    written_bytes: int = Field(ge=0)
    """Size of what it left in the store."""


def money(costs: Iterable[StageCost], price: PricePerHour | None) -> str:
    """Return what stages cost, such as "1.24 EUR"; empty where there is no price, or nothing was measured."""
    taken = list(costs)
    if price is None or not taken:
        return ""
    spent = sum(price.of(cost.core_s, cost.card_s) for cost in taken)
    return f"{spent:,.2f} {price.currency}" if spent >= 1 else f"{spent:.2g} {price.currency}"
