"""Yardstick: numbered, pinned sets of held-out images on which a run's models are judged, night after night.

A version is a reference to the ShardSet of one data version, kept as a write-once record in the store. Its images stay
held out for good: an image's split follows from its pixels, so data that grows never trains on them.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from components.artifacts import ArtifactError, Store
from components.artifacts.records import Record, Records
from components.data import DatasetConfig, ShardSet
from components.section import Section, digest_of

_DECIDING_OPTIONS = {"size", "fit", "split"}
"""Options of a dataset that decide which pixels are held out. The others say how they are kept or which are refused."""


class PinnedVersion(Section):
    """An evaluation set chosen by its number."""

    pinned: int = Field(ge=1)
    """Number of the evaluation set, as `kintsugi yardstick CONFIG` lists them."""


def _understood(choice: object) -> object:
    """Refuse anything else in one sentence, where a union would list what each of its members had expected."""
    number = choice.get("pinned") if isinstance(choice, dict) and set(choice) == {"pinned"} else None
    is_number = isinstance(number, int) and not isinstance(number, bool) and number >= 1
    if not (isinstance(choice, PinnedVersion) or choice in ("pinned", "fresh") or is_number):
        raise ValueError("expected pinned, fresh, or the number of an evaluation set as in {pinned: 2}")
    return choice


EvaluationSetChoice = Annotated[Literal["pinned", "fresh"] | PinnedVersion, BeforeValidator(_understood)]
"""Which held-out images decide."""


class Yardstick(Section):
    """One version of a run's evaluation set."""

    number: int = Field(ge=1)
    """Its place among the run's versions, from 1."""
    shards: str
    """Digest of the ShardSet whose test images it is."""
    dataset: str
    """Digest of the dataset's options that decide which pixels are held out."""
    size: int
    """Side of its images, in pixels."""
    images: int = Field(ge=0)
    """Held-out images."""
    at: AwareDatetime
    """When it was pinned, UTC."""
    by: str
    """Who pinned it."""
    reason: str
    """Why."""

    @property
    def name(self) -> str:
        """What people and reasons call it."""
        return f"evaluation set {self.number}"

    @property
    def facts(self) -> str:
        """Return what it is, in words."""
        return f"{self.images:,} held-out images of {self.size} px, pinned {self.at:%Y-%m-%d} by {self.by}"


def options_digest(dataset: DatasetConfig) -> str:
    """Return the digest of all but the source that decides which pixels are held out: size, fit and split.

    Where it changes, images held out before may be trained on, so a pin serves only datasets of its own digest.
    """
    return digest_of(dataset.model_dump(mode="json", include=_DECIDING_OPTIONS))


def yardsticks(store: Store, run: str) -> tuple[Yardstick, ...]:
    """Return all versions of the evaluation set of the run called `run`, number n at place n - 1.

    Raises:
        ArtifactError: A record is not one of an evaluation set.
    """
    return tuple(_read(run, number, record) for number, record in enumerate(_records(store, run).all(), start=1))


def fitting(known: Sequence[Yardstick], dataset: DatasetConfig) -> tuple[Yardstick, ...]:
    """Return the versions that can judge models of `dataset`; the last of them is in force."""
    return tuple(one for one in known if one.dataset == options_digest(dataset))


def chosen(known: Sequence[Yardstick], dataset: DatasetConfig, choice: EvaluationSetChoice) -> Yardstick | None:
    """Return the version that `choice` asks for; None for `fresh`, and for `pinned` before the first.

    Raises:
        ValueError: A number was asked for that does not exist or belongs to other options of the dataset.
    """
    serving = fitting(known, dataset)
    if not isinstance(choice, PinnedVersion):
        return serving[-1] if serving and choice == "pinned" else None
    for one in serving:
        if one.number == choice.pinned:
            return one
    there = ", ".join(str(one.number) for one in serving) or "none yet"
    raise ValueError(
        f"evaluation_set.pinned: there is no evaluation set {choice.pinned} for images of {dataset.size} px with this "
        f"dataset.fit and dataset.split; there are: {there}"
    )


def begin(
    store: Store,
    run: str,
    dataset: DatasetConfig,
    shards: ShardSet,
    strangers: Collection[str] = (),
    reason: str = "the first data with these options",
) -> Yardstick:
    """Pin the test images of `shards`; of nights that begin at once, the first pins and the others get its version.

    Args:
        store: Where the run's artifacts and records are.
        run: Name of the run.
        dataset: Its dataset.
        shards: What is to be pinned.
        strangers: Digests of pinned ShardSets that cannot serve any more.
        reason: Why it is pinned, in words.
    """
    record = _record(dataset, shards, "kintsugi", reason)

    def serves(known: Record) -> bool:
        return known.get("dataset") == record["dataset"] and known.get("shards") not in strangers

    number = _records(store, run).append(record, same=serves)
    return yardsticks(store, run)[number - 1]


def renew(store: Store, run: str, dataset: DatasetConfig, shards: ShardSet, *, by: str, reason: str) -> Yardstick:
    """Pin the test images of `shards` as the version in force, unless they are that already.

    Raises:
        ValueError: Nobody or no reason is named, or there are no test images.
    """
    demand_words(by, reason)
    if not shards.splits["test"].samples:
        raise ValueError("the data holds no test image to pin; raise dataset.split.test or add data")
    serving = fitting(yardsticks(store, run), dataset)
    if serving and serving[-1].shards == shards.digest:
        return serving[-1]
    number = _records(store, run).append(_record(dataset, shards, by, reason))
    return yardsticks(store, run)[number - 1]


def demand_words(by: str, reason: str) -> None:
    """Refuse a renewal that names nobody or no reason.

    Raises:
        ValueError: One of them is empty.
    """
    for option, words in (("--by", by), ("--reason", reason)):
        if not words.strip():
            raise ValueError(f"{option} is needed with --renew: scores before and after it are not comparable")


def _records(store: Store, run: str) -> Records:
    return store.records(f"evaluation/{run}")


def _record(dataset: DatasetConfig, shards: ShardSet, by: str, reason: str) -> dict[str, Any]:
    return {
        "shards": shards.digest,
        "dataset": options_digest(dataset),
        "size": shards.size,
        "images": shards.splits["test"].samples,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": by,
        "reason": reason,
    }


def _read(run: str, number: int, record: Record) -> Yardstick:
    try:
        return Yardstick.model_validate({**record, "number": number})
    except ValidationError as error:
        raise ArtifactError(f"evaluation set {number} of {run}: not a readable record ({error})") from error
