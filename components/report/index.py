"""The index page: every run's page in a folder, newest first, rebuilt from the pages themselves."""

import json
import logging
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import AwareDatetime, ValidationError

from components.artifacts import write_atomically
from components.report.content import Link, ModelPage, PageContent, Record
from components.report.rendering import render

ENTRY = "kintsugi-run"
LEADERBOARD = "leaderboard.html"
"""Name of the file, beside the index, that lists the versions of all models."""
_HEAD_BYTES = 65_536
_SKIPPED = "skipped-{}.json"
_SKIPPED_SHOWN = 5
_log = logging.getLogger(__name__)


class HeadScore(Record):
    """The score that decides about a model, with the digest of its protocol."""

    name: str
    value: float
    low: float
    high: float
    better: Literal["lower", "higher"]
    protocol: str


class ModelVerdict(Record):
    """What became of one model of a run: the gate's verdict, or that it failed; None when no gate judged it."""

    model: str
    verdict: Literal["promote", "reject", "hold", "failed"] | None
    version: str = ""
    """In the registry; empty where the model has none, or an earlier version of this code wrote the page."""
    score: HeadScore | None = None
    """None likewise, or where nothing was scored."""


class IndexEntry(Record):
    """One line of the index. Every page carries its own in its head, so a folder of pages is its own record."""

    name: str
    finished: AwareDatetime
    config_digest: str
    verdicts: tuple[ModelVerdict, ...]
    link: Link


class SkippedNight(Record):
    """A night that was not begun, by the rule of its configuration."""

    title: str
    why: str
    at: AwareDatetime


class Lead(Record):
    """Where to look first: a model's newest run, and the run with its best score on the same images."""

    model: str
    newest: IndexEntry
    verdict: Literal["promote", "reject", "hold", "failed"] | None
    """Of the newest."""
    best: IndexEntry | None
    """None where no page says how good the newest is."""
    score: HeadScore | None
    """Of the best."""
    measured: int
    """Runs that were measured as the newest was, it included."""


def leads(entries: Sequence[IndexEntry]) -> list[Lead]:
    """Return the newest and the best run of every model, models of equally named runs together.

    The best is the best of those that were measured as the newest was: equal score, equal protocol.
    """
    courses: dict[tuple[str, str], list[tuple[IndexEntry, ModelVerdict]]] = {}
    for entry in sorted(entries, key=lambda one: one.finished, reverse=True):
        for item in entry.verdicts:
            courses.setdefault((entry.name, item.model), []).append((entry, item))
    return [_lead(f"{run}-{model}", course) for (run, model), course in sorted(courses.items())]


def _lead(model: str, course: Sequence[tuple[IndexEntry, ModelVerdict]]) -> Lead:
    newest, became = course[0]
    scored = [(entry, item.score) for entry, item in course if item.score is not None]
    if not scored:
        return Lead(model=model, newest=newest, verdict=became.verdict, best=None, score=None, measured=0)
    last = scored[0][1]
    alike = [pair for pair in scored if (pair[1].name, pair[1].protocol) == (last.name, last.protocol)]
    choose = min if last.better == "lower" else max
    best, score = choose(alike, key=lambda pair: pair[1].value)
    return Lead(model=model, newest=newest, verdict=became.verdict, best=best, score=score, measured=len(alike))


def entry_of(content: PageContent, url: str) -> IndexEntry:
    """Return the line of the index for `content`, whose page lies at `url` seen from the index."""
    judged = (
        ModelVerdict(
            model=model.name,
            verdict=model.decision.verdict if model.decision else None,
            version=model.version,
            score=_head_score(model),
        )
        for model in content.models
    )
    failed = (ModelVerdict(model=model.name, verdict="failed") for model in content.failed)
    run = content.run
    return IndexEntry(
        name=run.name,
        finished=run.finished,
        config_digest=run.config_digest,
        verdicts=(*judged, *failed),
        link=Link(label=run.name, url=url),
    )


def _head_score(model: ModelPage) -> HeadScore | None:
    """Return the first charted score of the model itself, or else its first."""
    own = [score for subject in model.subjects if subject.role == "model" for score in subject.scores]
    head = next((score for score in own if score.name in model.charted), next(iter(own), None))
    if head is None:
        return None
    kept = head.model_dump(include={"name", "value", "low", "high", "better"})
    return HeadScore(protocol=head.protocol.digest, **kept)


def write_index(entries: Sequence[IndexEntry], path: Path) -> Path:
    """Write the list of `entries`, newest first, whole or not at all, and return its path."""
    newest_first = sorted(entries, key=lambda entry: entry.finished, reverse=True)
    has_board = (path.parent / LEADERBOARD).is_file()
    values = {"entries": newest_first, "leads": leads(entries), "leaderboard": LEADERBOARD if has_board else None}
    values["skipped"] = _skipped_in(path.parent)
    return render("index.html.jinja", {**values, "title": "Runs"}, path)


def write_skipped(run: str, nights: Sequence[SkippedNight], folder: Path) -> None:
    """Keep in a folder of pages the last nights of a run that were skipped; the index lists them when it is rebuilt."""
    last = [night.model_dump(mode="json") for night in reversed(skipped_last(nights))]
    write_atomically(folder / _SKIPPED.format(run), json.dumps(last, indent=1).encode())


def skipped_last(nights: Iterable[SkippedNight]) -> list[SkippedNight]:
    """Return as many skipped nights as a page shows, newest first."""
    return sorted(nights, key=lambda night: night.at, reverse=True)[:_SKIPPED_SHOWN]


def _skipped_in(folder: Path) -> list[SkippedNight]:
    """Return the last skipped nights of all runs of a folder, newest first."""
    nights: list[SkippedNight] = []
    for file in sorted(folder.glob(_SKIPPED.format("*"))):
        try:
            nights += [SkippedNight.model_validate(one) for one in json.loads(file.read_bytes())]
        except ValueError as error:
            _log.warning("%s: left out of the index, it is not one this version reads (%s)", file, error)
    return skipped_last(nights)


def rebuild_index(folder: Path) -> Path:
    """Write `folder/index.html` from the run pages found under `folder`, at any depth, and return its path.

    Other HTML files are passed over; a run page whose line another version wrote and this one cannot read is logged
    and left out. Two rebuilds at once do no harm: each writes a whole file.
    """
    return write_index(entries_in(folder), folder / "index.html")


def entries_in(folder: Path) -> list[IndexEntry]:
    """Return the lines of the run pages found under `folder`, at any depth, with links as seen from there."""
    found = ((page, entry) for page in sorted(folder.rglob("*.html")) if (entry := _read_entry(page)) is not None)
    return [
        entry.model_copy(update={"link": Link(label=entry.name, url=f"./{quote(page.relative_to(folder).as_posix())}")})
        for page, entry in found
    ]


def entry_in(html: bytes) -> IndexEntry | None:
    """Return the line of the index that a page carries in its head; None if the file is no run's page.

    Raises:
        ValidationError: The line was written by another version of this code, or by nobody's.
    """
    finder = _EntryFinder()
    finder.feed(html[:_HEAD_BYTES].decode(errors="replace").partition("</head>")[0])
    return None if finder.content is None else IndexEntry.model_validate_json(finder.content)


class _EntryFinder(HTMLParser):
    """Finds the meta tag in which a page carries its line of the index."""

    content: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "meta" and facts.get("name") == ENTRY:
            self.content = facts.get("content")


def _read_entry(page: Path) -> IndexEntry | None:
    with page.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        return entry_in(head)
    except ValidationError as error:
        _log.warning("%s: left out of the index, its line there is not one this version reads (%s)", page, error)
        return None
