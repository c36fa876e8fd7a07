"""A section refuses what it does not know and cannot change; equal values have one text and one digest."""

import json
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from components.config.fields import schema_of
from components.section import Grown, Section, canonical_json, digest_of, kinds


class Small(Section):
    kind: Literal["small"] = "small"
    width_px: int = 3
    """Width of the line, in pixels."""


class Large(Section):
    kind: Literal["large"] = "large"


class Older(Section):
    kind: Literal["line"] = "line"
    width_px: int = 3


class Newer(Grown):
    kind: Literal["line"] = "line"
    width_px: int = 3
    dashes: tuple[int, ...] = ()

    ADDED: ClassVar[frozenset[str]] = frozenset({"dashes"})


Size = Annotated[Small | Large, Field(discriminator="kind")]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_a_misspelt_option_is_an_error_that_names_it():
    with pytest.raises(ValidationError, match="widht_px"):
        Small.model_validate({"widht_px": 4})


def test_a_section_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Small().width_px = 4


def test_the_docstring_of_a_field_is_its_description():
    class Smaller(Small):
        """A line that is kept short."""

        length_px: int = 5
        """Length of the line, in pixels."""
        colour: str = "black"

    described = {name: field.get("description") for name, field in schema_of(Smaller)["properties"].items()}
    assert described == {
        "kind": None,
        "width_px": "Width of the line, in pixels.",
        "length_px": "Length of the line, in pixels.",
        "colour": None,
    }


def test_the_members_of_a_union_are_its_registry():
    assert kinds(Size) == (Small, Large)
    assert kinds(Annotated[Small, Field()]) == (Small,)
    assert TypeAdapter(Size).validate_python({"kind": "large"}) == Large()


class Shape(Section, ABC):
    kind: str

    @property
    @abstractmethod
    def corners(self) -> int: ...

    @abstractmethod
    def draw(self) -> str: ...


def test_a_section_that_a_file_can_name_and_that_lacks_a_member_is_refused_where_it_is_written():
    class Rounded(Shape):  # no file can name it yet
        corners: ClassVar[int] = 0

    with pytest.raises(TypeError, match=r"\.Circle lacks draw, which its base asks for"):

        class Circle(Rounded):
            kind: Literal["circle"] = "circle"

    with pytest.raises(TypeError, match=r"\.Square lacks corners, draw,"):

        class Square(Shape):
            kind: Literal["square"] = "square"

    class Dot(Rounded):
        kind: Literal["dot"] = "dot"

        def draw(self) -> str:
            return "."

    assert Dot().draw() == "."


@given(values)
def test_canonical_json_says_the_value(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_matter(value):
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


def test_a_section_a_mapping_and_a_tuple_have_one_digest():
    assert digest_of([Small()]) == digest_of(({"width_px": 3, "kind": "small"},))
    assert digest_of(Small()) != digest_of(Small(width_px=4))


def test_a_digest_is_the_same_in_every_version_of_this_code():
    assert digest_of({"a": [1, 2.5, None, "é"]}) == "2a30e3d7f3e10ee10eff"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_a_field_that_came_later_changes_a_digest_only_where_it_says_something():
    assert digest_of(Newer()) == digest_of(Newer(dashes=())) == digest_of(Older())
    assert digest_of(Newer(dashes=(2, 1))) != digest_of(Newer())
    assert Newer.model_validate(Newer(dashes=(2, 1)).model_dump()).dashes == (2, 1)
    assert Newer.model_validate(Older().model_dump()) == Newer()
