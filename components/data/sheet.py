"""A sheet of example pictures, to see at a glance what a dataset holds."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP_PX = 2
_LARGEST_TILE_PX = 128


def contact_sheet(images: Sequence[NDArray[np.uint8]], columns: int = 6) -> bytes:
    """Return a PNG with the pictures in rows on white, each at most 128 pixels wide.

    Args:
        images: Square uint8 RGB pictures of one size; at least one.
        columns: Pictures per row.
    """
    tile = min(images[0].shape[0], _LARGEST_TILE_PX)
    pitch = tile + _GAP_PX
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * pitch + _GAP_PX, rows * pitch + _GAP_PX), "white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(picture, (_GAP_PX + column * pitch, _GAP_PX + row * pitch))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
