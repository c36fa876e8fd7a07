"""Interface: the columns that a served model takes and gives, as MLflow's clients see them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from components.pictures.encoding import png

_EXAMPLE_PX = 32


class Column(NamedTuple):
    """One value of each request, or of each answer."""

    name: str
    kind: Literal["long", "string"]
    """MLflow's name of its type; pictures are base64 text of PNG files."""
    required: bool = True


@dataclass(frozen=True)
class Interface:
    """What a served model does, takes and gives; it follows from what the model's producer is."""

    purpose: str
    """What it does, e.g. "makes images"."""
    command: str
    """The command that asks a champion for it."""
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    example: Mapping[str, Sequence[int | str]]
    """Values of each input column for two requests or one."""


def generating(classes: Sequence[str] = ()) -> Interface:
    """Return the interface of a Generator, that of a ClassGenerator where there are `classes`.

    The column `class` is there without classes, too: else MLflow would drop it from requests, and whoever asks such a
    model for a class would not hear that it knows none.
    """
    example: dict[str, Sequence[int | str]] = {"seed": [1, 2]}
    if classes:
        example["class"] = [classes[0], classes[-1]]
    return Interface(
        purpose="makes images",
        command="kintsugi generate",
        inputs=(Column("seed", "long"), Column("class", "string", required=False)),
        outputs=(Column("image", "string"),),
        example=example,
    )


def mending() -> Interface:
    """Return the interface of a Restorer."""
    return Interface(
        purpose="mends images",
        command="kintsugi repair IMAGE",
        inputs=(Column("image", "string"), Column("mask", "string")),
        outputs=(Column("image", "string"),),
        example={"image": [_picture(level=128, square_px=0)], "mask": [_picture(level=0, square_px=_EXAMPLE_PX // 2)]},
    )


def _picture(level: int, square_px: int) -> str:
    """Return a picture of one level of grey, but for a white square in its corner, as base64 PNG."""
    image = np.full((_EXAMPLE_PX, _EXAMPLE_PX, 3), level, np.uint8)
    image[:square_px, :square_px] = 255
    return base64.b64encode(png(image)).decode()
