"""Loss of quality in handling: JPEG compression, down- and upsampling, faded contrast."""

from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from components.corruption.degradation import DegradationSection, Image, Table, at_severity
from components.corruption.shapes import Mask
from components.section import Grown

_JPEG_QUALITY: Table[int] = {32: (80, 65, 58, 50, 40), 64: (65, 58, 50, 40, 25), 224: (25, 18, 15, 10, 7)}
_RESAMPLE_RATIO: Table[float] = {
    32: (0.95, 0.90, 0.85, 0.75, 0.65),
    64: (0.9, 0.8, 0.7, 0.6, 0.5),
    224: (0.6, 0.5, 0.4, 0.3, 0.25),
}
_CONTRAST: Table[float] = {
    32: (0.75, 0.5, 0.4, 0.3, 0.15),
    64: (0.4, 0.3, 0.2, 0.1, 0.05),
    224: (0.4, 0.3, 0.2, 0.1, 0.05),
}
_ENLARGING = {"nearest": cv2.INTER_NEAREST_EXACT, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


class JpegConfig(DegradationSection):
    """JPEG compression with 4:2:0 chroma, by quality factor."""

    kind: Literal["jpeg"] = "jpeg"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        del rng
        quality = at_severity(_JPEG_QUALITY, image, severity)
        # A copy: the encoder takes twice the time over a view whose channels run backwards.
        reordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", reordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, dtype=np.uint8), None, {"quality": quality}


class ResampleConfig(DegradationSection, Grown):
    """Reduction by area to a ratio of each side and enlargement back; ratios are those of ImageNet-C's pixelate."""

    kind: Literal["resample"] = "resample"
    enlarge: Literal["nearest", "linear", "cubic"] = "linear"
    """How the reduced image is enlarged; nearest is the published way, whose loss need not grow with severity."""
    factor: int | None = Field(default=None, ge=2, le=8)
    """Reduce each side to one in so many pixels, whatever the severity, as images are that come at a half or a quarter
    of the wanted size; None takes the severity's ratio."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"factor"})

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        del rng
        ratio = at_severity(_RESAMPLE_RATIO, image, severity) if self.factor is None else 1 / self.factor
        height, width = image.shape[:2]
        reduced_to = (max(int(width * ratio), 1), max(int(height * ratio), 1))
        reduced = cv2.resize(image, reduced_to, interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(reduced, (width, height), interpolation=_ENLARGING[self.enlarge])
        return np.asarray(enlarged, dtype=np.uint8), None, {"ratio": ratio, "enlarge": self.enlarge}


class ContrastConfig(DegradationSection):
    """Fading toward the image's own mean colour: (x - mean) factor + mean."""

    kind: Literal["contrast"] = "contrast"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        del rng
        factor = at_severity(_CONTRAST, image, severity)
        fade = np.eye(3, 4) * factor
        fade[:, 3] = np.array(cv2.mean(image)[:3]) * (1 - factor)
        return np.asarray(cv2.transform(image, fade), dtype=np.uint8), None, {"factor": factor}
