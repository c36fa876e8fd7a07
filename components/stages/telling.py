"""Telling: from a run's artifacts to the content of its page."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import yaml

from components.config import ModelConfig, RunConfig
from components.data import CorruptionSet, ShardSet, read_corruption_set
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.recipes.export import read_card
from components.redaction import redact_text
from components.report import figures
from components.report.content import (
    AreaBin,
    CorruptionCard,
    Curve,
    CurvePlot,
    DataCard,
    Decision,
    Fact,
    FailedModel,
    LineageStep,
    Link,
    Measure,
    ModelCard,
    PageContent,
    Panels,
    Picture,
    ProtocolFacts,
    RejectedFile,
    RunFacts,
    Snapshot,
    Subject,
)
from components.report.restoration import panels_of
from components.section import digest_of
from components.stages.measuring import TABLE, Evaluated
from components.stages.promotion import Promotion
from components.stages.site import Site
from components.stages.training import Checkpoint
from components.tracking.environment import environment_tags
from components.training.curve import read_curve

_REFUSED_SHOWN = 20
_SNAPSHOTS = 6
_CAPTIONS = {
    "samples": "Drawn from the model with the evaluation seed; not chosen.",
    "reconstructions": "Test images and what is left of them after the bottleneck.",
    "interpolations": "From one test image to the next by straight ways between the means of their codes.",
    "interpolations_of_samples": "From one sample to the next by arcs between their codes, in even steps.",
    "random": "Baseline random: noise.",
    "template": "Baseline template: altered copies of training images.",
    "baselines": "What fills need no training, on the same damaged images.",
    "restorations": "Test images, the damage, and the mended picture.",
}


@dataclass(frozen=True)
class Chapter:
    """What there is to tell of one model."""

    name: str
    model: ModelConfig
    checkpoint: Checkpoint
    evaluated: Evaluated
    promotion: Promotion

    @property
    def identity(self) -> dict[str, object]:
        """All that determines the chapter."""
        return {
            "checkpoint": self.checkpoint.digest,
            "scores": self.evaluated.scores.digest,
            "baselines": self.evaluated.baselines.digest,
            "promotion": self.promotion,
        }


def told(
    run: RunConfig,
    shards: ShardSet,
    corruptions: CorruptionSet | None,
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
        models=tuple(_model(chapter) for chapter in chapters),
        failed=tuple(FailedModel(name=name, reason=_first_line(words)) for name, words in failed.items()),
        data=_data(shards),
        corruption=_corruption(corruptions) if corruptions else None,
        lineage=tuple(_lineage(shards, corruptions, chapters)),
        links=tuple(_links(shards, chapters, site)),
    )


def _first_line(words: str) -> str:
    """Leave out the rest, which names folders of this machine."""
    return redact_text(words.partition("\n")[0])


def _model(chapter: Chapter) -> ModelCard:
    table = chapter.evaluated.table
    promotion = chapter.promotion
    subjects = [Subject(name="model", role="model", measures=_measures(table.rows["model"]))]
    if promotion.champion_scores is not None:
        rows = ScoreTable.read(promotion.champion_scores.path / TABLE).rows
        subjects.append(Subject(name="champion", role="champion", measures=_measures(rows["model"])))
    subjects += [Subject(name=name, role="baseline", measures=_measures(table.rows[name])) for name in table.baselines]
    return ModelCard(
        name=chapter.name,
        version=str(promotion.version),
        decision=Decision(verdict=promotion.verdict, reasons=promotion.reasons),
        facts=_facts(chapter),
        subjects=tuple(subjects),
        protocols=tuple(_protocols(table)),
        charted=(chapter.model.promotion.metric,),
        samples=tuple(_pictures(chapter.evaluated)),
        panels=_panels(chapter.evaluated),
        plots=tuple(_plots(chapter.checkpoint)),
        progress=tuple(_snapshots(chapter.checkpoint)),
    )


def _measures(scores: Sequence[Score]) -> tuple[Measure, ...]:
    return tuple(
        Measure(
            metric=score.name,
            value=score.value,
            low=score.low,
            high=score.high,
            better=score.better,
            protocol=score.protocol.digest,
            is_detail="/" in score.name,
        )
        for score in scores
    )


def _protocols(table: ScoreTable) -> Iterator[ProtocolFacts]:
    seen: dict[str, Protocol] = {}
    for scores in table.rows.values():
        for score in scores:
            seen.setdefault(score.protocol.digest, score.protocol)
    for digest, protocol in seen.items():
        facts = protocol.model_dump(mode="json", exclude_none=True)
        yield ProtocolFacts(
            digest=digest, facts=tuple(Fact(label=name.replace("_", " "), value=str(facts[name])) for name in facts)
        )


def _facts(chapter: Chapter) -> tuple[Fact, ...]:
    training, execution = chapter.model.training, chapter.model.execution
    card = read_card(chapter.checkpoint.path / "export")
    return (
        Fact(label="Family", value=chapter.checkpoint.family),
        Fact(label="Images seen", value=f"{chapter.checkpoint.images:,}"),
        Fact(label="Batch", value=f"{training.batch} images"),
        Fact(label="Processes", value=f"{execution.processes * execution.nodes}"),
        Fact(label="Arithmetic", value=training.precision),
        Fact(label="Image size", value=f"{card.size} px"),
        Fact(label="Registered as", value=f"{chapter.promotion.model}, version {chapter.promotion.version}"),
        Fact(label="In service now", value=f"version {chapter.promotion.champion}"),
        Fact(label="Export", value=chapter.checkpoint.export),
    )


def _pictures(evaluated: Evaluated) -> Iterator[Picture]:
    for scores in (evaluated.scores, evaluated.baselines):
        for path in sorted((scores.path / "pictures").glob("*.png"), key=_rank):
            if path.stem != "restorations":  # shown as panels
                caption = _CAPTIONS.get(path.stem, path.stem)
                yield Picture.of_file(path, alt=f"{path.stem}: {caption}", caption=caption)


def _rank(path: Path) -> tuple[int, str]:
    """Return a picture's place on the page: that of its caption above, and after all of these the others by name."""
    captions = list(_CAPTIONS)
    return (captions.index(path.stem) if path.stem in captions else len(captions), path.stem)


