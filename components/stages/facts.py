"""Facts: what the registry keeps of a version beside its scores, for people and for the leaderboard."""

from components.data import ShardSet
from components.report.costs import money
from components.stages.candidate import Checkpoint
from components.stages.night import Night
from components.stages.spent import training_cost
from components.training.config import PricePerHour

HOURS = "hours of training"
"""By the clock."""
COST = "cost of training"
"""In money, such as "1.24 EUR"."""
IMAGES = "images seen in training"
NUMBER = "data version"
"""Number of the shards among all that the configuration's source ever gave."""


def facts_of(
    checkpoint: Checkpoint, purpose: str, shards: ShardSet, night: Night | None, price: PricePerHour | None = None
) -> dict[str, str]:
    """Return what is worth saying of a version, by name.

    Args:
        checkpoint: The training that it came from.
        purpose: What the model does, e.g. "makes images".
        shards: What it was trained on.
        night: The night that made it; None outside of one.
        price: What its hours cost; None tells no money.
    """
    splits = ", ".join(f"{split.samples:,} {name}" for name, split in shards.splits.items())
    facts = {
        "what it does": f"{purpose} of {shards.size} px",
        IMAGES: f"{checkpoint.images:,}",
        "data": f"{shards.accepted:,} images ({splits}) of {shards.found:,} found, from {shards.source}",
        "licence of the data": shards.licence or "not known",
    }
    if (cost := training_cost(checkpoint.path, checkpoint.images)) is not None:
        facts[HOURS] = f"{cost.wall_s / 3600:.4g}"
        if spent := money([cost], price):
            facts[COST] = spent
    if night is not None:
        facts[NUMBER] = str(night.data_version)
    return facts
