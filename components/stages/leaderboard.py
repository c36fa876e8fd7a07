"""Leaderboard: from the registry's versions, and their scores in the store, to the page that lists them all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

import numpy as np

from components.artifacts import Store
from components.evaluation.protocol import MODEL_ROW, Score
from components.pictures.figures import Pictures
from components.report.content import Panels, Picture
from components.report.index import LEADERBOARD, IndexEntry, entries_in
from components.report.leaderboard import (
    Better,
    Course,
    Look,
    Mark,
    Part,
    Reign,
    Verdict,
    VersionRow,
    write_leaderboard,
)
from components.report.restoration import panels_of
from components.stages.candidate import Scores
from components.stages.facts import COST, HOURS, IMAGES, NUMBER
from components.tracking.cards import FACT, HEADLINE
from components.tracking.overview import Overview, overview
from components.tracking.standing import State
from components.tracking.versions import Version

_DECIDED = "gate.decided_at"
_FETCHED = 50
"""Of so many newest versions scores are fetched from a shared store; of older ones those of this machine are shown."""
_SHOWN = 8
_SAMPLES = 4


def renew_leaderboard(store: Store, pages: Path) -> Path:
    """Write the leaderboard of all registered models into the folder of pages, and return its path."""
    return write_courses(*read_courses(store, pages), pages)


def read_courses(store: Store, pages: Path) -> tuple[list[Course], list[str]]:
    """Return what there is to say of every model, and why others are left out.

    Args:
        store: Where scores and pictures of the versions are; of those that it lacks, the registry's values are told.
        pages: Folder of the runs' pages, to which the versions' numbers lead.
    """
    return courses_of(overview(), store, entries_in(pages))


def courses_of(found: Overview, store: Store, entries: Sequence[IndexEntry]) -> tuple[list[Course], list[str]]:
    """Return what there is to say of every model, and why others are left out.

    Args:
        found: What the registry says.
        store: Where scores and pictures of the versions are.
        entries: The runs' pages, with links as seen from the leaderboard.
    """
    addresses = _addresses(entries)
    present = set(store.digests(Scores.folder()))
    courses = [
        course_of(name, state, store, present, addresses) for name, state in found.states.items() if state.versions
    ]
    return courses, [f"{name} is left out: {why}" for name, why in found.distrusted.items()]


def write_courses(courses: Sequence[Course], notes: Sequence[str], pages: Path) -> Path:
    """Write the leaderboard into the folder of pages, where the index leads to it, and return its path."""
    return write_leaderboard(courses, notes, pages / LEADERBOARD)


def course_of(
    name: str, state: State, store: Store, present: set[str], addresses: Mapping[tuple[str, str], str]
) -> Course:
    """Return all that the leaderboard says of one model.

    Args:
        name: Its registered name.
        state: What the registry says of it.
        store: Where scores are.
        present: Digests of the scores that the store has.
        addresses: Of the runs' pages, by registered name and version.
    """
    newest_first = sorted(state.versions.values(), key=lambda version: version.number, reverse=True)
    kept = {
        version.number: scores
        for place, version in enumerate(newest_first)
        if (scores := _kept(version, store, present, is_fetched=place < _FETCHED)) is not None
    }
    tables = {number: scores.table.rows[MODEL_ROW] for number, scores in kept.items()}
    headlines = [version.tags.get(HEADLINE, "") for version in newest_first]
    metric = next((words.partition(" ")[0] for words in headlines if words), None)
    course = Course(
        name=name,
        family=newest_first[0].family,
        metric=metric,
        better=_better(tables.values(), headlines, metric),
        rows=tuple(_row(version, tables.get(version.number, ()), state, addresses) for version in newest_first),
        reigns=tuple(_reigns(state)),
    )
    chosen = _chosen(course, state, kept)
    return course.model_copy(update={"panels": _mended(chosen, kept), "looks": tuple(_looks(chosen, kept))})


def _kept(version: Version, store: Store, present: set[str], *, is_fetched: bool) -> Scores | None:
    digest = version.lineage.get("scores", "")
    if digest not in present:
        return None
    return (store if is_fetched else Store(store.root)).by_digest(Scores, digest)


def _row(
    version: Version, scores: Sequence[Score], state: State, addresses: Mapping[tuple[str, str], str]
) -> VersionRow:
    facts = {key.removeprefix(FACT): value for key, value in version.tags.items() if key.startswith(FACT)}
    decision, decided = version.decision, version.tags.get(_DECIDED)
    measured = {score.name: Mark(score.value, score.low, score.high, score.protocol.digest) for score in scores}
    told = {name: Mark(value, None, None, "") for name, value in version.scores.items()}
    return VersionRow(
        number=version.number,
        decided=datetime.fromisoformat(decided) if decided else None,
        verdict=_verdict(decision.verdict) if decision else None,
        reason=decision.reasons[0] if decision and decision.reasons else "",
        part=_part(version.number, state),
        served=any(entry.version == version.number for entry in state.history.entries),
        data=facts.get(NUMBER) or version.lineage.get("shards", "")[:8],
        images=facts.get(IMAGES, ""),
        hours=float(facts[HOURS]) if HOURS in facts else None,
        cost=facts.get(COST, ""),
        marks=told | measured,
        page=addresses.get((version.name, str(version.number)), ""),
    )


def _verdict(word: str) -> Verdict | None:
    """Return a verdict; None for a word that is none, which somebody wrote into the tag."""
    return next((verdict for verdict in get_args(Verdict) if verdict == word), None)


def _part(number: int, state: State) -> Part | None:
    held = vars(state.standing)
    return next((part for part in get_args(Part) if held[part] == number), None)


def _better(tables: Iterable[Sequence[Score]], headlines: Sequence[str], metric: str | None) -> dict[str, Better]:
    """Return which way is better by score, the deciding score first; others only where the store has a table."""
    known: dict[str, Better] = {score.name: score.better for scores in tables for score in scores}
    if metric is None:
        return known
    told: Better = "higher" if "higher is better" in next(filter(None, headlines), "") else "lower"
    return {metric: known.get(metric, told), **known}


def _reigns(state: State) -> Iterator[Reign]:
    """Yield the champions, each with the version that was newest when it came into service."""
    decided = {
        number: datetime.fromisoformat(at)
        for number, version in state.versions.items()
        if (at := version.tags.get(_DECIDED)) is not None
    }
    for entry in state.history.entries:
        then = datetime.fromisoformat(entry.at)
        known = [number for number, when in decided.items() if when <= then]
        yield Reign(since=max([*known, entry.version]), version=entry.version)


def _chosen(course: Course, state: State, kept: Mapping[int, Scores]) -> list[int]:
    """Return the versions whose pictures are shown, oldest first: the newest, then the champions, measured alike."""
    alike = [number for number in sorted(course.compared(), reverse=True) if number in kept]
    champions = [number for number in reversed(state.history.line) if number in alike]
    return sorted(list(dict.fromkeys((*alike[:3], *champions, *alike)))[:_SHOWN])


def _looks(chosen: Sequence[int], kept: Mapping[int, Scores]) -> Iterator[Look]:
    """Yield what each version draws from the evaluation's seeds; nothing for models that do not draw."""
    for number in chosen:
        path = kept[number].path / "pictures" / "samples.png"
        if path.is_file():
            yield Look(version=f"version {number}", picture=Picture.of_file(path, alt=f"Samples of version {number}"))


def _mended(chosen: Sequence[int], kept: Mapping[int, Scores]) -> Panels | None:
    """Return truth, damage and what each version makes of it, of versions that were shown the same bytes."""
    sides: dict[str, Pictures] = {}
    for number in reversed(chosen):  # the newest says which images
        path = kept[number].path / "panels.npz"
        if not path.is_file():
            continue
        with np.load(path) as file:
            given = {name: file[name][:_SAMPLES] for name in file.files[:2]}
            if not sides:
                sides = dict(given)
            if all(name in sides and np.array_equal(sides[name], images) for name, images in given.items()):
                sides[f"version {number}"] = file[file.files[2]][:_SAMPLES]
    if len(sides) <= 2:
        return None
    truth, damaged, *versions = sides.items()
    labels = [f"test image {number + 1}" for number in range(len(truth[1]))]
    return panels_of([truth, damaged, *reversed(versions)], labels, "The same test images and masks, byte for byte.")


def _addresses(entries: Sequence[IndexEntry]) -> dict[tuple[str, str], str]:
    """Return the addresses of the pages by registered name and version."""
    return {
        (f"{entry.name}-{item.model}", item.version): entry.link.url
        for entry in entries
        for item in entry.verdicts
        if item.version
    }
