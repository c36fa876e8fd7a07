"""Photos: mend the picture of a file with a model, for the command line, HTTP and MLflow alike."""

import numpy as np
from jaxtyping import Bool

from components.pictures.formats import Format
from components.pictures.photo import Photo, Written
from components.pictures.provenance import Maker
from components.recipes.recipe import Restorer
from components.recipes.repair import repair


class MaskMissingError(ValueError):
    """The model only fills what is missing, and nobody said what is."""


def mended_file(
    restorer: Restorer,
    photo: Photo,
    hole: Bool[np.ndarray, "mask_height mask_width"] | None,
    form: Format,
    mask: str = "the mask",
    maker: Maker | None = None,
) -> Written:
    """Return the file of a photo with its missing pixels filled in; the others are restored where the model does that.

    Args:
        restorer: The network.
        photo: What to mend.
        hole: True where pixels are missing; None says that none is.
        form: What file.
        mask: What messages call the mask.
        maker: Who the file is to say has mended it; None says nothing.

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
    provenance = None if maker is None else maker.mended(photo.sha256, hole)
    return photo.written(repair(restorer, photo.pixels, missing), changed, form, provenance)


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
