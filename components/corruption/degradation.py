"""What every degradation shares: severities 1 to 5, the published table's column, and what it returns."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Shaped, UInt8
from pydantic import Field

from components.corruption.shapes import Mask
from components.section import Section

Image = UInt8[np.ndarray, "height width 3"]
Severity = Annotated[int, Field(ge=1, le=5)]
_Entry = TypeVar("_Entry")
Table = dict[int, tuple[_Entry, _Entry, _Entry, _Entry, _Entry]]
"""Published image side in pixels -> the parameter at severities 1 to 5."""


@dataclass(frozen=True)
class Degraded:
    """An image after one degradation."""

    image: Image
    """A new array."""
    missing: Mask | None
    """True where the degradation left nothing to see; None if it hides nothing."""
    recipe: dict[str, Any]
    """What was done, as JSON: kind, severity and every number drawn that describes the whole image."""


class DegradationSection(Section):
    """What every degradation has: a name, a severity, and a way to degrade an image.

    Unless its class says otherwise, severities are those of ImageNet-C and CIFAR-10-C (Hendrycks and Dietterich 2019,
    https://arxiv.org/abs/1903.12261), in the column published for 32, 64 or 224 px images that is nearest to the
    image's shorter side on a logarithmic scale: 32 up to 45 px, 64 up to 119 px, 224 above.
    """

    kind: str
    severity: Severity | Annotated[tuple[Severity, ...], Field(min_length=1)] = (1, 2, 3)
    """Strength from 1 (slight) to 5 (heavy); several are drawn from with equal chance, per image."""

    marks_missing: ClassVar[bool] = False
    """Whether it hides pixels and says which; such damage comes after what the camera and the codec did."""

    def degrade(self, image: Image, rng: np.random.Generator) -> Degraded:
        """Return the degraded image; `image` is left alone.

        Args:
            image: RGB.
            rng: The only source of randomness: equal generators give equal damage.

        Raises:
            ValueError: `image` has another type or shape.
        """
        check_image(image)
        choices = (self.severity,) if isinstance(self.severity, int) else self.severity
        severity = choices[0] if len(choices) == 1 else choices[int(rng.integers(len(choices)))]
        degraded, missing, drawn = self._degrade(image, severity, rng)
        return Degraded(degraded, missing, {"kind": self.kind, "severity": severity, **drawn})

    @abstractmethod
    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]: ...


def at_severity(table: Table[_Entry], image: Image, severity: int) -> _Entry:
    """Return the table's entry for `severity`, in the column whose published image size is nearest to `image`'s."""
    side = min(image.shape[:2])
    column = min(table, key=lambda published: abs(np.log(published / side)))
    return table[column][severity - 1]


def check_image(image: Shaped[np.ndarray, "..."]) -> None:
    """Refuse what is not a uint8 RGB image.

    Raises:
        ValueError: The type is not uint8 or the shape is not (height, width, 3).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"found {image.dtype} of shape {image.shape}, expected uint8 of shape (height, width, 3)")