def _panels(evaluated: Evaluated) -> Panels | None:
    path = evaluated.scores.path / "panels.npz"
    if not path.is_file():
        return None
    with np.load(path) as kept:
        sides = [(name, kept[name]) for name in kept.files]
    labels = [f"test image {number + 1}" for number in range(len(sides[0][1]))]
    panels = panels_of(sides, labels, "Held-out images with masks frozen before training, small holes first.")
    return panels.model_copy(update={"after": 2})


def _plots(checkpoint: Checkpoint) -> Iterator[CurvePlot]:
    points = read_curve(checkpoint.path / "curve.jsonl")
    names = sorted({name for point in points for name in point} - {"images"})
    titles = dict.fromkeys(name.rpartition("/")[2] for name in names)
    for title in titles:
        members = [name for name in names if name.rpartition("/")[2] == title]
        curves = tuple(
            Curve(
                name=name.partition("/")[0] if "/" in name else name,
                points=tuple((point["images"], point[name]) for point in points if name in point),
            )
            for name in members
        )
        yield CurvePlot(title=title.replace("_", " "), curves=curves)


def _snapshots(checkpoint: Checkpoint) -> Iterator[Snapshot]:
    paths = sorted((checkpoint.path / "pictures").glob("*.png"))
    kinds = sorted({path.stem.rpartition("-")[0] for path in paths})
    for kind in kinds:
        course = [path for path in paths if path.stem.rpartition("-")[0] == kind]
        chosen = sorted({round(place) for place in np.linspace(0, len(course) - 1, min(_SNAPSHOTS, len(course)))})
        for path in (course[place] for place in chosen):
            images = int(path.stem.rpartition("-")[2])
            yield Snapshot(images=images, picture=Picture.of_file(path, alt=f"{kind} after {images:,} images"))


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


def _lineage(shards: ShardSet, corruptions: CorruptionSet | None, chapters: Sequence[Chapter]) -> Iterator[LineageStep]:
    yield LineageStep(kind="source", digest=shards.source_digest, note=shards.source)
    yield LineageStep(kind="shards", digest=shards.digest, note=f"{shards.accepted:,} images")
    if corruptions is not None:
        yield LineageStep(kind="corruption set", digest=corruptions.digest, note=f"{corruptions.samples:,} images")
    for chapter in chapters:
        yield LineageStep(kind="checkpoint", digest=chapter.checkpoint.digest, note=chapter.name)
        yield LineageStep(kind="export", digest=chapter.checkpoint.export, note=chapter.name)
        yield LineageStep(kind="scores", digest=chapter.evaluated.scores.digest, note=chapter.name)


def _links(shards: ShardSet, chapters: Sequence[Chapter], site: Site) -> Iterator[Link]:
    if site.tracking_uri.startswith(("http://", "https://")):
        yield Link(
            label="Runs in MLflow",
            url=redact_text(f"{site.tracking_uri.rstrip('/')}/#/experiments"),
            note=site.parent_run,
        )
    yield Link(label="Shards", url=_address(shards.path))
    for chapter in chapters:
        yield Link(label=f"Checkpoint of {chapter.name}", url=_address(chapter.checkpoint.path))


def _address(path: Path) -> str:
    return path.absolute().as_uri()
