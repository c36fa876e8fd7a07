"""Costs: how large a model is, served and in training; counted once and remembered, for it needs torch and seconds."""

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from components.artifacts import write_atomically
from components.recipes.recipe import RecipeSection
from components.section import Section, digest_of

_CODE = 2
"""Version of what is counted; raise it when equal networks would have other numbers."""


class Costs(Section):
    """What a model costs."""

    parameters: int
    """Trained numbers of the network that is served."""
    multiply_adds: int
    """Of one image, in that network."""
    training_bytes: int | None
    """Memory that a process needs for its networks and a step in float32, without libraries and data; bfloat16 needs
    down to half of it. None where a loss looks through a trained network, which is not counted."""


def costs_of(recipe: RecipeSection, size: int, rows: int, cache: Path) -> Costs:
    """Return what the networks of a recipe cost.

    Args:
        recipe: With all filled in that it leaves to the training images, classes too.
        size: Side of the square images, in pixels.
        rows: Images that a process passes through the networks at once in training.
        cache: Folder that remembers; if it is not there, nothing is remembered.
    """
    kept = cache / f"costs-{digest_of([_CODE, recipe, size, rows])}.json"
    try:
        return Costs.model_validate_json(kept.read_bytes())
    except (OSError, ValidationError):
        costs = _counted(recipe, size, rows)
    if cache.is_dir():
        with suppress(OSError):  # a disk that is full or can only be read: they are counted again
            write_atomically(kept, costs.model_dump_json().encode())
    return costs


def _counted(recipe: RecipeSection, size: int, rows: int) -> Costs:
    from components.models.summary import count_parameters, multiply_adds  # imports torch

    network = recipe.serving_network(size)
    return Costs(
        parameters=count_parameters(network),
        multiply_adds=multiply_adds(network, *recipe.example(size)),
        training_bytes=None if recipe.features_trained_on else _training_bytes(recipe, size, rows),
    )


def _training_bytes(recipe: RecipeSection, size: int, rows: int) -> int:
    import torch

    from components.data import Batch
    from components.recipes.recipe import PRODUCER
    from components.training.memory import held_bytes, step_bytes

    with torch.device("meta"):
        built = recipe.build(size, seed=0)
        image, mask = torch.zeros(rows, 3, size, size), torch.zeros(rows, 1, size, size)
        labels = torch.zeros(rows, dtype=torch.long) if recipe.needs_classes else None
        batch = Batch(image, image.clone(), mask, seed=0, first_image=0, offset=0, global_size=rows, labels=labels)
        return step_bytes(built.phases, batch) + held_bytes(built.phases, built.networks[PRODUCER])
