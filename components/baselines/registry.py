"""Every training-free baseline there is; to add one, write its class and name it here."""

from typing import Annotated

from pydantic import Field

from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import MeanFill, NavierStokes, Telea
from components.baselines.generation import Random, Template
from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation

RestorationBaseline = Annotated[
    MeanFill | Interpolation | Harmonic | Biharmonic | Telea | NavierStokes,
    Field(discriminator="kind"),
]

GenerationBaseline = Annotated[Random | Template, Field(discriminator="kind")]
