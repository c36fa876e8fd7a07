"""Facts: what the registry keeps of a version beside its scores, for people and for the leaderboard."""

from components.report.costs import money
from components.stages.candidate import Candidate, Data, Start, after
from components.stages.night import Night
from components.stages.spent import training_cost

HOURS = "hours of training"
"""By the clock."""
COST = "cost of training"
"""In money, such as "1.24 EUR"."""
IMAGES = "images seen in training"
"""Those of the trainings that it went on from included."""
BEGAN = "began with"
"""Whose weights its training began with; there only where they were not drawn."""
NUMBER = "data version"
"""Number of the shards among all that the configuration's source ever gave."""


def facts_of(candidate: Candidate, purpose: str, data: Data, night: Night | None) -> dict[str, str]:
    """Return what is worth saying of a version, by name.

    Args:
        candidate: The model, trained.
        purpose: What it does, e.g. "makes images".
        data: What it was trained on.
        night: The night that made it; None outside of one.
    """
    checkpoint, shards = after("train", candidate.checkpoint), data.shards
    splits = ", ".join(f"{split.samples:,} {name}" for name, split in shards.splits.items())
    facts = {
        "what it does": f"{purpose} of {shards.size} px",
        IMAGES: f"{checkpoint.images_in_all:,}",
        "data": f"{shards.accepted:,} images ({splits}) of {shards.found:,} found, from {shards.source}",
        "licence of the data": shards.licence or "not known",
    }
    if (cost := training_cost(checkpoint.path, checkpoint.images)) is not None:
        facts[HOURS] = f"{cost.wall_s / 3600:.4g}"
        if spent := money([cost], candidate.config.execution.price_per_hour):
            facts[COST] = spent
    if (start := data.start_of(candidate.name)) is not None:
        facts[BEGAN] = f"the weights of {start.name}, which had seen {start.images:,} images{_frozen(start)}"
    if night is not None:
        facts[NUMBER] = str(night.data_version)
    return facts


def _frozen(start: Start) -> str:
    return f"; the discriminator's first {start.frozen_layers} layers kept them" if start.frozen_layers else ""
