"""Compiling: whether torch.compile will pay back in a training's images, which does not change on resuming."""

import torch

from components.models.summary import multiply_adds
from components.recipes.recipe import RecipeSection

_SECONDS_A_NETWORK = 23.0
"""What compiling takes: 46 s for SNGAN's two networks (NVIDIA H200, 16 cores, torch 2.11)."""
_SECONDS_SAVED = 38e-6
"""What compiling saves of an image in replayed steps: 26,380 images/s for 13,077 of that SNGAN on the same card ..."""
_OF_MULTIPLY_ADDS = 1.62e9
"""... whose generator takes so many multiply-adds an image. Others are taken to save in proportion to theirs."""


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
    adds = multiply_adds(recipe.serving_network(size), *recipe.example(size))
    saved_s = images * _SECONDS_SAVED * adds / _OF_MULTIPLY_ADDS
    spent_s = networks * _SECONDS_A_NETWORK
    if saved_s > spent_s:
        return None
    return (
        f"execution.compile: not done, as it would not pay back: compiling {networks} networks takes about "
        f"{spent_s:.0f} s, and saves about {saved_s:.0f} s of {images:,} images"
    )
