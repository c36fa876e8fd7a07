"""Fitting: whether networks can be built for the images that they are shown, and for those that they are judged by."""

from components.recipes.recipe import RecipeSection
from components.training.config import TrainingConfig


def check_sizes(name: str, recipe: RecipeSection, training: TrainingConfig, size: int) -> None:
    """Refuse a model that cannot see images of the size that they have, or of the squares that are cut from them.

    Args:
        name: Of the model, for messages.
        recipe: Its networks.
        training: What they are shown.
        size: Side of the data set's images, in pixels.

    Raises:
        ValueError: It is such a model; the message names the numbers.
    """
    crop = training.crop
    if crop is not None and not recipe.needs_corruption:
        raise ValueError(
            f"models.{name}.training.crop is for models that mend; one of kind '{recipe.kind}' would make images of "
            f"{crop} px and be judged beside those of dataset.size: remove it"
        )
    if crop is not None and crop > size:
        raise ValueError(f"models.{name}.training.crop {crop} is larger than dataset.size {size}")
    if crop is not None and crop * max(training.crop_shrinks) > size:
        raise ValueError(
            f"models.{name}.training.crop {crop} times {max(training.crop_shrinks)}, the largest of crop_shrinks, is "
            f"larger than dataset.size {size}"
        )
    for what, side in (("dataset.size", size), ("training.crop", training.size_seen(size))):
        try:
            recipe.check(side)
        except ValueError as error:
            raise ValueError(f"model '{name}' does not fit {what} {side}: {error}") from error
