"""Charts are whole SVG files, equal for equal values, and safe with any name."""

import math
from xml.etree import ElementTree as ET

import pytest

from components.evaluation.protocol import Protocol, Score
from components.report import charts
from components.report.content import Line


def bar(name: str = "model", value: float = 1.0, reference: str = "p") -> charts.Bar:
    protocol = Protocol(metric="m", implementation="i", reference=reference, samples=2)
    score = Score(name="fd_x", value=value, low=value - 0.1, high=value + 0.1, better="lower", protocol=protocol)
    return charts.Bar(name, "model", score, f"{value:.2f}")


def words(content: bytes) -> str:
    return " ".join(text for element in ET.fromstring(content).iter() for text in [element.text or ""])


def test_equal_curves_give_equal_bytes():
    line = Line(name="loss", points=((0, 1.0), (10, 0.5)))
    assert charts.svg(charts.curves([line])) == charts.svg(charts.curves([line]))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "$x^2$", "cost in $", "_hidden"])
def test_any_name_is_printed_as_it_is(name):
    lines = [Line(name=name, points=((0, 1.0), (10, 0.5))), Line(name="other", points=((0, 1.0),))]
    assert name.lstrip("_") in words(charts.svg(charts.curves(lines)))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[math.nan, 1.0, math.inf], [0.0, -1.0, 2.0], [math.nan, math.nan, math.nan], []])
def test_values_that_cannot_be_drawn_leave_gaps(values, log):
    line = Line(name="loss", points=tuple(enumerate(values)))
    ET.fromstring(charts.svg(charts.curves([line], log=log)))


def test_ink_follows_light_and_dark():
    text = charts.svg(charts.intervals([bar()])).decode()
    assert "prefers-color-scheme:dark" in text
    assert "fill: #2b2a27" not in text


def test_an_interval_chart_prints_the_tables_numbers():
    assert "1.00" in words(charts.svg(charts.intervals([bar(), bar("telea", 2.0)])))


def test_different_protocols_are_not_put_on_one_axis():
    with pytest.raises(ValueError, match="one protocol"):
        charts.intervals([bar(), bar(reference="q")])


def test_a_chart_can_be_a_png():
    assert charts.png(charts.curves([Line(name="loss", points=((0, 1.0), (10, 0.5)))])).startswith(b"\x89PNG")
