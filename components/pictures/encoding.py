"""Encoding: the bytes of the PNG file that holds a picture."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def png(
    picture: UInt8[np.ndarray, "height width *channels"] | Image.Image, level: int = -1, *, smallest: bool = False
) -> bytes:
    """Return a picture as a PNG file without metadata.

    Args:
        picture: With three channels or none, or Pillow's own.
        level: zlib's effort, from 0 (none) to 9; -1 leaves it to zlib.
        smallest: Make the smallest file, which takes several times as long, whatever `level` says.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=level, optimize=smallest)
    return buffer.getvalue()
