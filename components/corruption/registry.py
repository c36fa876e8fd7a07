"""Every kind of mask and of degradation there is; to add one, write its class and name it here."""

from typing import Annotated

from pydantic import Field

from components.corruption.blur import DefocusBlurConfig, GaussianBlurConfig, MotionBlurConfig
from components.corruption.defects import DeadPixelsConfig, ScratchesConfig
from components.corruption.noise import (
    GaussianNoiseConfig,
    ImpulseNoiseConfig,
    ShotNoiseConfig,
    SpeckleNoiseConfig,
)
from components.corruption.quality import ContrastConfig, JpegConfig, ResampleConfig
from components.corruption.shapes import BorderConfig, BoxesConfig, ScatterConfig
from components.corruption.strokes import StrokesConfig, WalkConfig

MaskConfig = Annotated[
    BoxesConfig | StrokesConfig | WalkConfig | ScatterConfig | BorderConfig,
    Field(discriminator="kind"),
]

DegradationConfig = Annotated[
    GaussianNoiseConfig
    | ShotNoiseConfig
    | ImpulseNoiseConfig
    | SpeckleNoiseConfig
    | GaussianBlurConfig
    | MotionBlurConfig
    | DefocusBlurConfig
    | JpegConfig
    | ResampleConfig
    | ContrastConfig
    | ScratchesConfig
    | DeadPixelsConfig,
    Field(discriminator="kind"),
]
