"""A file's values mean what a person wrote: what YAML 1.1 reads otherwise is refused, with where and what was meant."""

from pathlib import Path

import pytest

from components.config import text
from components.config.text import TextError


@pytest.mark.parametrize("written", ["017", "-010", "08", "00", "0_7"])
def test_a_number_with_a_zero_before_it_is_no_octal_one(written: str) -> None:
    with pytest.raises(TextError, match=rf"^a\.b: expected .*, found {written}, .* octal.*\(line 2\)$"):
        text.parse(f"a:\n  b: {written}")


@pytest.mark.parametrize("written", ["10:40", "1:30:00", "-1:30", "10:40.5"])
def test_a_time_of_day_is_no_number(written: str) -> None:
    with pytest.raises(TextError, match=r"^a\.0: expected a number, found .*sixties"):
        text.parse(f"a: [{written}]")


@pytest.mark.parametrize("written", ["!!binary aGVsbG8=", "2026-11-26", "2026-02-31", "!!python/object:os.system x"])
def test_bytes_dates_and_objects_are_refused(written: str) -> None:
    with pytest.raises(TextError, match=r"^a: expected text, a number, or true or false"):
        text.parse(f"a: {written}")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0", 0), ("10", 10), ("1_000", 1000), ("-7", -7), ("0x1f", 31), ("0.5", 0.5), ("1e-4", 1e-4), ("2E3", 2000.0),
        ("off", False), ("yes", True), ("~", None), ("'017'", "017"), ("'10:40'", "10:40"), ("a:b", "a:b"),
        ("s3://a/b", "s3://a/b"), ("'2026-11-26'", "2026-11-26"), ("1.2.3", "1.2.3"), ("0.0", 0.0),
    ],
)  # fmt: skip
def test_what_is_no_trap_is_read_as_ever(written: str, read: object) -> None:
    found = text.parse(f"a: {written}")["a"]
    assert (found, type(found)) == (read, type(read))


def test_anchors_are_read_as_ever() -> None:
    assert text.parse("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_a_key_that_is_there_twice_is_named_with_both_lines() -> None:
    with pytest.raises(TextError, match=r"^a\.b: this key is there twice, in line 2 and in line 4$"):
        text.parse("a:\n  b: 1\n  c: 2\n  b: 3")


@pytest.mark.parametrize("written", ["[" * 5_000, "{a: " * 5_000])
def test_deep_nesting_ends_in_words(written: str) -> None:
    with pytest.raises(TextError, match="deeper than can be read"):
        text.parse(f"a: {written}")


def test_a_number_of_thousands_of_digits_is_counted_and_not_read() -> None:
    with pytest.raises(TextError, match=r"^seed: expected at most 300 digits, found 5,000"):
        text.parse(f"seed: {'9' * 5_000}")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a: 1\n\tb: 2", "line 2, column 1: .*indent with spaces"),
        ("a: [1", "line 1, column 6: while parsing a flow sequence expected"),
        ("a: 1\n---\nb: 2", "line 2, column 1: expected a single document"),
        ("a: \x00", "special characters are not allowed"),
        ("a: !mine {b: 1}", "line 1, column 4: could not determine a constructor for the tag '!mine'"),
    ],
)
def test_what_is_no_yaml_is_said_in_one_line_with_its_place(written: str, words: str) -> None:
    with pytest.raises(TextError, match=f"^not YAML.*{words}") as caught:
        text.parse(written)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("name: é".encode("utf-8-sig"))
    assert text.read(tmp_path / "a.yaml") == {"name": "é"}


@pytest.mark.parametrize(("coding", "found"), [("utf-16", "byte 0xff at 0"), ("latin-1", "byte 0xe9 at 6")])
def test_another_encoding_is_refused_with_the_byte(tmp_path: Path, coding: str, found: str) -> None:
    (tmp_path / "a.yaml").write_bytes("name: é".encode(coding))
    with pytest.raises(TextError, match=f"expected text in UTF-8, found {found}"):
        text.read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "value", [1e-05, 1e30, 64, True, None, "it's", "no", "1e-3", [1, 2.5], {"kind": "adam", "betas": [0.0, 0.99]}]
)
def test_an_assignment_is_read_back_as_the_value_it_was_written_of(value):
    path, _, written = text.assignment("models.vae.recipe.x", value).partition("=")
    assert path == "models.vae.recipe.x"
    assert "\n" not in written
    assert text.parse(written) == value
    assert type(text.parse(written)) is type(value)
