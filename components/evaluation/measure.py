"""Every way to judge a model that a file can name; to add one, write its section and name it here."""

from typing import Annotated

from pydantic import Field

from components.evaluation.generation import GenerationEvaluation
from components.evaluation.mending import RestorationEvaluation

EvaluationConfig = Annotated[GenerationEvaluation | RestorationEvaluation, Field(discriminator="kind")]
