"""GAN: a generator against a discriminator (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661)."""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from components import seeding
from components.data.batch import Batch
from components.data.cache import PixelSource
from components.models import DiscriminatorConfig, GeneratorConfig
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adversarial import AdversarialConfig, NonSaturating
from components.objectives.augmentation import NUMBERS, AugmentationConfig
from components.recipes.recipe import PRODUCER, Images, Recipe, device_of, latents_of, row_blocks, to_pixels
from components.section import Section
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class GanConfig(Section):
    """An adversarial game of two networks."""

    kind: Literal["gan"] = "gan"
    generator: GeneratorConfig = DcganGeneratorConfig()
    """The network that makes images from noise."""
    discriminator: DiscriminatorConfig = DcganDiscriminatorConfig()
    """The network that tells real from made."""
    loss: AdversarialConfig = NonSaturating()
    """What the two networks play for."""
    optimizer: OptimizerConfig = AdamConfig()
    """Steps of the generator."""
    discriminator_optimizer: OptimizerConfig = AdamConfig()
    """Steps of the discriminator."""
    augmentation: AugmentationConfig | None = None
    """Random changes to all that the discriminator sees; helps below about 20,000 images. None changes nothing."""
    sampling_scale: float = Field(default=1.0, gt=0, le=1)
    """Standard deviation of the noise that pictures are made from after training; below 1 they are more typical and
    less varied, as with the truncation trick of Brock et al. 2019, https://arxiv.org/abs/1809.11096."""
    discriminator_steps: int = Field(default=1, ge=1)
    """Discriminator steps per generator step."""

    @model_validator(mode="after")
    def _penalty_needs_independent_samples(self) -> Self:
        if self.loss.needs_penalty and self.discriminator.mixes_samples:
            raise ValueError(
                f"discriminator.normalisation 'batch' cannot be combined with the gradient penalty of loss "
                f"'{self.loss.kind}': BatchNorm mixes the samples of a batch, so the gradient with respect to one "
                "sample is not defined; use 'none' or 'spectral'"
            )
        return self

    @property
    def needs_corruption(self) -> bool:
        """Whether training draws masks and degradations."""
        return False

    def check(self, size: int, images: int | None = None) -> None:  # noqa: ARG002
        """Raise ValueError unless all can be built for `images` training images, if known, of `size` px."""
        self.generator.check(size)
        self.discriminator.check(size)

    def build(self, size: int, seed: int) -> Recipe:
        """Return networks with their initial weights, and the two phases: discriminator first."""
        with seeding.initialising(seed, "generator"):
            generator = self.generator.build(size)
        with seeding.initialising(seed, "discriminator"):
            discriminator = self.discriminator.build(size)
        critic = Phase(
            name="discriminator",
            trains=discriminator,
            objective=DiscriminatorObjective(generator, discriminator, self),
            optimizer=self.discriminator_optimizer,
        )
        maker = Phase(
            name="generator",
            trains=generator,
            objective=GeneratorObjective(generator, discriminator, self),
            optimizer=self.optimizer,
            every=self.discriminator_steps,
        )
        networks = nn.ModuleDict({PRODUCER: generator, "discriminator": discriminator})
        penalised = frozenset({"discriminator"} if self.loss.needs_penalty else ())
        return Recipe(networks, (critic, maker), twice_differentiated=penalised)

    def serving_network(self, size: int) -> nn.Module:
        """Return the network that makes images, for weights to be loaded into."""
        return self.generator.build(size)

    def finished(self, network: nn.Module, training: PixelSource, seed: int) -> nn.Module:  # noqa: ARG002
        """Return the trained network as it is: nothing is fitted to it afterwards."""
        return network

    def example(self, size: int) -> tuple[Tensor, ...]:  # noqa: ARG002 - every recipe's signature
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        return (torch.zeros(1, self.generator.latent),)

    def producer(self, network: nn.Module) -> "GanProducer":
        """Return the network behind the interface that evaluation and serving use."""
        return GanProducer(network, self.generator.latent, self.sampling_scale)


class DiscriminatorObjective(nn.Module):
    """Loss of the discriminator, with its gradient penalty."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, game: GanConfig) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.game = game

    def forward(self, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return the loss and, for the curves, the mean logits."""
        with torch.no_grad():
            fake = self.generator(batch.noise("latent/discriminator", self.game.generator.latent))
        real = _seen(batch.images, batch, "real", self.game)
        fake = _seen(fake, batch, "fake", self.game)
        loss = self.game.loss.at(images, batch.global_size)
        terms = loss.discriminator_terms(self.discriminator, real, fake, batch.uniform("penalty"))
        reported = {
            "penalty": terms.penalty,
            "real_logit": terms.real_logits.mean(),
            "fake_logit": terms.fake_logits.mean(),
        }
        return {"loss": terms.loss, **{name: value.detach() for name, value in reported.items()}}


class GeneratorObjective(nn.Module):
    """Loss of the generator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, game: GanConfig) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.game = game

    def forward(self, batch: Batch, images: int) -> dict[str, Tensor]:  # noqa: ARG002 - every objective's signature
        """Return the loss; real images are judged only where the loss compares with them."""
        fake = self.generator(batch.noise("latent/generator", self.game.generator.latent))
        real_logits = None
        if self.game.loss.needs_real_for_generator:
            with torch.no_grad():
                real_logits = self.discriminator(_seen(batch.images, batch, "real", self.game)).float()
        fake_logits = self.discriminator(_seen(fake, batch, "made", self.game)).float()
        return {"loss": self.game.loss.generator_loss(fake_logits, real_logits)}


def _seen(images: Tensor, batch: Batch, purpose: str, game: GanConfig) -> Tensor:
    """Return what the discriminator sees of `images`."""
    if game.augmentation is None:
        return images
    return game.augmentation.apply(images, batch.uniform(f"augmentation/{purpose}", NUMBERS))


class GanProducer:
    """Pictures from a trained generator."""

    def __init__(self, network: nn.Module, latent: int, scale: float) -> None:
        self.network = network.eval()
        self.latent = latent
        self.scale = scale

    @torch.inference_mode()
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`."""
        device = device_of(self.network)
        latents = self.scale * latents_of(samples, self.latent, seed, first)
        return np.concatenate([to_pixels(self.network(latents[rows].to(device))) for rows in row_blocks(samples)])
