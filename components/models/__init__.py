"""Networks, and the unions of their config sections: the registry of what a config file can name."""

from typing import Annotated

from pydantic import Field

from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.ffc import FfcConfig
from components.models.gated_unet import GatedUnetConfig
from components.models.hierarchical_vae import HierarchicalVaeConfig
from components.models.patch import PatchDiscriminatorConfig
from components.models.pconv import PconvConfig
from components.models.projected import ProjectedDiscriminatorConfig
from components.models.r3net import R3DiscriminatorConfig, R3GeneratorConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.skip_excitation import SkipExcitationDiscriminatorConfig, SkipExcitationGeneratorConfig
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.models.unet import UnetConfig
from components.models.vae import ConvVaeConfig

VaeNetworkConfig = Annotated[ConvVaeConfig | ResidualVaeConfig | HierarchicalVaeConfig, Field(discriminator="kind")]
InpainterNetworkConfig = Annotated[
    ResnetConfig | GatedUnetConfig | FfcConfig | PconvConfig | UnetConfig, Field(discriminator="kind")
]
GeneratorConfig = Annotated[
    DcganGeneratorConfig | R3GeneratorConfig | SnganGeneratorConfig | SkipExcitationGeneratorConfig,
    Field(discriminator="kind"),
]
DiscriminatorConfig = Annotated[
    DcganDiscriminatorConfig
    | R3DiscriminatorConfig
    | SnganDiscriminatorConfig
    | SkipExcitationDiscriminatorConfig
    | ProjectedDiscriminatorConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "DiscriminatorConfig",
    "GeneratorConfig",
    "InpainterNetworkConfig",
    "PatchDiscriminatorConfig",
    "VaeNetworkConfig",
]
