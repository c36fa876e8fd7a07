"""Networks, and the unions of their config sections: the registry of what a config file can name."""

from typing import Annotated

from pydantic import Field

from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.ffc import FfcConfig
from components.models.gated_unet import GatedUnetConfig
from components.models.patch import PatchDiscriminatorConfig
from components.models.pconv import PconvConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.vae import ConvVaeConfig

# Pydantic has no discriminator for one member; a second one makes it Annotated[A | B, Field(discriminator="kind")].
GeneratorConfig = Annotated[DcganGeneratorConfig, Field(description="The network that turns noise into images.")]
DiscriminatorConfig = Annotated[DcganDiscriminatorConfig, Field(description="The network that judges whole images.")]
VaeNetworkConfig = Annotated[ConvVaeConfig | ResidualVaeConfig, Field(discriminator="kind")]
InpainterNetworkConfig = Annotated[
    ResnetConfig | GatedUnetConfig | FfcConfig | PconvConfig, Field(discriminator="kind")
]

__all__ = [
    "DiscriminatorConfig",
    "GeneratorConfig",
    "InpainterNetworkConfig",
    "PatchDiscriminatorConfig",
    "VaeNetworkConfig",
]
