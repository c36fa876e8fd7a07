"""Protocol, Score and ScoreTable: a number never travels without how it was measured."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.artifacts import write_atomically
from components.section import Section, digest_of

MODEL_ROW = "model"

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Protocol(Section):
    """How a score was measured. Two scores may be compared only if their protocols are equal, field by field."""

    metric: str
    """What is computed, in words that name the definition, e.g. `Fréchet distance of pooled features`."""
    implementation: str
    """The code whose values these are, to rounding, and its version, e.g. `torch-fidelity 0.4.0`."""
    reference: str
    """Digest of the real images (shard set and split) or of the frozen corruption set that is compared with."""
    samples: int = Field(ge=1)
    """Images scored (images)."""
    reference_samples: int | None = Field(default=None, ge=1)
    """Real images compared with (images), or None where every image has its own truth."""
    extractor: str | None = None
    """Kind of the feature extractor, or None where pixels are compared."""
    extractor_sha256: str | None = None
    """sha256 of the extractor's weights file."""
    preprocessing: str | None = None
    """How images are resized and normalised before the extractor sees them."""
    seed: int = 0
    """Seed of shuffles, subsets and resampling in the metric."""
    settings: dict[str, Finite | int | str] = Field(default_factory=dict)
    """What else moves the number: splits, subset sizes, neighbours, area bins, in force after fitting to the count."""

    @property
    def digest(self) -> str:
        """Return 20 hexadecimal digits that are equal exactly for equal protocols."""
        return digest_of(self)


class Score(Section):
    """One number with its interval and protocol. Values that are not finite are refused when it is made."""

    name: str = Field(min_length=1)
    """Name of the metric in tables; only the Inception extractor's carry the plain names `fid`, `is`, `kid`."""
    value: Finite
    """The score."""
    low: Finite
    """Lower end of its 95 % interval."""
    high: Finite
    """Upper end of its 95 % interval."""
    better: Literal["lower", "higher"]
    """Which direction is an improvement."""
    protocol: Protocol
    """How it was measured."""
    per_image: tuple[Finite, ...] | None = None
    """The value of each image, in the protocol's order, where the score is their mean: lets two models be compared
    image by image."""

    @model_validator(mode="after")
    def _interval_holds_value(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.name}: the value {self.value} lies outside its interval {self.low} to {self.high}")
        if self.per_image is not None:
            mean = math.fsum(self.per_image) / max(1, len(self.per_image))
            if not math.isclose(mean, self.value, rel_tol=1e-6, abs_tol=1e-9):
                raise ValueError(f"{self.name}: the value {self.value} is not the mean {mean} of its images")
        return self


class ScoreTable(Section):
    """The scores of one model, in row `model`, and of each baseline measured beside it."""

    subject: str
    """What was scored, e.g. the digest of the exported model."""
    rows: dict[str, tuple[Score, ...]]
    """Scores by row: `model`, and one row per baseline."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for row, scores in self.rows.items():
            names = [score.name for score in scores]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"row {row!r} holds more than one score named {', '.join(twice)}")
        return self

    @property
    def baselines(self) -> tuple[str, ...]:
        """Return the names of the rows that are not the model's."""
        return tuple(name for name in self.rows if name != MODEL_ROW)

    def find(self, row: str, name: str) -> Score | None:
        """Return the score called `name` in `row`, or None if there is none."""
        return next((score for score in self.rows.get(row, ()) if score.name == name), None)

    def matching(self, row: str, name: str) -> tuple[Score, ...]:
        """Return the scores in `row` called `name`; where that ends in `*`, those that begin with what is before it."""
        begin, is_pattern = name.removesuffix("*"), name.endswith("*")
        scores = self.rows.get(row, ())
        return tuple(one for one in scores if one.name == name or (is_pattern and one.name.startswith(begin)))

    def values(self, row: str = MODEL_ROW) -> Mapping[str, float]:
        """Return the plain numbers of one row by name, e.g. for a tracker; empty if there is no such row."""
        return {score.name: score.value for score in self.rows.get(row, ())}

    def write(self, path: Path) -> None:
        """Write the table as JSON, atomically."""
        write_atomically(path, self.model_dump_json(indent=1, exclude_none=True).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the table that `write` left at `path`.

        Raises:
            ValueError: The file is not a score table, or holds a number that is not finite.
        """
        return cls.model_validate_json(path.read_bytes())


def differences(a: Score, b: Score) -> tuple[str, ...]:
    """Return what forbids comparing two scores, in words; empty if nothing does."""
    found = [
        f"{field} is {getattr(a, field)!r} in one and {getattr(b, field)!r} in the other"
        for field in ("name", "better")
        if getattr(a, field) != getattr(b, field)
    ]
    for field in Protocol.model_fields:
        one, other = getattr(a.protocol, field), getattr(b.protocol, field)
        if one != other:
            found.append(f"{field} is {one!r} in one and {other!r} in the other")
    return tuple(found)
