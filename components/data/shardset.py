"""ShardSet: the artifact that holds a dataset, and what its manifest says of it."""

from typing import Self

from pydantic import Field, model_validator

from components.artifacts import Artifact
from components.section import Section


class ShardFacts(Section):
    """One tar file."""

    name: str
    """File name within the artifact."""
    sha256: str
    """Digest of the file's bytes, in hexadecimal."""
    bytes: int = Field(ge=0)
    """Size of the file."""
    samples: int = Field(ge=0)
    """Number of samples in it."""


class SplitFacts(Section):
    """One of train, validation and test."""

    samples: int = Field(ge=0)
    """Number of images."""
    shards: tuple[ShardFacts, ...]
    """Its tar files, in order; empty where no image fell into the split."""
    classes: dict[str, int] = Field(default_factory=dict)
    """Images by name of their class, all names of the ShardSet in order; empty where the source has no classes."""


class ShardSet(Artifact):
    """Checked images of one size as WebDataset tars, split by content.

    Files: `SPLIT-000000.tar` with members KEY.png (or .jpg, .webp) and KEY.json, sorted by key; `SPLIT.index.npy`;
    `rejected.jsonl`; `examples.png`. Where images have classes, also KEY.cls, which holds the number of the class, and
    all these numbers in the order of the index in `SPLIT.labels.npy`.
    """

    size: int
    """Side of every image, in pixels."""
    source: str
    """Where the images came from, in words."""
    licence: str | None
    """Licence and whom to name; None where it is not known."""
    source_digest: str
    """Fingerprint of the source."""
    splits: dict[str, SplitFacts]
    """Facts by split name."""
    found: int
    """Files in the source."""
    accepted: int
    """Images in the shards."""
    duplicates: int
    """Images left out because their pixels equal those of another."""
    rejected: dict[str, int]
    """Files left out, counted by reason; listed in `rejected.jsonl`."""

    @model_validator(mode="after")
    def _nothing_is_lost(self) -> Self:
        refused = sum(self.rejected.values())
        if self.found != self.accepted + self.duplicates + refused:
            raise ValueError(
                f"{self.found} files found, but {self.accepted} accepted + {self.duplicates} duplicates "
                f"+ {refused} rejected = {self.accepted + self.duplicates + refused}"
            )
        in_shards = sum(shard.samples for facts in self.splits.values() for shard in facts.shards)
        in_splits = sum(facts.samples for facts in self.splits.values())
        if not self.accepted == in_splits == in_shards:
            raise ValueError(f"{self.accepted} images accepted, {in_splits} in the splits, {in_shards} in the shards")
        return self
