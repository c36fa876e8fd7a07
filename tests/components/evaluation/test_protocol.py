"""A score carries its protocol, and only equal protocols are compared."""

import math

import pytest
from pydantic import ValidationError

from components.evaluation.protocol import Protocol, Score, ScoreTable, differences

PROTOCOL = Protocol(
    metric="m", implementation="i 1", reference="r", samples=4, seed=3, settings={"splits": 2, "width": 0.5}
)


def score(name="fid", value=2.0, low=1.0, high=3.0, **changes):
    return Score(name=name, value=value, low=low, high=high, better="lower", protocol=PROTOCOL, **changes)


@pytest.mark.parametrize("field", ["value", "low", "high"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(field, number):
    with pytest.raises(ValidationError):
        score(**{field: number})


def test_value_outside_its_interval_is_refused():
    with pytest.raises(ValidationError, match="outside its interval"):
        score(value=4.0)


def test_pictures_that_do_not_average_to_the_value_are_refused():
    with pytest.raises(ValidationError, match="not the mean"):
        score(per_image=(1.0, 2.0))


def test_table_survives_writing_and_reading(tmp_path):
    table = ScoreTable(
        subject="s", rows={"model": (score(value=0.1 + 0.2, low=0.0, per_image=(0.1, 0.5)),), "random": ()}
    )
    table.write(tmp_path / "scores.json")
    again = ScoreTable.read(tmp_path / "scores.json")
    assert again == table
    assert again.rows["model"][0].protocol.digest == PROTOCOL.digest
    assert table.values() == {"fid": 0.1 + 0.2}


def test_file_with_a_nan_is_refused(tmp_path):
    path = tmp_path / "scores.json"
    ScoreTable(subject="s", rows={"model": (score(),)}).write(path)
    path.write_text(path.read_text().replace("2.0", "NaN"))
    with pytest.raises(ValidationError):
        ScoreTable.read(path)


def test_row_with_one_name_twice_is_refused():
    with pytest.raises(ValidationError, match="more than one score named fid"):
        ScoreTable(subject="s", rows={"model": (score(), score())})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"samples": 5},
        {"extractor_sha256": "ab"},
        {"preprocessing": "x"},
        {"settings": {"splits": 3, "width": 0.5}},
        {"reference": "other"},
    ],
)
def test_any_other_protocol_forbids_comparison_and_is_named(change):
    other = score().model_copy(update={"protocol": PROTOCOL.model_copy(update=change)})
    assert not differences(score(), score(value=1.5))
    assert next(iter(change)) in differences(score(), other)[0]
    assert other.protocol.digest != PROTOCOL.digest
