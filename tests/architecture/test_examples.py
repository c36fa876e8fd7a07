"""Every section that a file can name has an example, which survives being written and read; no test leaves one out."""

import pytest
from pydantic import ValidationError

from components.models.network import NetworkSection
from components.recipes.recipe import RecipeSection
from components.section import Section
from tests.examples import MATRIX, example, nameable, sections_in

EVERY = sorted(nameable(), key=lambda member: member.__name__)


@pytest.mark.parametrize("member", EVERY)
def test_every_section_that_a_file_can_name_has_an_example(member: type[Section]) -> None:
    try:
        one = example(member)
    except ValidationError as error:
        pytest.fail(f"{member.__name__} has values without a default: give it an example in tests/examples.py\n{error}")
    assert type(one) is member
    assert member.model_validate_json(one.model_dump_json()) == one


def test_every_family_and_every_network_that_a_file_can_name_is_in_the_matrix() -> None:
    wanted = {member for member in EVERY if issubclass(member, RecipeSection | NetworkSection)}
    missing = wanted - {type(one) for one in sections_in(MATRIX)}
    assert not missing, f"not in tests/end_to_end/model_matrix.yaml: {', '.join(one.__name__ for one in missing)}"
    assert len(wanted) > 10
