"""Model page: from what became of one model to what the run's page shows of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.config import ModelConfig
from components.evaluation.gate import Decision
from components.evaluation.protocol import MODEL_ROW
from components.models.features import named
from components.pictures.figures import encode_within
from components.recipes.export import read_card
from components.report.content import (
    CurvePlot,
    Fact,
    FreshScores,
    Ground,
    Line,
    ModelPage,
    Panels,
    Picture,
    PictureStrip,
    Snapshot,
    StripFrame,
    Subject,
)
from components.report.restoration import panels_of
from components.stages.candidate import (
    Candidate,
    Checkpoint,
    Data,
    Evaluated,
    EvaluationSet,
    Promotion,
    Scores,
    Start,
    after,
)
from components.stages.spent import clock_of, costs_of
from components.training.config import TrainingConfig
from components.training.curve import read_curve

_SNAPSHOTS = 6
_FRAME_BYTES = 15_000
_LOAD = "system/"
"""Begins the names of what the machine was busy with, which the table of costs sums up."""
_CAPTIONS = {
    "samples": "Drawn from the model with the evaluation seed; not chosen.",
    "reconstructions": "Test images and what is left of them after the bottleneck.",
    "interpolations": "From one test image to the next by straight ways between the means of their codes.",
    "interpolations_of_samples": "From one sample to the next by arcs between their codes, in even steps.",
    "random": "Baseline random: noise.",
    "template": "Baseline template: altered copies of training images.",
    "baselines": "What fills need no training, on the same damaged images.",
    "restorations": "Test images, the damage, and the mended picture.",
    "nearest": "Samples, and beside each the training image that is nearest to it, pixel by pixel.",
    "worst": "The two worst pictures of each bin of missing area, by PSNR, small holes first.",
    "best": "The two best pictures of each bin of missing area, likewise.",
    "looked_at": "What the model looks at: the more gold, the more the hole's fill changes if that part is hidden too.",
}


def model_page(candidate: Candidate, data: Data) -> ModelPage:
    """Return what the page shows of a model that has been through all stages."""
    evaluated, promotion = after("evaluate", candidate.evaluated), after("promote", candidate.promotion)
    checkpoint, table = after("train", candidate.checkpoint), evaluated.table
    return ModelPage(
        name=candidate.name,
        version=str(promotion.version),
        decision=Decision(verdict=promotion.verdict, reasons=promotion.reasons),
        facts=_facts(candidate.config, checkpoint, promotion, data.start_of(candidate.name)),
        subjects=(
            *_judged(evaluated.scores, promotion.champion_scores),
            *(Subject(name=name, role="baseline", scores=table.rows[name]) for name in table.baselines),
        ),
        ground=_ground(data.yardstick, candidate.config),
        fresh=_fresh(candidate, data),
        charted=(candidate.config.promotion.metric,),
        samples=tuple(_pictures(evaluated)),
        panels=_panels(evaluated),
        strips=tuple(_strips(evaluated)),
        plots=tuple(_plots(checkpoint)),
        progress=tuple(_snapshots(checkpoint)),
        costs=tuple(costs_of(checkpoint, evaluated)),
        clock=tuple(clock_of(read_curve(checkpoint.path / "curve.jsonl"))),
        price_per_hour=candidate.config.execution.price_per_hour,
    )


def _fresh(candidate: Candidate, data: Data) -> FreshScores | None:
    scores, promotion = after("evaluate", candidate.evaluated).fresh, after("promote", candidate.promotion)
    if data.fresh is None or scores is None:
        return None
    subjects = tuple(_judged(scores, promotion.champion_fresh))
    return FreshScores(ground=_ground(data.fresh, candidate.config), subjects=subjects)


def _judged(scores: Scores, champion: Scores | None) -> Iterator[Subject]:
    """Yield the columns of the model and of the champion it was judged against."""
    yield Subject(name="model", role="model", scores=scores.table.rows[MODEL_ROW])
    if champion is not None:
        yield Subject(name="champion", role="champion", scores=champion.table.rows[MODEL_ROW])


def _ground(judged_on: EvaluationSet, model: ModelConfig) -> Ground:
    damaged = judged_on.corruptions if model.evaluation.needs_corruption else None
    facts = judged_on.facts if damaged is None else f"{damaged.samples:,} damaged, of {judged_on.facts}"
    return Ground(name=judged_on.name, facts=facts, is_pinned=judged_on.pinned is not None)


def _squares(training: TrainingConfig) -> str:
    shrunk = f", shrunk by {training.crop_shrinks}" if training.crop_shrinks != (1,) else ""
    return f"{training.crop} px{shrunk}"


def _facts(model: ModelConfig, checkpoint: Checkpoint, promotion: Promotion, start: Start | None) -> tuple[Fact, ...]:
    training, execution = model.training, model.execution
    card = read_card(checkpoint.path / "export")
    began = () if start is None else (Fact(label="Began with", value=f"{start.name}, {start.images:,} images"),)
    squares = () if training.crop is None else (Fact(label="Learnt on squares of", value=_squares(training)),)
    return (
        Fact(label="Family", value=checkpoint.family),
        Fact(label="Images seen", value=f"{checkpoint.images_in_all:,}"),
        *began,
        Fact(label="Batch", value=f"{training.batch} images"),
        Fact(label="Processes", value=f"{execution.processes * execution.nodes}"),
        Fact(label="Arithmetic", value=training.precision),
        Fact(label="Image size", value=f"{card.size} px"),
        *squares,
        *(Fact(label="Trained through features of", value=named(one)) for one in model.recipe.features_trained_on),
        Fact(label="Registered as", value=f"{promotion.model}, version {promotion.version}"),
        Fact(label="In service now", value=f"version {promotion.champion}"),
        Fact(label="Export", value=checkpoint.export),
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


def _strips(evaluated: Evaluated) -> Iterator[PictureStrip]:
    path = evaluated.scores.path / "strips.npz"
    if not path.is_file():
        return
    with np.load(path) as kept:
        labels = [f"{place:+g} deviations" if place else "as drawn" for place in kept["places"].tolist()]
        for title in (name for name in kept.files if name != "places"):
            pictures = [encode_within(frame, _FRAME_BYTES) for frame in kept[title]]
            frames = tuple(
                StripFrame(label=label, picture=Picture(content=content, alt=f"{title}, {label}"))
                for label, content in zip(labels, pictures, strict=True)
            )
            yield PictureStrip(title=title, frames=frames)


def _plots(checkpoint: Checkpoint) -> Iterator[CurvePlot]:
    points = read_curve(checkpoint.path / "curve.jsonl")
    names = sorted({name for point in points for name in point if not name.startswith(_LOAD)} - {"images"})
    titles = dict.fromkeys(name.rpartition("/")[2] for name in names)
    for title in titles:
        members = [name for name in names if name.rpartition("/")[2] == title]
        curves = tuple(
            Line(
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
