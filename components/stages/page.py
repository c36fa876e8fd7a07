"""Page content: from what a run made to what its page shows."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
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
from components.stages.candidate import Candidate, Data, after
from components.stages.image_page import drift_cards, quality_card
from components.stages.inputs import content_of
from components.stages.model_page import model_page
from components.stages.site import Site
from components.tracking import view
from components.tracking.environment import environment_tags

_REFUSED_SHOWN = 20


def page_content(run: RunConfig, command: str, data: Data, candidates: Sequence[Candidate], site: Site) -> PageContent:
    """Return the content of the page of a run that ends now."""
    told = [one for one in candidates if one.failure is None]
    environment = tuple(Fact(label=name, value=value) for name, value in sorted(environment_tags().items()))
    return PageContent(
        run=RunFacts(
            name=run.name,
            finished=datetime.now(UTC),
            config_digest=digest_of(content_of(run)),
            command=command,
            environment=environment,
            config=yaml.safe_dump(run.model_dump(mode="json", exclude_none=True), sort_keys=False),
        ),
        models=tuple(model_page(one, data) for one in told),
        failed=tuple(
            FailedModel(name=one.name, reason=_first_line(one.failure)) for one in candidates if one.failure is not None
        ),
        data=_data(data.shards),
        quality=quality_card(data, site),
        drift=drift_cards(told, data.shards, site),
        corruption=_corruption(data.yardstick.corruptions) if data.yardstick.corruptions else None,
        lineage=tuple(_lineage(data, told)),
        links=tuple(_links(data, told, site)),
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
        took=shards.growth.facts if shards.growth else None,
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
        examples=Picture(content=figures.encode_within(sheet), alt="Examples of damaged images"),
    )


def _lineage(data: Data, candidates: Sequence[Candidate]) -> Iterator[LineageStep]:
    shards, yardstick = data.shards, data.yardstick
    yield LineageStep(kind="source", digest=shards.source_digest, note=shards.source)
    yield LineageStep(kind="shards", digest=shards.digest, note=f"{shards.accepted:,} images")
    if yardstick.shards.digest != shards.digest:
        yield LineageStep(kind="evaluation shards", digest=yardstick.shards.digest, note=yardstick.name)
    if (damaged := yardstick.corruptions) is not None:
        yield LineageStep(kind="corruption set", digest=damaged.digest, note=f"{damaged.samples:,} images")
    for one in candidates:
        checkpoint, evaluated = after("train", one.checkpoint), after("evaluate", one.evaluated)
        if (start := data.start_of(one.name)) is not None:
            yield LineageStep(kind="start", digest=start.export, note=f"{one.name}, from {start.name}")
        yield LineageStep(kind="checkpoint", digest=checkpoint.digest, note=one.name)
        yield LineageStep(kind="export", digest=checkpoint.export, note=one.name)
        yield LineageStep(kind="scores", digest=evaluated.scores.digest, note=one.name)


def _links(data: Data, candidates: Sequence[Candidate], site: Site) -> Iterator[Link]:
    if site.parent_run is not None and site.tracking_uri.startswith(("http://", "https://")):
        yield Link(label="Nights in MLflow", url=view.address(site.tracking_uri, site.parent_run))
    yield Link(label="Shards", url=_address(data.shards.path))
    for one in candidates:
        yield Link(label=f"Checkpoint of {one.name}", url=_address(after("train", one.checkpoint).path))


def _address(path: Path) -> str:
    return path.absolute().as_uri()
