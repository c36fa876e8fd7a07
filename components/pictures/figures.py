"""Pictures made of pictures: grids, panels and contact sheets, from uint8 RGB arrays; what fits a page."""

import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont

from components.pictures.encoding import png

Pictures = UInt8[np.ndarray, "images height width 3"]
"""RGB."""
Picture = UInt8[np.ndarray, "rows columns 3"]
"""RGB; rows and columns of pixels."""

_GAP = (0xC6, 0xC3, 0xBC)
_PAPER = (0xFF, 0xFF, 0xFF)
_INK = (0x33, 0x33, 0x33)
_TEXT_PX = 13
_CELL_PX = 96
_LARGEST_TILE_PX = 128
_SHEET_GAP_PX = 2


def grid(
    images: Shaped[np.ndarray, "..."], columns: int | None = None, scale: int | None = None, gap_px: int = 2
) -> Picture:
    """Return `images` laid out row by row with thin grey lines between them; unfilled places are white.

    Args:
        images: `Pictures`, at least one.
        columns: Images in a row; None makes the grid about square.
        scale: Whole factor of nearest-neighbour enlargement; None enlarges small images to about 96 pixels.
        gap_px: Width of the lines, in pixels.

    Raises:
        ValueError: `images` are no pictures, or there are none.
    """
    big = _enlarged(_require_pictures(images), scale)
    count, height, width, _ = big.shape
    across = min(count, columns or math.ceil(math.sqrt(count)))
    down = math.ceil(count / across)
    sheet = np.full((down * (height + gap_px) - gap_px, across * (width + gap_px) - gap_px, 3), _GAP, dtype=np.uint8)
    for place in range(across * down):
        top, left = (place // across) * (height + gap_px), (place % across) * (width + gap_px)
        sheet[top : top + height, left : left + width] = big[place] if place < count else np.uint8(255)
    return sheet


def difference(truth: Pictures, restored: Pictures, gain: int = 4) -> Pictures:
    """Return the absolute difference, times `gain`, clipped to 255."""
    apart = np.abs(truth.astype(np.int16) - restored.astype(np.int16)) * gain
    clipped: Pictures = np.minimum(apart, 255).astype(np.uint8)
    return clipped


def panels(
    views: Sequence[tuple[str, UInt8[np.ndarray, "_images _height _width 3"]]], scale: int | None = None
) -> Picture:
    """Return a picture with a column for each view, its heading on top, and a row for each sample.

    Args:
        views: Pairs of heading and images; all images have one shape.
        scale: As in `grid`.

    Raises:
        ValueError: The views are not of one shape, or there are none.
    """
    shapes = {name: images.shape for name, images in views}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"panels need views of one shape, found {shapes}")
    together = np.stack([images for _, images in views], axis=1)
    body = grid(together.reshape(-1, *together.shape[2:]), columns=len(views), scale=scale)
    return _above([name for name, _ in views], body)


def shrunk(
    views: Sequence[tuple[str, UInt8[np.ndarray, "_images _side _side 3"]]], most_px: int = 192
) -> list[tuple[str, UInt8[np.ndarray, "_images _shrunk _shrunk 3"]]]:
    """Return views for `panels` whose square images have at most so many pixels a side; smaller ones stay as they are.

    Rows of large photographs would make files of many megabytes.
    """

    def small(image: Picture) -> UInt8[np.ndarray, "_rows _columns 3"]:
        return np.asarray(Image.fromarray(image).resize((most_px, most_px), Image.Resampling.LANCZOS))

    return [
        (name, images if images.shape[2] <= most_px else np.stack([small(image) for image in images]))
        for name, images in views
    ]


def contact_sheet(images: Sequence[UInt8[np.ndarray, "side side 3"]], columns: int = 6) -> Picture:
    """Return square pictures of one size, at least one, in rows on white, each at most 128 px wide."""
    tile = min(images[0].shape[0], _LARGEST_TILE_PX)
    pitch = tile + _SHEET_GAP_PX
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * pitch + _SHEET_GAP_PX, rows * pitch + _SHEET_GAP_PX), "white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(picture, (_SHEET_GAP_PX + column * pitch, _SHEET_GAP_PX + row * pitch))
    return np.asarray(sheet)


def encode_within(image: Picture, budget_bytes: int = 250_000) -> bytes:
    """Return an image as a PNG file or, where that is over the budget, as a WebP file of falling quality (90 to 60).

    Photographs in a large grid make PNG files of megabytes; a page that holds ten of them would be slow to open. What
    still is over the budget at quality 60 is returned as it is.
    """
    content = png(image, smallest=True)
    for quality in (90, 80, 70, 60):
        if len(content) <= budget_bytes:
            break
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="WEBP", quality=quality, method=4)
        content = buffer.getvalue()
    return content


def _require_pictures(images: Shaped[np.ndarray, "..."]) -> Pictures:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise ValueError(f"expected uint8 images (n, height, width, 3), found {images.dtype} {images.shape}")
    return images


def _enlarged(images: Pictures, scale: int | None) -> UInt8[np.ndarray, "images _height _width 3"]:
    factor = scale or max(1, _CELL_PX // images.shape[2])
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _above(names: Sequence[str], body: Picture) -> UInt8[np.ndarray, "_rows columns 3"]:
    return np.concatenate([_labels(names, body.shape[1]), body])


def _labels(names: Sequence[str], width_px: int) -> UInt8[np.ndarray, "rows {width_px} 3"]:
    """Return a white band with each name centred in its share of the width."""
    band = Image.new("RGB", (width_px, _TEXT_PX + 9), _PAPER)
    pen = ImageDraw.Draw(band)
    font = ImageFont.load_default(_TEXT_PX)
    share = width_px / len(names)
    for place, name in enumerate(names):
        pen.text((share * (place + 0.5), 3), _shortened(name, font, share - 4), fill=_INK, font=font, anchor="ma")
    return np.asarray(band)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: float) -> str:
    """Return `text`, shortened with an ellipsis until it is no wider than `width_px`."""
    if font.getlength(text) <= width_px:
        return text
    kept = next((n for n in range(len(text) - 1, 0, -1) if font.getlength(text[:n] + "…") <= width_px), 0)
    return text[:kept] + "…"
