"""Cards: what a version of a model learnt from and how good it is, by its files, the registry and its run's page."""

from collections import OrderedDict
from typing import Literal

from pydantic import BaseModel

from components.recipes.recipe import ClassGenerator, Restorer
from components.report.content import DataCard, ModelPage
from components.report.scores import ScoreRow, score_rows
from components.serving.champions import Champions
from components.serving.pages import Pages
from components.serving.shelf import Champion

_MOST = 64


class Learnt(BaseModel):
    """What the model learnt from."""

    source: str
    version: str
    """Digest of the source's files."""
    licence: str | None
    images: int
    splits: dict[str, int]
    size_px: int


class Judged(BaseModel):
    """One score, and that of each other column of the page's table under the same protocol."""

    metric: str
    better: Literal["lower", "higher"]
    values: dict[str, str]
    """In the words of the page, by column: "model", "champion" for the one it was judged against, baselines."""
    intervals: dict[str, str]
    best: list[str]


class CardOfModel(BaseModel):
    """All that the page says of a version."""

    name: str
    version: int
    family: str
    mends: bool
    needs_mask: bool
    """Whether it only fills what is missing."""
    classes: list[str]
    """Which it can be asked to draw."""
    size_px: int
    """Side of the squares that it learnt on."""
    images_seen: int
    export: str
    """Digest of its files."""
    decision: str
    reasons: list[str]
    scores: list[Judged]
    plain_scores: dict[str, float]
    """What the registry holds, for versions of whose run there is no page."""
    ground: str
    """What the scores rest on."""
    learnt: Learnt | None
    lineage: dict[str, str]
    page: str | None
    """Address of the run's page, seen from the first page."""


class _Told(BaseModel):
    """What the page of a run says of one version."""

    decision: str = ""
    reasons: list[str] = []
    scores: list[Judged] = []
    ground: str = ""
    learnt: Learnt | None = None
    page: str | None = None


class Cards:
    """Puts together what is known of versions; what pages say is kept, for they never change."""

    def __init__(self, champions: Champions, pages: Pages) -> None:
        self._champions, self._pages = champions, pages
        self._told: OrderedDict[tuple[str, int], _Told] = OrderedDict()

    async def of(self, champion: Champion) -> CardOfModel:
        """Return what is known of a version in memory."""
        record = await self._champions.record(champion.name)
        version = next((one for one in self._champions.versions(record.name) if one.version == champion.version), None)
        told, producer = await self._page(champion), champion.producer
        return CardOfModel(
            name=champion.name,
            version=champion.version,
            family=record.family,
            mends=isinstance(producer, Restorer),
            needs_mask=isinstance(producer, Restorer) and not producer.restores_known,
            classes=list(producer.classes) if isinstance(producer, ClassGenerator) else [],
            size_px=champion.size_px,
            images_seen=champion.images,
            export=champion.export,
            plain_scores=version.scores if version else {},
            lineage=record.lineage if champion.version == record.champion else {},
            **vars(told),
        )

    async def _page(self, champion: Champion) -> _Told:
        key = champion.name, champion.version
        if key not in self._told:
            found = await self._pages.of_version(*key)
            if found is None:  # it may come yet: a run's page is its last stage
                return _Told()
            listed, content = found
            said = next(one for one in content.models if f"{content.run.name}-{one.name}" == champion.name)
            self._told[key] = _told(said, content.data, listed.address)
            while len(self._told) > _MOST:
                self._told.popitem(last=False)
        return self._told[key]


def _told(said: ModelPage, data: DataCard | None, address: str) -> _Told:
    return _Told(
        decision=said.decision.verdict if said.decision else "",
        reasons=list(said.decision.reasons) if said.decision else [],
        scores=[_judged(said, row) for row in score_rows(said.subjects) if not row.is_detail],
        ground=f"{said.ground.name}: {said.ground.facts}" if said.ground else "",
        learnt=_learnt(data) if data else None,
        page=address,
    )


def _judged(said: ModelPage, row: ScoreRow) -> Judged:
    cells = {subject.name: cell for subject, cell in zip(said.subjects, row.cells, strict=True) if cell is not None}
    return Judged(
        metric=row.metric,
        better=row.better,
        values={name: cell.text for name, cell in cells.items()},
        intervals={name: cell.interval for name, cell in cells.items()},
        best=[name for name, cell in cells.items() if cell.is_best],
    )


def _learnt(data: DataCard) -> Learnt:
    return Learnt(
        source=data.source,
        version=data.digest,
        licence=data.licence,
        images=data.accepted,
        splits=data.splits,
        size_px=data.size_px,
    )
