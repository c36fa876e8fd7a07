"""Facts: what the registry keeps of a version beside its scores, for people and for the leaderboard."""

from components.data import ShardSet
from components.stages.candidate import Checkpoint, Start
from components.stages.night import Night
from components.stages.spent import training_cost

HOURS = "hours of training"
"""By the clock."""
IMAGES = "images seen in training"
"""Those of the trainings that it went on from included."""
BEGAN = "began with"
"""Whose weights its training began with; there only where they were not drawn."""
NUMBER = "data version"
"""Number of the shards among all that the configuration's source ever gave."""


def facts_of(
    checkpoint: Checkpoint, purpose: str, shards: ShardSet, night: Night | None, start: Start | None = None
) -> dict[str, str]:
    """Return what is worth saying of a version, by name.

    Args:
        checkpoint: The training that it came from.
        purpose: What the model does, e.g. "makes images".
        shards: What it was trained on.
        night: The night that made it; None outside of one.
        start: The version whose weights it began with; None where they were drawn.
    """
    splits = ", ".join(f"{split.samples:,} {name}" for name, split in shards.splits.items())
    facts = {
        "what it does": f"{purpose} of {shards.size} px",
        IMAGES: f"{checkpoint.images_in_all:,}",
        "data": f"{shards.accepted:,} images ({splits}) of {shards.found:,} found, from {shards.source}",
        "licence of the data": shards.licence or "not known",
    }
    if (cost := training_cost(checkpoint.path, checkpoint.images)) is not None:
        facts[HOURS] = f"{cost.wall_s / 3600:.4g}"
    if start is not None:
        facts[BEGAN] = f"the weights of {start.name}, which had seen {start.images:,} images{_frozen(start)}"
    if night is not None:
        facts[NUMBER] = str(night.data_version)
    return facts


def _frozen(start: Start) -> str:
    return f"; the discriminator's first {start.frozen_layers} layers kept them" if start.frozen_layers else ""
