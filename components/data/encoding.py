"""How an image is stored in a shard."""

import io
from typing import Annotated, ClassVar, Literal

from PIL import Image
from pydantic import Field

from components.pictures.encoding import png
from components.section import Section


class PngEncoding(Section):
    """Lossless: the pixels that were hashed are the pixels that are read."""

    kind: Literal["png"] = "png"
    """Lossless PNG."""
    suffix: ClassVar[str] = "png"

    def encode(self, image: Image.Image) -> bytes:
        """Return the bytes of a PNG file without metadata."""
        return png(image)


class JpegEncoding(Section):
    """Lossy, for photographs that would not fit otherwise; colour is kept at full resolution."""

    kind: Literal["jpeg"] = "jpeg"
    """Lossy JPEG."""
    quality: int = Field(default=95, ge=1, le=100)
    """Quality from 1 (smallest) to 100 (best)."""
    suffix: ClassVar[str] = "jpg"

    def encode(self, image: Image.Image) -> bytes:
        """Return the bytes of a JPEG file without metadata."""
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality, subsampling=0)
        return buffer.getvalue()


class WebpEncoding(Section):
    """Lossy, smaller than JPEG and slower to write."""

    kind: Literal["webp"] = "webp"
    """Lossy WebP."""
    quality: int = Field(default=90, ge=1, le=100)
    """Quality from 1 (smallest) to 100 (best)."""
    suffix: ClassVar[str] = "webp"

    def encode(self, image: Image.Image) -> bytes:
        """Return the bytes of a WebP file without metadata."""
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=self.quality)
        return buffer.getvalue()


EncodingConfig = Annotated[PngEncoding | JpegEncoding | WebpEncoding, Field(discriminator="kind")]
