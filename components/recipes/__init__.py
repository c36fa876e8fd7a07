"""Recipes: networks + phases + how to produce images. A family is one file here."""

from typing import Annotated

from pydantic import Field

from components.recipes.flow_matching import FlowMatchingConfig
from components.recipes.gan import GanConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.vae import VaeConfig

RecipeConfig = Annotated[GanConfig | VaeConfig | InpainterConfig | FlowMatchingConfig, Field(discriminator="kind")]
