"""Costs: how large a model's network is, counted once and remembered, for counting needs torch and takes seconds."""

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from components.artifacts import write_atomically
from components.recipes.recipe import RecipeSection
from components.section import Section, digest_of

_CODE = 1
"""Version of what is counted; raise it when equal networks would have other numbers."""


class Costs(Section):
    """What a network costs."""

    parameters: int
    """Trained numbers."""
    multiply_adds: int
    """Of one image."""


def costs_of(recipe: RecipeSection, size: int, cache: Path) -> Costs:
    """Return what the network that a recipe serves costs, for images of `size` px.

    Args:
        recipe: With all filled in that it leaves to the training images.
        size: Side of the square images, in pixels.
        cache: Folder that remembers; if it is not there, nothing is remembered.
    """
    kept = cache / f"costs-{digest_of([_CODE, recipe, size])}.json"
    try:
        return Costs.model_validate_json(kept.read_bytes())
    except (OSError, ValidationError):
        costs = _counted(recipe, size)
    if cache.is_dir():
        with suppress(OSError):  # a disk that is full or can only be read: they are counted again
            write_atomically(kept, costs.model_dump_json().encode())
    return costs


def _counted(recipe: RecipeSection, size: int) -> Costs:
    from components.models.summary import count_parameters, multiply_adds  # imports torch

    network = recipe.serving_network(size)
    return Costs(parameters=count_parameters(network), multiply_adds=multiply_adds(network, *recipe.example(size)))
