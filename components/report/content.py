"""What a page shows, as plain values: the typed tree that a stage fills in and the templates print."""

from typing import Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from components.evaluation.gate import Decision
from components.evaluation.protocol import Score
from components.report.costs import StageCost
from components.report.findings import DriftCard, QualityCard
from components.report.record import Picture as Picture
from components.report.record import Record as Record
from components.training.config import PricePerHour

LAYOUT: Literal[2] = 2
"""Version of the JSON that a page leaves; raise it, and teach `older` the step, when an older one would not be read."""

_SCHEMES = ("http://", "https://", "file://")


class Link(Record):
    """A way to something outside the page: a tracking run, a folder, another page."""

    label: str = Field(min_length=1)
    url: str = Field(min_length=1)
    """http, https or file address, or a path relative to the page."""
    note: str = ""

    @field_validator("url")
    @classmethod
    def _is_harmless(cls, url: str) -> str:
        head = url.split("/", maxsplit=1)[0].split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
        if url.lower().startswith(_SCHEMES) or ":" not in head:
            return url
        raise ValueError(f"a link must be an http, https or file address or a relative path, found {url!r}")


class Fact(Record):
    """One line of a list of facts, for example ("Parameters", "3.1 million")."""

    label: str = Field(min_length=1)
    value: str


class Subject(Record):
    """One column of a score table: the model, the champion or a baseline."""

    name: str = Field(min_length=1)
    role: Literal["model", "champion", "baseline"]
    scores: tuple[Score, ...]
    """Without the values of single pictures, which are for the gate and would make up most of a page's JSON."""

    @field_validator("scores")
    @classmethod
    def _without_single_pictures(cls, scores: tuple[Score, ...]) -> tuple[Score, ...]:
        return tuple(score.model_copy(update={"per_image": None}) for score in scores)


class Line(Record):
    """One line of a plot."""

    name: str = Field(min_length=1)
    points: tuple[tuple[float, float], ...]
    """Pairs (images seen, value); values that are not finite leave a gap."""


class CurvePlot(Record):
    """Several lines over images seen, on one pair of axes."""

    title: str = Field(min_length=1)
    unit: str = ""
    curves: tuple[Line, ...] = Field(min_length=1)
    log: bool = False
    """Draw the values on a logarithmic axis."""
    protocol: str | None = None
    """Digest of the protocol of all its values; None for losses, which need none."""


class Snapshot(Record):
    """What the model made at one moment of its training."""

    images: int = Field(ge=0)
    """Images seen by then."""
    picture: Picture


class PanelRow(Record):
    """One sample, in the same order of views as its table's columns."""

    label: str = Field(min_length=1)
    pictures: tuple[Picture, ...]


class Panels(Record):
    """Samples in rows, views of them (truth, corrupted, restored ...) in columns."""

    columns: tuple[str, ...] = Field(min_length=2)
    rows: tuple[PanelRow, ...] = Field(min_length=1)
    before: int = Field(default=1, ge=0)
    """Index of the column that the compare slider shows on its left."""
    after: int = Field(default=3, ge=0)
    """Index of the column that the compare slider shows on its right."""
    caption: str = ""

    @model_validator(mode="after")
    def _is_rectangular(self) -> Self:
        for row in self.rows:
            if len(row.pictures) != len(self.columns):
                raise ValueError(f"row {row.label!r} has {len(row.pictures)} pictures for {len(self.columns)} columns")
        if max(self.before, self.after) >= len(self.columns):
            raise ValueError(f"before={self.before}, after={self.after}, but there are {len(self.columns)} columns")
        return self


class StripFrame(Record):
    """One place of a strip."""

    label: str = Field(min_length=1)
    picture: Picture


class PictureStrip(Record):
    """Views of the same samples, of which a slider shows one at a time."""

    title: str = Field(min_length=1)
    frames: tuple[StripFrame, ...] = Field(min_length=1)

    @property
    def start(self) -> int:
        """The view that is shown first: the one in the middle."""
        return len(self.frames) // 2


class Ground(Record):
    """The held-out images that a table of scores rests on."""

    name: str = Field(min_length=1)
    """What people call them: "evaluation set 1", "today's data"."""
    facts: str
    """How many, and of what, in words."""
    is_pinned: bool
    """The same night after night; else those of one night's data."""


