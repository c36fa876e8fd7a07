"""Inpainter: a network that fills in missing pixels, alone or against a discriminator that judges patches."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from components import seeding
from components.data.batch import Batch
from components.models import InpainterNetworkConfig
from components.models.patch import PatchDiscriminatorConfig
from components.models.resnet import ResnetConfig
from components.objectives.adversarial import Hinge
from components.objectives.restoration import MaskAwareConfig, RestorationConfig
from components.recipes.recipe import PRODUCER, Images, Missing, Recipe, device_of, row_blocks, to_pixels, to_tensor
from components.section import Section
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class AdversaryConfig(Section):
    """A discriminator that looks at patches of mended images."""

    discriminator: PatchDiscriminatorConfig = PatchDiscriminatorConfig()
    """The network that judges patches."""
    weight: float = Field(default=0.01, gt=0)
    """Weight of the adversarial loss beside the reconstruction loss."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-4)
    """Steps of the discriminator."""


class InpainterConfig(Section):
    """A restoration network and what it is trained for."""

    kind: Literal["inpainter"] = "inpainter"
    network: InpainterNetworkConfig = ResnetConfig()
    """The network that fills in."""
    loss: RestorationConfig = RestorationConfig()
    """Distance between the mended and the true image."""
    adversary: AdversaryConfig | None = None
    """A discriminator to play against; None trains on the distance alone."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-3, betas=(0.9, 0.999))
    """Steps of the network that fills in."""
