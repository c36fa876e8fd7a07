"""ShardSet: the artifact that holds a dataset, and what its manifest says of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from components.artifacts import Artifact, ArtifactError, sha256_of
from components.section import Section, digest_of


class ShardFacts(Section):
    """One tar file."""

    name: str
    """File name within the artifact."""
    sha256: str
    """Digest of the file's bytes, in hexadecimal."""
    bytes: int = Field(ge=0)
    """Size of the file."""
    samples: int = Field(ge=0)
    """Number of samples in it that count."""
    gone: int = Field(default=0, ge=0)
    """Number of samples in it that do not: their files left the source or were altered. They are in no index."""
    holder: str | None = None
    """Digest of the ShardSet in whose folder it lies; none: this one's own."""


class SplitFacts(Section):
    """One of train, validation and test."""

    samples: int = Field(ge=0)
    """Number of images."""
    shards: tuple[ShardFacts, ...]
    """Its tar files, in order; empty where no image fell into the split."""
    classes: dict[str, int] = Field(default_factory=dict)
    """Images by name of their class, all names of the ShardSet in order; empty where the source has no classes."""


class Growth(Section):
    """What a version took, and which one it grew from."""

    base: str | None
    """Digest of the ShardSet whose tars it points to; none: it was made at once."""
    read: int = Field(ge=0)
    """Files whose bytes were read; the others were known by their stamps."""
    encoded: int = Field(ge=0)
    """Images that the base lacks."""
    kept: int = Field(ge=0)
    """Images that the base has."""
    gone: int = Field(ge=0)
    """Images of the base that are not in this version."""

    @property
    def facts(self) -> str:
        """What it took, in words."""
        words = f"{self.read:,} files read, {self.encoded:,} images encoded, {self.kept:,} kept"
        return f"{words}, {self.gone:,} gone" if self.base else words


class ShardSet(Artifact):
    """Checked images of one size as WebDataset tars, split by content.

    Files: `SPLIT-000000.tar` with members KEY.png (or .jpg, .webp) and KEY.json, sorted by key; `SPLIT.index.npy`;
    `rejected.jsonl`; `examples.png`; `items.npy` and `items.json`, the memory of every file. Where images have classes,
    also KEY.cls, which holds the number of the class, and all these numbers in the order of the index in
    `SPLIT.labels.npy`. A version that grew from another holds only tars of what is new: the others lie in the folders
    of the ShardSets that its `splits` name, beside its own.
    """

    ON_DEMAND: ClassVar[str] = ".tar"

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
    growth: Growth | None = None
    """What it took; None where an earlier release made it."""

    @classmethod
    def needs(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the versions that hold its tars; the one that it grew from may go."""
        return frozenset(manifest.get("holders", ()))

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

    @property
    def holders(self) -> tuple[str, ...]:
        """Digests of the other ShardSets in which tars of this one lie, in order."""
        tars = (shard for facts in self.splits.values() for shard in facts.shards)
        return tuple(sorted({shard.holder for shard in tars if shard.holder is not None}))

    def layout(self, split: str) -> str:
        """Return a digest of which tars hold a split, in order; versions of one digest may have it in other tars."""
        return digest_of([shard.sha256 for shard in self.splits[split].shards])

    def tar(self, shard: ShardFacts) -> Path:
        """Return where a tar of this version lies."""
        return (self.path if shard.holder is None else self.path.parent / shard.holder) / shard.name

    def verify(self) -> None:
        """Recompute the sha256 of every file, and of every tar that this version points to.

        Raises:
            ArtifactError: A file is missing, added or altered; the message names the first such file.
        """
        super().verify()
        for shard in (shard for facts in self.splits.values() for shard in facts.shards if shard.holder):
            check_tar(self.tar(shard), shard)


def check_tar(path: Path, shard: ShardFacts) -> None:
    """Recompute a tar's sha256.

    Raises:
        ArtifactError: It is missing or altered.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing")
    if sha256_of(path) != shard.sha256:
        raise ArtifactError(f"{path}: its sha256 is not the one in the manifest")
