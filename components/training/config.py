"""Sections of a training run: what determines its result, and apart from that how it is carried out."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from components.section import Grown, Section
from components.training.ema import EmaConfig
from components.training.guard import GuardConfig
from components.training.selection import ValidationConfig

_HOUR_S = 3600


class TrainingConfig(Grown):
    """What determines the weights. Together with recipe, data and seed it names the checkpoint."""

    images: int = Field(gt=0)
    """Length of training, in images seen (not steps or epochs)."""
    batch: int = Field(default=64, gt=0)
    """Images per optimizer step, over all processes and accumulated micro-batches."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches per optimizer step; memory shrinks, and the result does not change beyond rounding, except where
    networks normalise by the statistics of a batch: they see micro-batches."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of networks: fp32, or bf16 autocast (weights, losses and optimizer stay fp32). On a processor without
    instructions for bf16, where it is slower, fp32 is taken instead, and the log says so."""
    channels_last: bool = True
    """Memory layout NHWC, which convolutions prefer on CPUs and tensor cores."""
    flip: bool = True
    """Mirror each image left to right with probability one half, drawn per image and pass."""
    crop: int | None = Field(default=None, ge=8, le=1024)
    """Side, in pixels, of the square that is cut from each image at a place drawn per image and pass; None trains on
    whole images. For models that mend: they are judged, and serve, at the whole size."""
    crop_shrinks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(1,), min_length=1)
    """How many times as large squares are cut before they are shrunk to `crop`; one of these for each image and pass.
    `repair` mends wide holes in copies of half the size, of a quarter and so on: [1, 2, 4, 8] shows a network what it
    meets there."""
    window: int | None = Field(default=None, ge=1)
    """Shuffle the tars of the training images, and then the images of so many tars together; None shuffles all images
    of a pass together. Sets that are streamed (`streaming_cache`) need it."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of each phase's gradient; None does not clip."""
    ema: EmaConfig = EmaConfig()
    """Average of the weights that is evaluated and served."""
    guard: GuardConfig = GuardConfig()
    """What happens when numbers stop being finite, or explode."""
    validation: ValidationConfig | None = None
    """Scores while training, and the choice of the average that is exported; None exports the last one."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"crop", "crop_shrinks", "window"})

    @model_validator(mode="after")
    def _batch_divides(self) -> "TrainingConfig":
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is not divisible by accumulate {self.accumulate}")
        return self

    @model_validator(mode="after")
    def _squares_are_shrunk(self) -> "TrainingConfig":
        if self.crop is None and self.crop_shrinks != (1,):
            raise ValueError(f"crop_shrinks {list(self.crop_shrinks)} shrinks squares, but there is no crop")
        return self

    @model_validator(mode="after")
    def _averages_are_chosen_from(self) -> "TrainingConfig":
        if self.ema.beside and (self.validation is None or self.validation.select != "best"):
            raise ValueError(
                f"ema.beside keeps averages of half-lives {list(self.ema.beside)}, of which training.validation "
                "chooses by its score: give that section, with select: best, or leave them out"
            )
        return self

    def size_seen(self, size: int) -> int:
        """Return the side of what networks are shown of images of `size` px."""
        return size if self.crop is None else self.crop


StepMode = Literal["auto", "eager", "graph"]


class PricePerHour(Section):
    """What an hour of the hardware costs."""

    core: float = Field(default=0, ge=0)
    """Of one processor core that is busy."""
    gpu: float = Field(default=0, ge=0)
    """Of one graphics card that is held, busy or not."""
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    """Three capital letters, such as EUR."""

    def of(self, core_s: float, card_s: float) -> float:
        """Return what so many seconds of cores and cards cost."""
        return (self.core * core_s + self.gpu * card_s) / _HOUR_S


class ExecutionConfig(Grown):
    """How a run is carried out. Nothing here changes what it computes beyond float rounding."""

    processes: int = Field(default=1, ge=1)
    """Processes (GPUs, or CPU workers over gloo) on each host."""
    nodes: int = Field(default=1, ge=1)
    """Hosts; above 1, start the same command on each with KINTSUGI_NODE_RANK and KINTSUGI_RENDEZVOUS set."""
    log_every: int = Field(default=2_000, gt=0)
    """Images between logged metrics."""
    sample_every: int = Field(default=20_000, gt=0)
    """Images between pictures of the fixed samples."""
    checkpoint_every: int = Field(default=20_000, gt=0)
    """Images between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints kept while training, those of a stop not counted."""
    keep_every: int | None = Field(default=None, gt=0)
    """Also keep the first checkpoint of each so many images until the training is published; None keeps none."""
    time_budget_s: float | None = Field(default=None, gt=0)
    """Stop in a resumable state so many seconds after the first step; None sets no limit."""
    resume_after_s: float = Field(default=60.0, ge=0)
    """A deployed run that spent its time budget goes back in line and is continued by itself after so many seconds."""
    step: StepMode = "auto"
    """How training steps are taken. Graph: captured once and replayed, one launch per step, where a GPU would wait for
    launches else; on a CPU the same structure is called. Eager: operation by operation. Auto: graph on GPUs."""
    compile: bool = False
    """Compile networks with torch.compile, penalties included; on a GPU only where a training is long enough for it to
    pay back, else the log says so."""
    cache_bytes: int = Field(default=4 * 2**30, ge=0)
    """Most bytes of decoded images that a machine keeps in files that processes share; those not used for longest make
    room. A set for which there is none is read from the shards."""
    drawing_processes: int | None = Field(default=None, ge=0, le=32)
    """Processes, beside each of the training's own, that draw masks and degradations for batches to come; with none, a
    thread does. Which are drawn stays the same. None: up to six where a GPU is fed and cores are left, else none."""
    heartbeat_timeout_s: float = Field(default=600.0, gt=0)
    """A run without a finished step for this long counts as hung and is stopped."""
    relaunches: int = Field(default=5, ge=0)
    """Times that a training on one host is started again by itself after a process was lost or hung. It stops at once
    if two launches in a row end so without a new checkpoint between them."""
    price_per_hour: PricePerHour | None = None
    """What an hour of the hardware costs, for pages, leaderboard and comparisons; None shows no money."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"drawing_processes", "price_per_hour", "step"})


def check_division(training: TrainingConfig, execution: ExecutionConfig) -> None:
    """Refuse a batch that processes cannot share equally.

    Raises:
        ValueError: The numbers clash; the message names them.
    """
    ways = execution.processes * execution.nodes * training.accumulate
    if training.batch % ways:
        raise ValueError(
            f"training.batch {training.batch} is not divisible by processes {execution.processes} x nodes "
            f"{execution.nodes} x accumulate {training.accumulate} = {ways}"
        )
