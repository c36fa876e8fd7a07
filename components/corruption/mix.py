"""CorruptionMix: which damage an image gets, drawn from its own random stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field, field_validator, model_validator

from components.corruption.area import Allowed, allowed_pixels, fitted
from components.corruption.degradation import Image, check_image
from components.corruption.registry import DegradationConfig, MaskConfig
from components.corruption.shapes import BoxesConfig, Mask
from components.corruption.strokes import StrokesConfig
from components.section import Section
from components.seeding import numpy_generator

_TRIES = 100


@dataclass(frozen=True)
class Corrupted:
    """An image after a corruption."""

    image: Image
    """Square: degraded where known, the mix's fill where missing."""
    missing: Mask
    """True where missing."""
    recipe: dict[str, Any]
    """What was done, as JSON: degradations, mask settings, tries, whether the mask was fitted, share missing."""


class CorruptionMix(Section):
    """What may happen to an image: one mask of one kind if there are any, and any of the listed degradations.

    The default is LaMa's family of masks in equal parts (Suvorov et al. 2021, https://arxiv.org/abs/2109.07161). All
    sizes are fractions of the side, so that the same settings hide the same share at 32 px and at 512 px.
    """

    masks: tuple[MaskConfig, ...] = (
        StrokesConfig(style="thin"),
        StrokesConfig(style="medium"),
        StrokesConfig(style="thick"),
        BoxesConfig(),
    )
    """Kinds of masks; each image gets one, drawn by weight. None at all: nothing is missing but what defects hide."""
    area: tuple[float, float] = (0.0, 0.6)
    """Share of the image that is missing: more than the first, at most the second. Without masks the first is not
    enforced."""
    degradations: tuple[DegradationConfig, ...] = ()
    """Applied to the whole image in this order, those that hide pixels last."""
    degrade_fraction: float = Field(default=0.5, ge=0, le=1)
    """Share of images that each listed degradation is applied to, independently of the others."""
    mark_defects: bool = True
    """Whether pixels that scratches and dead pixels hide count as missing. If not, they are shown as they are and a
    model that restores everything has to find them itself."""
    fill: int = Field(default=127, ge=0, le=255)
    """Value shown in missing pixels, in all three channels."""

    @field_validator("area")
    @classmethod
    def _area_is_a_range(cls, area: tuple[float, float]) -> tuple[float, float]:
        allowed_pixels(area, 10**9)
        return area

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.masks and not self.degradations:
            raise ValueError("found neither masks nor degradations, expected at least one of either")
        return self

    def corrupt(self, image: Image, rng: np.random.Generator, area: tuple[float, float] | None = None) -> Corrupted:
        """Return the image with something missing.

        A mask of the drawn kind is redrawn up to 100 times until its area fits; if none does, the nearest of them is
        grown or shrunk at its rim to the middle of the range. A defect that would by itself exceed the range is left
        out, and the recipe says so.

        Args:
            image: RGB, square, at least 8 px.
            rng: The only source of randomness.
            area: (low, high] in fractions of the image; None for the mix's own. Without masks `low` is not enforced.

        Raises:
            ValueError: The image is not square uint8 RGB, is under 8 px, or no whole number of its pixels is in `area`.
        """
        check_image(image)
        side = image.shape[0]
        if image.shape[1] != side:
            raise ValueError(f"found an image of {side} x {image.shape[1]} px, expected a square one")
        bounds = self.area if area is None else area
        allowed = allowed_pixels(bounds, side * side)
        degraded, defects, steps = self._degraded(image, rng, allowed)
        missing, mask_recipe = self._missing(side, rng, defects, allowed)
        shown = _filled(degraded, missing, self.fill)
        recipe = {
            "degradations": steps,
            "mask": mask_recipe,
            "area": [float(bound) for bound in bounds],
            "missing_fraction": round(float(missing.mean()), 6),
            "fill": self.fill,
        }
        return Corrupted(shown, missing, recipe)

    def corrupt_batch(
        self, images: UInt8[np.ndarray, "images side side 3"], keys: Sequence[str], passes: Sequence[int], seed: int
    ) -> tuple[UInt8[np.ndarray, "images side side 3"], Bool[np.ndarray, "images side side"]]:
        """Return corrupted images and where they are missing; an image's damage depends on (seed, pass, key) alone.

        Args:
            images: RGB.
            keys: The samples' keys.
            passes: How many times each sample has been seen before.
            seed: The run's seed.

        Raises:
            ValueError: The lengths differ, or an image cannot be corrupted.
        """
        if not len(images) == len(keys) == len(passes):
            raise ValueError(f"found {len(images)} images, {len(keys)} keys and {len(passes)} passes, expected as many")
        corrupted = np.empty_like(images)
        missing = np.empty(images.shape[:3], dtype=bool)
        for place, (key, number) in enumerate(zip(keys, passes, strict=True)):
            result = self.corrupt(images[place], numpy_generator(seed, "corruption", number, key))
            corrupted[place], missing[place] = result.image, result.missing
        return corrupted, missing

    def _degraded(
        self, image: Image, rng: np.random.Generator, allowed: Allowed
    ) -> tuple[Image, Mask, list[dict[str, Any]]]:
        degraded, defects = image.copy(), np.zeros(image.shape[:2], dtype=bool)
        steps: list[dict[str, Any]] = []
        for degradation in sorted(self.degradations, key=lambda listed: listed.marks_missing):
            if rng.random() >= self.degrade_fraction:
                continue
            result = degradation.degrade(degraded, rng)
            if result.missing is not None and self.mark_defects:
                joined = defects | result.missing
                if int(np.count_nonzero(joined)) > allowed.most:
                    steps.append({**result.recipe, "left_out": True})
                    continue
                defects = joined
            degraded = result.image
            steps.append(result.recipe)
        return degraded, defects, steps

    def _missing(
        self, side: int, rng: np.random.Generator, defects: Mask, allowed: Allowed
    ) -> tuple[Mask, dict[str, Any]]:
        if not self.masks:
            return defects, {"kind": "none"}
        weights = np.cumsum([mask.weight for mask in self.masks])
        kind = self.masks[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
        nearest = kind.draw(side, rng) | defects
        tries = 1
        while tries < _TRIES and not allowed.admits(nearest):
            drawn = kind.draw(side, rng) | defects
            nearest = min(nearest, drawn, key=allowed.distance)
            tries += 1
        fits = allowed.admits(nearest)
        missing = nearest if fits else fitted(nearest, defects, allowed, rng)
        return missing, {**kind.model_dump(mode="json"), "tries": tries, "fitted": not fits}


def _filled(image: Image, missing: Mask, fill: int) -> Image:
    """Fill in place; OpenCV's masked copy takes a fortieth of the time of NumPy's."""
    filled = cv2.copyTo(np.full_like(image, fill), missing.view(np.uint8), image)
    return np.asarray(filled, dtype=np.uint8)
