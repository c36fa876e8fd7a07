"""Record: what all parts of a page are, and the picture, which many of them hold."""

from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field

from components.section import Section


class Record(Section):
    """A part of a page. As JSON it keeps pictures as base64 and non-finite numbers as words, and reads back equal."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")


class Picture(Record):
    """An encoded image, carried inside the page."""

    content: bytes = Field(min_length=8, repr=False)
    """The bytes of a PNG, JPEG, WebP or SVG file."""
    alt: str = Field(min_length=1)
    """What a person who cannot see the picture should be told."""
    caption: str = ""
    """Printed under the picture; empty for none."""

    @classmethod
    def of_file(cls, path: Path, alt: str, caption: str = "") -> Self:
        """Return the picture that lies in the file `path`."""
        return cls(content=path.read_bytes(), alt=alt, caption=caption)
