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
    discriminator_steps: int = Field(default=1, ge=1)
    """Discriminator steps per generator step."""

    @model_validator(mode="after")
    def _penalty_needs_independent_samples(self) -> Self:
        if self.loss.needs_penalty and self.discriminator.normalisation == "batch":
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
            objective=DiscriminatorObjective(generator, discriminator, self.loss, self.generator.latent),
            optimizer=self.discriminator_optimizer,
        )
        maker = Phase(
            name="generator",
            trains=generator,
            objective=GeneratorObjective(generator, discriminator, self.loss, self.generator.latent),
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
        return GanProducer(network, self.generator.latent)


class DiscriminatorObjective(nn.Module):
    """Loss of the discriminator, with its gradient penalty."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, loss: AdversarialConfig, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.latent = latent

    def forward(self, batch: Batch, images: int) -> dict[str, Tensor]:  # noqa: ARG002 - every objective's signature
        """Return the loss and, for the curves, the mean logits."""
        with torch.no_grad():
            fake = self.generator(batch.noise("latent/discriminator", self.latent))
        mix = batch.uniform("penalty")
        terms = self.loss.discriminator_terms(self.discriminator, batch.images, fake, mix)
        reported = {
            "penalty": terms.penalty,
            "real_logit": terms.real_logits.mean(),
            "fake_logit": terms.fake_logits.mean(),
        }
        return {"loss": terms.loss, **{name: value.detach() for name, value in reported.items()}}


class GeneratorObjective(nn.Module):
    """Loss of the generator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, loss: AdversarialConfig, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.latent = latent

    def forward(self, batch: Batch, images: int) -> dict[str, Tensor]:  # noqa: ARG002 - every objective's signature
        """Return the loss; real images are judged only where the loss compares with them."""
        fake = self.generator(batch.noise("latent/generator", self.latent))
        real_logits = None
        if self.loss.needs_real_for_generator:
            with torch.no_grad():
                real_logits = self.discriminator(batch.images).float()
        return {"loss": self.loss.generator_loss(self.discriminator(fake).float(), real_logits)}


class GanProducer:
    """Pictures from a trained generator."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        self.network = network.eval()
        self.latent = latent

    @torch.inference_mode()
    def generate(self, samples: int, seed: int) -> Images:
        """Return `samples` pictures drawn from the stream `seed`."""
        device = device_of(self.network)
        latents = latents_of(samples, self.latent, seed)
        return np.concatenate([to_pixels(self.network(latents[rows].to(device))) for rows in row_blocks(samples)])