class FreshScores(Record):
    """Scores beside those that decide: on the held-out images of the night's own data."""

    ground: Ground
    subjects: tuple[Subject, ...]
    """The model first, then the champion if there is one."""


class ModelPage(Record):
    """All that the page says of one model."""

    name: str = Field(min_length=1)
    """Family and address on the page, e.g. "inpainter"."""
    version: str = ""
    """Version in the registry; empty when it has none."""
    decision: Decision | None = None
    """None when the model was not put before the gate."""
    facts: tuple[Fact, ...] = ()
    subjects: tuple[Subject, ...] = ()
    """The model first, then the champion if there is one, then the baselines."""
    ground: Ground | None = None
    """What their scores rest on; None on pages of versions that did not say."""
    fresh: FreshScores | None = None
    """None where the night's own held-out images are those that decide."""
    charted: tuple[str, ...] = ()
    """Metrics to draw as intervals; empty draws the first row of the table."""
    samples: tuple[Picture, ...] = ()
    panels: Panels | None = None
    strips: tuple[PictureStrip, ...] = ()
    """What samples become along directions of the model's code; empty on pages of versions that did not look."""
    plots: tuple[CurvePlot, ...] = ()
    progress: tuple[Snapshot, ...] = ()
    costs: tuple[StageCost, ...] = ()
    """What its stages took; empty on pages of versions that did not measure it."""
    clock: tuple[tuple[float, float], ...] = ()
    """Pairs (images seen, hours of training by then); empty likewise."""
    price_per_hour: PricePerHour | None = None
    """What its hours cost; None where the configuration did not say."""

    @property
    def all_subjects(self) -> tuple[Subject, ...]:
        """Return the columns of both tables of scores."""
        return (*self.subjects, *(self.fresh.subjects if self.fresh else ()))


class RejectedFile(Record):
    """A source file that was refused."""

    name: str
    reason: str


class DataCard(Record):
    """What came in, and what became of it."""

    source: str
    digest: str
    licence: str | None = None
    size_px: int = Field(ge=1)
    found: int = Field(ge=0)
    accepted: int = Field(ge=0)
    duplicates: int = Field(default=0, ge=0)
    rejected: dict[str, int] = Field(default_factory=dict)
    """Files refused, by reason."""
    took: str | None = None
    """How many files were read and images encoded for this version of the data, in words."""
    splits: dict[str, int] = Field(default_factory=dict)
    """Samples of each split."""
    examples: Picture | None = None
    rejected_files: tuple[RejectedFile, ...] = ()
    """The first refused files; the whole list lies beside the shards."""


class AreaBin(Record):
    """How many samples of the corruption set miss a share in (low, high] of their pixels."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    samples: int = Field(ge=0)


class CorruptionCard(Record):
    """The frozen corruptions that every restoration score rests on."""

    digest: str
    seed: int
    bins: tuple[AreaBin, ...]
    kinds: dict[str, int] = Field(default_factory=dict)
    """Samples by kind of mask or degradation."""
    examples: Picture | None = None


class LineageStep(Record):
    """One artifact on the road from the data to this page."""

    kind: str
    digest: str
    note: str = ""


class RunFacts(Record):
    """Which run this is and how to make it again."""

    name: str = Field(min_length=1)
    finished: AwareDatetime
    config_digest: str
    command: str
    """The exact command that makes this run again."""
    environment: tuple[Fact, ...] = ()
    config: str = ""
    """The configuration as YAML; without secrets, which it never holds."""


class FailedModel(Record):
    """A model of the run that there is nothing to show of."""

    name: str
    reason: str


class PageContent(Record):
    """One run's page. What an earlier version wrote is read by `older.read_content`."""

    layout: Literal[2] = LAYOUT
    run: RunFacts
    models: tuple[ModelPage, ...]
    failed: tuple[FailedModel, ...] = ()
    data: DataCard | None = None
    quality: QualityCard | None = None
    """None on pages of versions that did not look."""
    drift: tuple[DriftCard, ...] = ()
    """One for each set of images that a champion learnt from which the run had more than."""
    corruption: CorruptionCard | None = None
    lineage: tuple[LineageStep, ...] = ()
    links: tuple[Link, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"two models of one page have the same name: {', '.join(names)}")
        return self
