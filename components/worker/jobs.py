"""Jobs: what a stage asks torchrun's processes to do, handed over as one JSON file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components.config import CorruptionConfig, ModelConfig
from components.evaluation.measure import EvaluationConfig
from components.section import Section

OUTBOX = "outbox"
"""Folder, of a training's folder, of what is on its way to MLflow."""
COST = "cost.json"
"""File, beside the scores, of what it took to measure them."""
PROGRESS = "progress "
"""Begins the lines by which the main rank tells the launcher how far it is; JSON follows."""


class Origin(Section):
    """A finished training whose weights another begins with."""

    name: str
    """What people call the model that it left."""
    checkpoint: Path
    """Folder of its last checkpoint."""
    images: int
    """Images it had seen when the weights that it exported were averaged."""
    seen: int
    """Images that these weights have seen in all, in trainings before it too."""
    frozen_layers: int
    """First layers of a discriminator that stay as they are."""


class TrainJob(Section):
    """Train one model until it is finished or asked to stop."""

    kind: Literal["train"] = "train"
    run: str
    """Digest of all that determines the weights; checkpoints of another run are refused."""
    model: ModelConfig
    seed: int
    shards: Path
    corruption: CorruptionConfig | None
    folder: Path
    """Where checkpoints, curves and pictures grow; kept between attempts."""
    cache: Path
    """Where decoded images are kept, shared by runs and processes."""
    left_out: Path | None = None
    """List of the keys of images that are not trained on; None trains on all of the split."""
    statistics: Path | None = None
    """The PixelStatistics of the shards; None where no network is told them."""
    origin: Origin | None = None
    """Whose weights it begins with; None draws them."""
    budget_s: float | None = None
    """Stop in a resumable state so many seconds after the first step, if `execution` does not ask for it earlier; None
    sets no limit."""
    stop_at: int | None = None
    """Stop in a resumable state once so many images were seen, if there are more to come; None goes on to the end."""
    tracking_run: str | None
    """Run that the main rank sends metrics to; None sends none. The server's address, which may hold a password, is in
    the environment."""


class EvaluateJob(Section):
    """Measure one model's scores, or, without an export, the baselines' scores."""

    kind: Literal["evaluate"] = "evaluate"
    evaluation: EvaluationConfig
    subject: str
    """Digest of the model, or "baselines"."""
    export: Path | None
    """Folder with the model to measure; None measures the baselines."""
    shards: Path
    corruption_set: Path | None
    statistics: Path | None = None
    """The PixelStatistics of the shards; None where no baseline is told them."""
    images: int | None = None
    """Compare with no more than so many test images; None takes all."""
    seed: int
    cache: Path
    folder: Path
    """Where the table of scores and the pictures are written."""


Job = Annotated[TrainJob | EvaluateJob, Field(discriminator="kind")]
