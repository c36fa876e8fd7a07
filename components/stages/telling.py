"""Telling: from a run's artifacts to the content of its page."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import yaml

from components.config import RunConfig
from components.data import CorruptionSet, ShardSet, read_corruption_set
from components.pictures import figures
from components.report.content import (
    AreaBin,
    CorruptionCard,
    DataCard,
    Fact,
    FailedModel,
    LineageStep,
    Link,
    PageContent,
    Picture,
    RejectedFile,
    RunFacts,
)
from components.section import digest_of
from components.servers.redaction import redact_text
from components.stages.chapters import Chapter, card_of
from components.stages.preparation import EvaluationSet, EvaluationSets
from components.stages.site import Site
from components.tracking import runs
from components.tracking.environment import environment_tags

_REFUSED_SHOWN = 20


def told(
    run: RunConfig,
    shards: ShardSet,
    sets: EvaluationSets,
    chapters: Sequence[Chapter],
    failed: Mapping[str, str],
    command: str,
    finished: datetime,
    site: Site,
) -> PageContent:
    """Return the content of a run's page."""
    environment = tuple(Fact(label=name, value=value) for name, value in sorted(environment_tags().items()))
    return PageContent(
        run=RunFacts(
            name=run.name,
            finished=finished,
            config_digest=digest_of(run),
            command=command,
            environment=environment,
            config=yaml.safe_dump(run.model_dump(mode="json", exclude_none=True), sort_keys=False),
        ),
        models=tuple(card_of(chapter, sets) for chapter in chapters),
        failed=tuple(FailedModel(name=name, reason=_first_line(words)) for name, words in failed.items()),
        data=_data(shards),
        corruption=_corruption(sets.yardstick.corruptions) if sets.yardstick.corruptions else None,
        lineage=tuple(_lineage(shards, sets.yardstick, chapters)),
        links=tuple(_links(shards, chapters, site)),
    )


def _first_line(words: str) -> str:
    """Leave out the rest, which names folders of this machine."""
    return redact_text(words.partition("\n")[0])


def _data(shards: ShardSet) -> DataCard:
    refused = [json.loads(line) for line in (shards.path / "rejected.jsonl").read_text().splitlines()]
    return DataCard(
        source=shards.source,
        digest=shards.source_digest,
        licence=shards.licence,
        size_px=shards.size,
        found=shards.found,
        accepted=shards.accepted,
        duplicates=shards.duplicates,
        rejected=shards.rejected,
        splits={name: split.samples for name, split in shards.splits.items()},
        examples=Picture.of_file(shards.path / "examples.png", alt="Examples of the images"),
        rejected_files=tuple(RejectedFile(name=row["name"], reason=row["reason"]) for row in refused[:_REFUSED_SHOWN]),
    )


def _corruption(corruptions: CorruptionSet) -> CorruptionCard:
    frozen = read_corruption_set(corruptions)
    edges = corruptions.bins
    kinds = Counter(str(recipe.get("mask", {}).get("kind", "none")) for recipe in frozen.recipes)
    shown = np.linspace(0, len(frozen.keys) - 1, min(24, len(frozen.keys))).astype(int)
    sheet = figures.grid(frozen.corrupted[shown], columns=12)
    return CorruptionCard(
        digest=corruptions.digest,
        seed=corruptions.seed,
        bins=tuple(
            AreaBin(low=low, high=high, samples=count)
            for low, high, count in zip(edges, edges[1:], corruptions.counts, strict=False)
        ),
        kinds=dict(kinds),
        examples=Picture(content=figures.compressed(sheet), alt="Examples of damaged images"),
    )


def _lineage(shards: ShardSet, yardstick: EvaluationSet, chapters: Sequence[Chapter]) -> Iterator[LineageStep]:
    yield LineageStep(kind="source", digest=shards.source_digest, note=shards.source)
    yield LineageStep(kind="shards", digest=shards.digest, note=f"{shards.accepted:,} images")
    if yardstick.shards.digest != shards.digest:
        yield LineageStep(kind="evaluation shards", digest=yardstick.shards.digest, note=yardstick.name)
    if (damaged := yardstick.corruptions) is not None:
        yield LineageStep(kind="corruption set", digest=damaged.digest, note=f"{damaged.samples:,} images")
    for chapter in chapters:
        yield LineageStep(kind="checkpoint", digest=chapter.checkpoint.digest, note=chapter.name)
        yield LineageStep(kind="export", digest=chapter.checkpoint.export, note=chapter.name)
        yield LineageStep(kind="scores", digest=chapter.evaluated.scores.digest, note=chapter.name)


def _links(shards: ShardSet, chapters: Sequence[Chapter], site: Site) -> Iterator[Link]:
    if site.parent_run is not None and site.tracking_uri.startswith(("http://", "https://")):
        yield Link(label="Nights in MLflow", url=runs.address(site.tracking_uri, site.parent_run))
    yield Link(label="Shards", url=_address(shards.path))
    for chapter in chapters:
        yield Link(label=f"Checkpoint of {chapter.name}", url=_address(chapter.checkpoint.path))


def _address(path: Path) -> str:
    return path.absolute().as_uri()
