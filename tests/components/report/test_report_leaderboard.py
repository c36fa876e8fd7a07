"""The leaderboard compares what was measured alike, and shows the rest as what it is."""

import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np

from components.report.leaderboard import Course, Mark, Reign, VersionRow, write_leaderboard

START = datetime(2026, 10, 1, 2, tzinfo=UTC)


def row(number: int, value: float, *, protocol: str = "p2", verdict: str = "promote", **facts: object) -> VersionRow:
    return VersionRow(
        number=number,
        decided=START + timedelta(days=number),
        verdict=verdict,
        reason=f"fid {value} is what it is",
        part=facts.pop("part", None),
        served=verdict == "promote",
        data=str(number),
        images="400,000",
        hours=1.5 + number / 10,
        marks={"fid": Mark(value, value - 0.4, value + 0.4, protocol), **facts.pop("others", {})},
        **facts,
    )


def course(*rows: VersionRow, **facts: object) -> Course:
    return Course(
        name=facts.pop("name", "cats-gan"),
        family="gan",
        metric="fid",
        better={"fid": "lower", "psnr": "higher"},
        rows=rows,
        reigns=facts.pop("reigns", ()),
        **facts,
    )


def carried(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def test_every_version_stands_in_the_table_and_leads_to_its_page(tmp_path):
    board = course(row(2, 20.0, part="champion", page="./cats-2.html"), row(1, 30.0, verdict="reject"))
    text = write_leaderboard([board], [], tmp_path / "leaderboard.html").read_text()
    assert text.count("<tr data-verdict") == 2
    assert 'href="./cats-2.html"' in text
    assert "<strong>Version 2</strong> is in service" in text
    assert "20.00" in text
    assert "[19.60, 20.40]" in text
    assert "1 promoted, 1 rejected, 0 held" in text


def test_a_score_measured_otherwise_is_marked_and_not_drawn(tmp_path):
    board = course(row(3, 20.0), row(2, 21.0), row(1, 5.0, protocol="p1"), reigns=(Reign(since=1, version=1),))
    text = write_leaderboard([board], [], tmp_path / "leaderboard.html").read_text()
    assert text.count('class="score other"') == 1
    assert "fid of 2 versions of cats-gan" in text
    assert [numbers[0][3] for numbers in carried(text)["rows"]] == [0, 0, 1]


def test_a_value_without_an_interval_is_shown_and_not_compared(tmp_path):
    told = row(1, 5.0).model_copy(update={"marks": {"fid": Mark(5.0, None, None, "")}})
    board = course(row(2, 20.0), told)
    assert list(board.compared()) == [2]
    text = write_leaderboard([board], [], tmp_path / "leaderboard.html").read_text()
    assert carried(text)["rows"][1][0] == [5.0, None, None, 1]


def test_scores_that_few_versions_have_leave_empty_places(tmp_path):
    board = course(row(2, 20.0, others={"psnr": Mark(30.0, 29.0, 31.0, "q")}), row(1, 22.0))
    found = carried(write_leaderboard([board], [], tmp_path / "leaderboard.html").read_text())
    assert [one["name"] for one in found["metrics"]] == ["fid", "psnr"]
    assert found["rows"][1][1] == 0


def test_names_and_reasons_cannot_become_markup(tmp_path):
    bad = "</script><script>alert(1)</script>"
    board = course(row(1, 20.0).model_copy(update={"reason": bad, "data": bad}), name=bad)
    board = board.model_copy(update={"better": {"fid": "lower", bad: "higher"}})
    text = write_leaderboard([board], [f"{bad} is left out"], tmp_path / "leaderboard.html").read_text()
    assert "<script>alert" not in text
    assert carried(text)["metrics"][1]["name"] == bad


def test_no_versions_and_no_models_say_so(tmp_path):
    assert "No model is registered yet" in write_leaderboard([], [], tmp_path / "leaderboard.html").read_text()


def test_the_champions_line_ends_at_the_newest_version(tmp_path):
    rows = [row(number, 20.0 + number) for number in range(6, 0, -1)]
    board = course(*rows, reigns=(Reign(since=1, version=1), Reign(since=4, version=4), Reign(since=5, version=1)))
    assert "newest 26.00, champion 21.00" in write_leaderboard([board], [], tmp_path / "leaderboard.html").read_text()


def test_a_thousand_versions_with_a_hundred_scores_stay_below_20_megabytes(tmp_path):
    rng = np.random.Generator(np.random.Philox(1))
    names = [f"score_{place}" for place in range(99)]
    drawn = [
        {name: Mark(value, value - 0.123456, value + 0.123456, "p") for name, value in zip(names, values, strict=True)}
        for values in rng.normal(20, 5, (1000, 99)).tolist()
    ]
    rows = [row(1000 - place, 20.0, others=marks) for place, marks in enumerate(drawn)]
    board = course(*rows).model_copy(update={"better": dict.fromkeys(["fid", *names], "lower")})
    assert write_leaderboard([board], [], tmp_path / "leaderboard.html").stat().st_size < 20e6


def test_costs_have_a_column_where_a_price_was_given(tmp_path):
    free = write_leaderboard([course(row(1, 30.0))], [], tmp_path / "free.html").read_text()
    priced = course(row(2, 20.0, cost="1.24 EUR"), row(1, 30.0))
    text = write_leaderboard([priced], [], tmp_path / "priced.html").read_text()
    assert ">Cost</button>" not in free
    assert ">Cost</button>" in text
    assert '<td class="cost" data-v="1.24">1.24 EUR</td>' in text
    assert '<td class="cost" data-v=""></td>' in text
