"""Rescore: what the model in service is worth on today's data, and whether it moved since it was promoted."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from components.artifacts import ArtifactError
from components.config import ModelConfig
from components.evaluation.drift import drift_of
from components.evaluation.protocol import MODEL_ROW, Score, ScoreTable
from components.recipes.export import read_card
from components.section import Section
from components.stages.candidate import Candidate, Data, Scores
from components.stages.evaluate import Measurement, log_values, measure
from components.stages.site import Site, registered_name
from components.tracking import registry

_DAY_S = 86_400


class Rescored(Section):
    """How the model in service does on today's data."""

    model: str
    """Registered name."""
    version: int
    """Version in service."""
    metric: str
    """The score that its promotion rule decides on."""
    then: tuple[float, float, float]
    """Value, low and high end of its 95 % interval on the yardstick."""
    now: tuple[float, float, float]
    """The same on today's held-out images."""
    verdict: Literal["moved", "held", "unknown"]
    """moved: worse than it was by more than chance explains."""
    reasons: tuple[str, ...]
    """Why, in words with numbers."""
    images: int
    """Images that today's score rests on."""
    scores: Scores
    """All of today's scores."""


def rescore(candidate: Candidate, data: Data, site: Site) -> Rescored:
    """Measure the model in service on today's held-out images, and say whether it moved. Nothing is decided.

    Today's scores go to the tracking run that trained it, as `rescore/METRIC` with the day since 1970 as the step.

    Args:
        candidate: Name of the model, how it is evaluated, and by which rule promoted.
        data: The yardstick and today's held-out images.
        site: Where the run happens.

    Raises:
        ValueError: No such model is in service, or it makes images of another size.
        ArtifactError: A score it is to be judged by is missing.
    """
    name, model, today = candidate.name, candidate.config, data.today
    registered = registered_name(site.experiment, name)
    version, export = _in_service(registered, today.shards.size, site)
    what = Measurement(model, export, data.yardstick, data.seed)
    then = measure(f"{name} champion", what, site)
    what = replace(what, judged_on=today, images=_as_many(model, data))
    now = measure(f"{name} champion today", what, site)
    one, other = (_score(scores.table, model.promotion.metric, registered, version) for scores in (then, now))
    drift = drift_of(one, other)
    day = int(datetime.now(UTC).timestamp()) // _DAY_S
    log_values(registry.run_of(registered, version), "rescore", now.table.values(), day)
    return Rescored(
        model=registered,
        version=version,
        metric=one.name,
        then=(one.value, one.low, one.high),
        now=(other.value, other.low, other.high),
        verdict=drift.verdict,
        reasons=drift.reasons,
        images=other.protocol.reference_samples or other.protocol.samples,
        scores=now,
    )


def _in_service(registered: str, wanted_px: int, site: Site) -> tuple[int, Path]:
    """Return the version in service and its export."""
    version = registry.champion(registered)
    if version is None:
        raise ValueError(f"{registered} has no version in service yet")
    folder = site.workspace.cache / "models" / f"{registered}-{version}"
    export = registry.download(registered, version, folder).export
    size = read_card(export).size
    if size != wanted_px:
        raise ValueError(f"{registered} {version} makes images of {size} px, the data has {wanted_px}")
    return version, export


def _as_many(model: ModelConfig, data: Data) -> int | None:
    """Return the yardstick's number of images where scores depend on it, as distances between sets do."""
    if data.fresh is None or not model.evaluation.compares_sets:
        return None
    return data.yardstick.shards.splits["test"].samples


def _score(table: ScoreTable, metric: str, registered: str, version: int) -> Score:
    score = table.find(MODEL_ROW, metric)
    if score is None:
        raise ArtifactError(
            f"{registered} {version} has no score {metric!r}; its evaluation measures none of that name"
        )
    return score
