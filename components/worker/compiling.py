"""Compiling: whether torch.compile will pay back in a training's images, which does not change on resuming."""

import torch

from components.models.summary import numbers_made
from components.recipes.recipe import RecipeSection

_SECONDS_A_NETWORK = 30.0
"""What compiling takes: 44 to 79 s for trainings of one or two networks, five of them side by side on 16 cores
(`tests/benchmarks/results/gpu_h200_202611.md`)."""
_SECONDS_SAVED = 16e-12
"""What compiling saves of an image in replayed steps, for each number that the producer writes when making one: fusing
spares memory. 12e-12 to 21e-12 in the four trainings of that page, which no ratio to multiply-adds fits as well."""


def reason_not_to(recipe: RecipeSection, size: int, images: int, networks: int, device: torch.device) -> str | None:
    """Return why compiling will not pay back, in words; None where it will.

    It is judged by all images of the training, not by those that are left, so that a resumed one is compiled if and
    only if the undisturbed one is: their bytes would differ else. On a CPU nothing is known, and what was asked for is
    done.

    Args:
        recipe: With all filled in that it leaves to the training images.
        size: Side of the square images, in pixels.
        images: Images of the whole training.
        networks: Networks to compile.
        device: Where it trains.
    """
    if device.type == "cpu":
        return None
    numbers = numbers_made(recipe.serving_network(size), *recipe.example(size))
    saved_s = images * _SECONDS_SAVED * numbers
    spent_s = networks * _SECONDS_A_NETWORK
    if saved_s > spent_s:
        return None
    return (
        f"execution.compile: not done, as it would not pay back: compiling {networks} networks takes about "
        f"{spent_s:.0f} s, and saves about {saved_s:.0f} s of {images:,} images"
    )
