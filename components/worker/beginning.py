"""Beginning: from the weights of an earlier training to networks that go on from them, with a new optimizer."""

from dataclasses import replace

from components.models.network import Judge
from components.recipes.recipe import PRODUCER, Recipe
from components.training.checkpoint import load_weights
from components.training.phase import Phase
from components.training.state import demand_shapes
from components.worker.jobs import Origin


def begun_from(origin: Origin, recipe: Recipe) -> Recipe:
    """Return the recipe with its networks as the training `origin` left them; the first layers of its judges stay so.

    The producer takes the averaged weights, which were judged and are served; what it plays against takes its last.

    Raises:
        ValueError: The earlier networks are others, or have fewer layers than are to stay.
    """
    weights = load_weights(origin.checkpoint, PRODUCER, origin.images)
    try:
        demand_shapes(weights, {name: tensor.shape for name, tensor in recipe.networks.state_dict().items()})
    except ValueError as error:
        raise ValueError(f"cannot go on from the weights of {origin.name}: {error}") from error
    recipe.networks.load_state_dict(weights)
    return replace(recipe, phases=[_held(phase, origin.frozen_layers) for phase in recipe.phases])


def _held(phase: Phase, count: int) -> Phase:
    """Return the phase with the first layers of what it trains standing still, if that is a judge."""
    if not count or not isinstance(phase.trains, Judge):
        return phase
    layers = phase.trains.layers()
    if count > len(layers):
        raise ValueError(
            f"retraining.frozen_layers is {count}, but the network of phase {phase.name} has {len(layers)} layers "
            "before its last"
        )
    return replace(phase, still=layers[:count])
