"""The config section of a dataset: where images come from and what becomes of them."""

from typing import ClassVar, Literal, Self

from pydantic import ByteSize, Field, model_validator

from components.data.encoding import EncodingConfig, PngEncoding
from components.data.sources import SourceConfig
from components.section import Grown, Section

SPLITS = ("train", "validation", "test")


class SplitConfig(Section):
    """How much is held back. An image's split follows from its pixels, so growing data moves no image."""

    validation: float = Field(default=0.1, ge=0, lt=1)
    """Expected fraction of images in the validation split."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Expected fraction of images in the test split."""

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave nothing to train on; they must sum to under 1"
            )
        return self

    def split_of(self, key: str) -> str:
        """Return the split of the image with this key: a function of the key and the fractions alone.

        The key's last 16 digits, read as a fraction of 2^64, fall into [0, test), [test, test + validation) or the
        rest; so raising `validation` takes images from train only.
        """
        place = int(key[-16:], 16) / 2**64
        if place < self.test:
            return "test"
        return "validation" if place < self.test + self.validation else "train"


class DatasetConfig(Grown):
    """Which images, at which size, held in which form."""

    source: SourceConfig
    """Where the images come from."""
    size: int = Field(ge=8, le=1024)
    """Side of the square images, in pixels."""
    fit: Literal["crop", "pad"] = "crop"
    """How an oblong image becomes square: cut to its centre, or padded with white."""
    encoding: EncodingConfig = PngEncoding()
    """How images are stored."""
    shard_bytes: ByteSize = Field(default=ByteSize(64 * 2**20), ge=2**14, validate_default=True)
    """Largest size of a shard file, e.g. 64MiB; only a single larger image exceeds it."""
    split: SplitConfig = SplitConfig()
    """Fractions held back for validation and test."""
    rejected_limit_fraction: float = Field(default=0.05, ge=0, le=1)
    """Largest fraction of files that may be refused before the run stops."""
    # Above 178,956,970 pixels Pillow itself refuses to open an image.
    max_image_pixels: int = Field(default=50_000_000, ge=1, le=178_956_970)
    """Largest image to decode, in pixels (width x height), judged by its header before decoding."""
    near_copies: Literal["kept", "left_out"] = "kept"
    """left_out: train on no image of which a near-copy is held out (resized, encoded anew, mirrored, brighter), so that
    scores are of images that no model has seen; no image changes its split. kept: the run's page says how many there
    are."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"near_copies"})
