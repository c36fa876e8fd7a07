"""Photos: mend the picture of a file with a model, for the command line, HTTP and MLflow alike."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from PIL import Image

from components.pictures.formats import Format
from components.pictures.photo import Photo, Written
from components.pictures.provenance import Maker
from components.recipes.recipe import Restorer
from components.recipes.repair import Picture, repair


class MaskMissingError(ValueError):
    """The model only fills what is missing, and nobody said what is."""


@dataclass(frozen=True)
class Mended:
    """A photo, mended."""

    photo: Photo
    """As it was."""
    pixels: Picture
    changed: Bool[np.ndarray, "height width"]
    """True where pixels may be others than they were."""
    hole: Bool[np.ndarray, "height width"] | None
    """True where pixels were missing; None where nobody said."""

    @property
    def image(self) -> Image.Image:
        """The picture, in the mode of the photo or in one that can hold it."""
        return self.photo.mended(self.pixels, self.changed)

    def written(self, form: Format, maker: Maker | None) -> Written:
        """Return the file, which says that `maker` has mended it; None says nothing."""
        provenance = None if maker is None else maker.mended(self.photo.sha256, self.hole)
        return self.photo.written(self.pixels, self.changed, form, provenance)


def mended_photo(
    restorer: Restorer,
    photo: Photo,
    hole: Bool[np.ndarray, "mask_height mask_width"] | None,
    mask: str = "the mask",
    side_px: int | None = None,
) -> Mended:
    """Return a photo with its missing pixels filled in; the others are restored where the model does that.

    Args:
        restorer: The network.
        photo: What to mend.
        hole: True where pixels are missing; None says that none is.
        mask: What messages call the mask.
        side_px: At which size the network sees wide holes, as in `repair`.

    Raises:
        MaskMissingError: The model only fills missing pixels, and `hole` is None.
        ValueError: It only fills them and none is missing, or all are, or photo and mask differ in size.
    """
    if hole is None and not restorer.restores_known:
        raise MaskMissingError("the model only fills missing pixels")
    missing = np.zeros(photo.pixels.shape[:2], np.bool_) if hole is None else hole
    if missing.shape == photo.pixels.shape[:2]:  # `repair` refuses others
        _demand_work(missing, restorer, mask)
    changed = np.ones_like(missing) if restorer.restores_known else missing
    return Mended(photo, repair(restorer, photo.pixels, missing, side_px=side_px), changed, hole)


def mended_file(
    restorer: Restorer,
    photo: Photo,
    hole: Bool[np.ndarray, "mask_height mask_width"] | None,
    form: Format,
    mask: str = "the mask",
    maker: Maker | None = None,
) -> Written:
    """Return the file of a mended photo in the format `form`, which says that `maker` has mended it.

    All else is as in `mended_photo`.
    """
    return mended_photo(restorer, photo, hole, mask).written(form, maker)


def _demand_work(missing: Bool[np.ndarray, "height width"], restorer: Restorer, mask: str) -> None:
    if missing.all():
        raise ValueError(f"{mask}: it marks every pixel, so that nothing is known to mend from")
    if not missing.any() and not restorer.restores_known:
        raise ValueError(f"{mask}: it marks no pixel, so that there is nothing to mend")


def demand_size(photo: Photo, missing: Bool[np.ndarray, "mask_height mask_width"], mask: str) -> None:
    """Raise ValueError unless a mask, which messages call `mask`, has the size of its photo."""
    (height, width), (rows, columns) = photo.pixels.shape[:2], missing.shape
    if (rows, columns) != (height, width):
        raise ValueError(f"{mask}: {columns} x {rows} pixels, expected those of the picture, {width} x {height}")
