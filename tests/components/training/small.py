"""Small recipes that between them use every family, network, schedule and penalty there is."""

from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.ffc import FfcConfig
from components.models.patch import PatchDiscriminatorConfig
from components.models.pconv import PconvConfig
from components.models.r3net import R3DiscriminatorConfig, R3GeneratorConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.models.unet import UnetConfig
from components.models.vae import ConvVaeConfig
from components.objectives.adversarial import FadeConfig, Hinge, Relativistic
from components.objectives.restoration import MaskAwareConfig
from components.objectives.variational import VariationalConfig
from components.recipes.gan import GanConfig
from components.recipes.inpainter import AdversaryConfig, InpainterConfig
from components.recipes.vae import VaeConfig
from components.training.optimizer import AdamConfig, MuonConfig, RmspropConfig, ScheduleConfig
from tests import examples

FADING = ScheduleConfig(warmup_images=16, final_fraction=0.1)
SHIFTING = AdamConfig(betas=(0.0, 0.9), final_beta2=0.99, schedule=ScheduleConfig(final_fraction=0.25, decay_images=64))
LINEAR = AdamConfig(betas=(0.0, 0.9), schedule=ScheduleConfig(final_fraction=0, shape="linear"))
RECIPES = {
    "gan": GanConfig(
        generator=DcganGeneratorConfig(latent=8, width=4, dropout=0.1),
        discriminator=DcganDiscriminatorConfig(width=4, normalisation="spectral", activation="prelu", dropout=0.1),
        loss=Relativistic(r1=0.1, r2=0.1),
        optimizer=AdamConfig(schedule=FADING),
        discriminator_optimizer=RmspropConfig(),
        discriminator_steps=2,
    ),
    "r3net": GanConfig(
        generator=R3GeneratorConfig(latent=8, width=8, blocks=1),
        discriminator=R3DiscriminatorConfig(width=8, blocks=1),
        loss=Relativistic(r1=0.1, r2=0.1, penalty_fade=FadeConfig(images=64)),
        optimizer=SHIFTING,
        discriminator_optimizer=SHIFTING,
    ),
    "sngan_res": GanConfig(
        generator=SnganGeneratorConfig(latent=8, width=8),
        discriminator=SnganDiscriminatorConfig(width=8),
        loss=Hinge(),
        optimizer=LINEAR,
        discriminator_optimizer=LINEAR,
        discriminator_steps=5,
    ),
    "biggan": examples.RECIPES["biggan"],
    "vae": VaeConfig(network=ConvVaeConfig(latent=8, width=4), optimizer=AdamConfig(rate=1e-3, schedule=FADING)),
    "residual vae": VaeConfig(
        network=ResidualVaeConfig(latent=32, map_px=4, width=8),
        loss=VariationalConfig(free_bits=0.1, warm_up_images=32),
    ),
    "inpainter": InpainterConfig(
        network=ResnetConfig(width=8, blocks=2),
        adversary=AdversaryConfig(
            discriminator=PatchDiscriminatorConfig(width=8, layers=2), loss=MaskAwareConfig(feature_matching=1.0)
        ),
    ),
    "ffc": InpainterConfig(network=FfcConfig(width=4, blocks=1), restores="everything"),
    "pconv": InpainterConfig(network=PconvConfig(width=4, halvings=2)),
    "unet": InpainterConfig(network=UnetConfig(widths=(16, 16), blocks=(1, 1)), optimizer=MuonConfig(schedule=FADING)),
}
RECIPES |= {name: examples.RECIPES[name] for name in examples.beyond(RECIPES.values())}
