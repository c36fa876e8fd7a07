"""Image page: what a run's page says of its images: what is odd about them, and whether new ones look otherwise."""

from components.data import ShardSet
from components.evaluation.shift import Measure
from components.quality.report import QualityReport, quality_report
from components.report.findings import Compared, DriftCard, OddImages, QualityCard
from components.report.record import Picture
from components.stages.candidate import Candidate, Data
from components.stages.shift import DataShift, learnt_from
from components.stages.site import Site


def quality_card(data: Data, site: Site) -> QualityCard:
    """Return what is odd about the images of a run."""
    report = quality_report(data.shards, site.store, site.executor)
    by_class = {name: dict[str, int]() for counts in report.classes.values() for name in counts}
    for split, counts in report.classes.items():
        for name, count in counts.items():
            by_class[name][split] = count
    return QualityCard(
        digest=report.digest,
        images=data.shards.accepted,
        odd=tuple(_odd(report)),
        left_out=data.copies.left_out if data.copies is not None else None,
        classes=by_class,
    )


def drift_cards(candidates: list[Candidate], today: ShardSet, site: Site) -> tuple[DriftCard, ...]:
    """Return how new images compare with what the champions learnt from that a run's models were judged against."""
    judged = {
        one.promotion.model: one.promotion.judged_against
        for one in candidates
        if one.promotion is not None and one.promotion.judged_against is not None
    }
    return tuple(_drift(shift, models) for shift, models in learnt_from(judged, today, site))


def _odd(report: QualityReport) -> list[OddImages]:
    found = []
    for one in report.findings:
        picture = report.path / one.picture
        examples = Picture.of_file(picture, alt=f"Images that are {one.name}") if picture.is_file() else None
        found.append(OddImages(name=one.name, images=one.images, words=one.words, examples=examples))
    return found


def _drift(one: DataShift, models: tuple[str, ...]) -> DriftCard:
    return DriftCard(
        models=models,
        known=one.known,
        verdict=one.shift.verdict,
        reasons=one.shift.reasons,
        new_images=one.new_images,
        images=one.shift.images,
        measures=tuple(map(_compared, one.shift.measures)),
        classes=tuple(map(_compared, one.shift.classes)),
        formats=dict(one.formats),
        file_px=one.file_px if one.new_images else None,
    )


def _compared(measure: Measure) -> Compared:
    return Compared.model_validate(measure.model_dump())
