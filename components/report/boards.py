"""From the models of several runs to score tables: a table for each set of held-out images that any was measured on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components.evaluation.protocol import Score
from components.report.content import Ground, ModelPage, Record, Subject
from components.report.scores import ScoreRow, score_rows


class Board(Record):
    """One table of a comparison. All of its columns were measured on the same images."""

    heading: str
    note: str
    subjects: tuple[Subject, ...]
    """One for each run, then the champion of a night that stands alone, then the baselines that the runs share."""
    rows: tuple[ScoreRow, ...]


@dataclass
class _Sitting:
    """Runs whose scores have protocols in common."""

    protocols: set[str]
    scored: dict[str, tuple[Ground | None, tuple[Subject, ...]]] = field(default_factory=dict)
    """Ground and subjects by run."""


def boards_of(models: Mapping[str, ModelPage]) -> tuple[Board, ...]:
    """Return the tables of one model family: those that compare most runs first, then nights' own data.

    Scores stand in one table where protocols are shared, so that no table has a column to which another is a dash.

    Args:
        models: The family's model of each run.
    """
    sittings: list[_Sitting] = []
    for run, model in models.items():
        _seat(sittings, run, model.ground, model.subjects)
    for run, model in models.items():
        if model.fresh is not None:
            _seat(sittings, run, model.fresh.ground, model.fresh.subjects)
    sittings.sort(key=lambda one: -len(one.scored))  # stable: what decides stays before what is fresh
    return tuple(_board(one, [run for run in models if run in one.scored]) for one in sittings)


def _seat(sittings: list[_Sitting], run: str, ground: Ground | None, subjects: tuple[Subject, ...]) -> None:
    """Add a run to the sitting that it shares protocols with, or to a new one; what it has in common becomes one."""
    protocols = {score.protocol.digest for subject in subjects for score in subject.scores}
    if not protocols:
        return
    joined = _Sitting(protocols)
    for one in [one for one in sittings if one.protocols & protocols]:
        joined.protocols |= one.protocols
        joined.scored |= one.scored
        sittings.remove(one)
    joined.scored.setdefault(run, (ground, subjects))
    sittings.append(joined)


def _board(sitting: _Sitting, runs: Sequence[str]) -> Board:
    everyone = [subject for run in runs for subject in sitting.scored[run][1]]
    models = [
        subject.model_copy(update={"name": run})
        for run in runs
        for subject in sitting.scored[run][1]
        if subject.role == "model"
    ]
    champions = [subject for subject in everyone if subject.role == "champion"] if len(runs) == 1 else []
    subjects = (*models, *champions, *_baselines(everyone))
    grounds = [ground for run in runs if (ground := sitting.scored[run][0]) is not None]
    ground = next((one for one in grounds if one.is_pinned), next(iter(grounds), None))
    if ground is None:
        heading, note = "Scores", ""
    elif ground.is_pinned:
        heading, note = f"Scores on {ground.name}", f"{ground.facts}."
    else:
        heading, note = f"Scores on the data of {' and '.join(runs)}", f"{ground.facts}; they decided nothing."
    return Board(heading=heading, note=note, subjects=subjects, rows=score_rows(subjects))


def _baselines(subjects: Iterable[Subject]) -> list[Subject]:
    """Return each baseline once, with what any run measured of it; equal protocols give equal numbers."""
    scores: dict[str, dict[tuple[str, str], Score]] = {}
    for subject in subjects:
        if subject.role == "baseline":
            known = scores.setdefault(subject.name, {})
            for score in subject.scores:
                known.setdefault((score.name, score.protocol.digest), score)
    return [Subject(name=name, role="baseline", scores=tuple(known.values())) for name, known in scores.items()]
