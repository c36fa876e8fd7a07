"""Every training-free baseline there is; to add one, write its class and name it here."""

from typing import Annotated

from pydantic import Field

from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import MeanFill, NavierStokes, Telea
from components.baselines.filters import Bilateral, Median, Untouched
from components.baselines.gaussian import TrainingGaussian
from components.baselines.generation import Random, Template
from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation

_Fill = MeanFill | Interpolation | Harmonic | Biharmonic | Telea | NavierStokes | TrainingGaussian
_Filter = Untouched | Median | Bilateral

FillBaseline = Annotated[_Fill, Field(discriminator="kind")]
"""They change missing pixels only."""

FilterBaseline = Annotated[_Filter, Field(discriminator="kind")]
"""They may change known pixels."""

RestorationBaseline = Annotated[_Fill | _Filter, Field(discriminator="kind")]

GenerationBaseline = Annotated[Random | Template, Field(discriminator="kind")]
