"""The leaderboard of a registry and a store: what stands in it, what is compared, whose pictures are shown."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from components.artifacts import Store
from components.evaluation.protocol import Protocol, Score, ScoreTable
from components.pictures.encoding import png
from components.stages.candidate import Scores
from components.stages.leaderboard import course_of
from components.tracking.ledger import History
from components.tracking.standing import State
from components.tracking.versions import Version

START = datetime(2026, 11, 1, tzinfo=UTC)
NIGHTS = 5


def score(value: float, reference: str) -> Score:
    protocol = Protocol(metric="mean", implementation="test 1", reference=reference, samples=10)
    return Score(name="psnr_hole", value=value, low=value - 1, high=value + 1, better="higher", protocol=protocol)


def measured(store: Store, number: int, reference: str, *, shift: int = 0) -> Scores:
    """Return scores as an evaluation leaves them; damage differs with `shift`."""

    def write(draft):
        ScoreTable(subject=f"m{number}", rows={"model": (score(20.0 + number, reference),)}).write(
            draft / "scores.json"
        )
        (draft / "pictures").mkdir()
        shade = np.full((16, 16, 3), 20 * number, np.uint8)
        (draft / "pictures" / "samples.png").write_bytes(png(shade))
        images = np.stack([shade, shade + 1])
        np.savez(draft / "panels.npz", Truth=images * 0 + 9, Damaged=images * 0 + shift, Mended=images)
        return {"subject": f"m{number}"}

    return store.materialise(Scores, {"number": number, "reference": reference}, write)


def version(number: int, scores: str, verdict: str) -> Version:
    tags = {
        "lineage.scores": scores,
        "lineage.shards": "abcdef0123456789",
        "score.psnr_hole": str(20.0 + number),
        "kintsugi.headline": f"psnr_hole {20.0 + number} (95 %: 1 to 2), higher is better",
        "gate.verdict": verdict,
        "gate.reasons": json.dumps([f"because of {number}"]),
        "gate.decided_at": (START + timedelta(days=number)).isoformat(),
        "fact.images seen in training": "64,000",
        **({"fact.hours of training": "1.25", "fact.data version": str(number)} if number > 1 else {}),
        **({"fact.cost of training": f"{number}.50 EUR"} if number > 3 else {}),
    }
    return Version("cats-inpainter", number, "m", "r", tags)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def state(store):
    """Version 1 on another set, 2 and 4 promoted, 3 rejected, then back to 2; the store has lost what 5 scored."""
    history = History()
    for number in (2, 4):
        history = history.then(history.next_entry("promote", number, "e", "gate").model_copy(update={"at": at(number)}))
    back = history.next_entry("rollback", 2, "e", "ann").model_copy(update={"at": at(4.5)})
    history = history.then(back)
    kept = {1: measured(store, 1, "old set"), **{n: measured(store, n, "set") for n in (2, 3, 4)}}
    versions = {
        number: version(number, kept[number].digest if number in kept else "gone", verdict)
        for number, verdict in ((1, "reject"), (2, "promote"), (3, "reject"), (4, "promote"), (5, "hold"))
    }
    return State("cats-inpainter", "run", {}, history, versions)


def at(days: float) -> str:
    return (START + timedelta(days=days, minutes=1)).isoformat()


@pytest.fixture
def course(state, store):
    return course_of(state.name, state, store, set(store.digests("scores")), {("cats-inpainter", "4"): "./cats.html"})


def test_versions_stand_newest_first_with_decision_data_hours_and_page(course):
    assert [row.number for row in course.rows] == [5, 4, 3, 2, 1]
    four, one = course.rows[1], course.rows[4]
    assert (four.verdict, four.reason, four.data, four.hours) == ("promote", "because of 4", "4", 1.25)
    assert (four.page, one.page) == ("./cats.html", "")
    assert (one.data, one.hours) == ("abcdef01", None)
    assert [row.cost for row in course.rows] == ["5.50 EUR", "4.50 EUR", "", "", ""]
    assert [row.part for row in course.rows] == ["challenger", None, None, "champion", None]
    assert [row.number for row in course.rows if row.served] == [4, 2]


def test_the_champions_line_follows_promotions_and_the_rollback(course):
    assert [(reign.since, reign.version) for reign in course.reigns] == [(2, 2), (4, 4), (4, 2)]


def test_of_lost_scores_the_registrys_value_is_told_without_an_interval(course):
    lost, kept = course.rows[0].marks["psnr_hole"], course.rows[1].marks["psnr_hole"]
    assert (lost.value, lost.low, lost.protocol) == (25, None, "")
    assert (kept.value, kept.low, kept.high) == (24, 23, 25)
    assert course.better == {"psnr_hole": "higher"}
    assert course.metric == "psnr_hole"


def test_pictures_stand_side_by_side_where_all_saw_the_same(course):
    assert course.panels.columns == ("Truth", "Damaged", "version 2", "version 3", "version 4")
    assert [look.version for look in course.looks] == ["version 2", "version 3", "version 4"]


def test_a_version_that_saw_other_damage_is_not_among_the_pictures(state, store):
    other = measured(store, 6, "set", shift=3)
    versions = {**state.versions, 6: version(6, other.digest, "reject")}
    changed = State(state.name, state.ledger, {}, state.history, versions)
    course = course_of(state.name, changed, store, set(store.digests("scores")), {})
    assert course.panels.columns == ("Truth", "Damaged", "version 6")
    assert "version 6" in [look.version for look in course.looks]
