"""Retraining: when a night trains, which of the models, from which weights, and what it may cost."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from components.section import Section


class RetrainingConfig(Section):
    """When a night trains, which of the models, from which weights, and what it may cost."""

    models: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the models that are retrained; the others stay as they are. None: all."""
    skip_below: float | None = Field(default=None, gt=0, le=1)
    """Skip a night whose data differs from that of the last finished night by less than this share of images, if the
    configuration and the held-out images that decide are the same too. Counted are images that only one of the two has,
    of all that either has; an altered image is one gone and one new. None: never."""
    nights_per_week: int | None = Field(default=None, ge=1)
    """Skip a night that comes after so many others were begun in the last seven days. None: no limit."""
    start: Literal["scratch", "champion"] = "scratch"
    """Weights that a training begins with: drawn anew, or those of the model in service, as they were averaged for
    service, with a new optimizer; drawn anew while there is none. A discriminator goes on from its last weights."""
    frozen_layers: int = Field(default=0, ge=0, le=16)
    """First layers of a discriminator, from the image on, that keep the champion's weights: FreezeD, Mo et al. 2020,
    https://arxiv.org/abs/2002.10964. Models without a discriminator have none."""
    hours: float | None = Field(default=None, gt=0)
    """Hours by the clock that a night's trainings may take, those of all models added up, however often they are
    interrupted. A night that has spent them stops: models that are trained by then are judged, others keep their
    checkpoints, from which the same run goes on once it may take more. None: no limit."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """The same in hours of graphics cards, each counted by itself; nothing on processors alone. None: no limit."""

    @model_validator(mode="after")
    def _frozen_layers_come_from_somewhere(self) -> Self:
        if self.frozen_layers and self.start == "scratch":
            raise ValueError(
                f"frozen_layers is {self.frozen_layers}, but start is scratch: layers drawn at random must not stay as "
                "they are; set start: champion, or leave frozen_layers out"
            )
        return self

    @property
    def may_skip(self) -> bool:
        """Whether a night may be skipped."""
        return self.skip_below is not None or self.nights_per_week is not None

    @property
    def determining(self) -> dict[str, Any]:
        """What of it changes what a night makes; nothing for one that begins from scratch."""
        return self.model_dump(mode="json", include={"start", "frozen_layers"}) if self.start != "scratch" else {}
