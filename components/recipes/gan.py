"""GAN: a generator against a discriminator (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator

from components import seeding
from components.data.batch import Batch
from components.data.shardset import SplitFacts
from components.deferred.torch import Module, Tensor, inference_mode, nn, torch
from components.models import DiscriminatorConfig, GeneratorConfig
from components.models.condition import Labels
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adversarial import AdversarialConfig, NonSaturating
from components.objectives.augmentation import FEW_IMAGES, NUMBERS, AugmentationConfig
from components.objectives.penalty import Differentiated, Discriminator, Pass
from components.pictures.pixels import to_pixels
from components.recipes.classes import Classes, classes_among
from components.recipes.recipe import (
    PRODUCER,
    GeneratorRecipe,
    Images,
    Recipe,
    device_of,
    latents_of,
    row_blocks,
)
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class GanConfig(GeneratorRecipe):
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
    augmentation: AugmentationConfig | Literal[False] | None = None
    """Random changes to all that the discriminator sees. None: those of the paper for fewer than 20,000 training
    images, none for more; false (`off` in YAML): none."""
    conditional: bool = False
    """Make images by class; needs a source with classes."""
    classes: dict[str, int] = Field(default_factory=dict)
    """How often each class is drawn after training, for pictures of no class in particular. Empty: as often as among
    the training images, whose classes are filled in when training begins."""
    sampling_scale: float = Field(default=1.0, gt=0, le=1)
    """Standard deviation of the noise that pictures are made from after training; below 1 they are more typical and
    less varied, as with the truncation trick of Brock et al. 2019, https://arxiv.org/abs/1809.11096."""
    discriminator_steps: int = Field(default=1, ge=1)
    """Discriminator steps per generator step."""

    @field_validator("generator", "discriminator", mode="before")
    @classmethod
    def _dcgan_unless_told(cls, network: object) -> object:
        """Let files leave out the kind, as they could while there was one."""
        return {"kind": "dcgan", **network} if isinstance(network, dict) else network

    @model_validator(mode="after")
    def _penalty_needs_independent_samples(self) -> "GanConfig":
        if self.loss.needs_penalty and self.discriminator.mixes_samples:
            raise ValueError(
                f"discriminator.normalisation 'batch' cannot be combined with the gradient penalty of loss "
                f"'{self.loss.kind}': BatchNorm mixes the samples of a batch, so the gradient with respect to one "
                "sample is not defined; use 'none' or 'spectral'"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_of_use(self) -> "GanConfig":
        if self.classes and not self.conditional:
            raise ValueError("classes are given, but conditional is false: set it, or leave the classes out")
        return self

    @property
    def needs_classes(self) -> bool:
        """Whether training needs the classes of images."""
        return self.conditional

    def resolved(self, training: SplitFacts) -> "GanConfig":
        """Return the section with the augmentation decided and the classes filled in.

        Raises:
            ValueError: It is conditional, and the training images have no classes or not those that are named.
        """
        decided: dict[str, object] = {}
        if self.augmentation is None:
            decided["augmentation"] = AugmentationConfig() if training.samples < FEW_IMAGES else False
        if self.conditional:
            decided["classes"] = classes_among(training, self.classes)
        return self.model_copy(update=decided)

    def decisions(self, images: int) -> tuple[str, ...]:
        """Return whether the discriminator sees changed images, if that is left to the number of images."""
        if self.augmentation is not None:
            return ()
        choice = f"on, below {FEW_IMAGES:,}" if images < FEW_IMAGES else f"off, from {FEW_IMAGES:,} on"
        return (f"augmentation {choice} training images ({images:,})",)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, one of which a picture can be asked for."""
        return tuple(self.classes)

    def build(self, size: int, seed: int) -> Recipe:
        """Return networks with their initial weights, and the two phases: discriminator first."""
        with seeding.initialising(seed, "generator"):
            generator = self.generator.build(size, len(self.classes))
        with seeding.initialising(seed, "discriminator"):
            discriminator = self.discriminator.build(size, len(self.classes))
        differentiated = Pass()
        critic = Phase(
            name="discriminator",
            trains=discriminator,
            objective=DiscriminatorObjective(generator, discriminator, self, differentiated),
            optimizer=self.discriminator_optimizer,
            settings=self.loss.penalty_weight,
        )
        maker = Phase(
            name="generator",
            trains=generator,
            objective=GeneratorObjective(generator, discriminator, self),
            optimizer=self.optimizer,
            every=self.discriminator_steps,
        )
        networks = nn.ModuleDict({PRODUCER: generator, "discriminator": discriminator})
        return Recipe(networks, (critic, maker), (differentiated,))

    def serving_network(self, size: int) -> nn.Module:
        """Return the network that makes images, for weights to be loaded into."""
        return self.generator.build(size, len(self.classes))

    def example(self, size: int) -> tuple[Tensor, ...]:  # noqa: ARG002 - every recipe's signature
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        latent = torch.zeros(1, self.generator.latent)
        return (latent, torch.zeros(1, dtype=torch.long)) if self.classes else (latent,)

    def producer(self, network: nn.Module) -> "GanProducer":
        """Return the network behind the interface that evaluation and serving use."""
        if self.classes:
            return ClassGanProducer(network, self.generator.latent, self.sampling_scale, self.classes)
        return GanProducer(network, self.generator.latent, self.sampling_scale)


class DiscriminatorObjective(Module):
    """Loss of the discriminator, with its gradient penalty."""

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, game: GanConfig, differentiated: Differentiated
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.game = game
        self.differentiated = differentiated

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:
        """Return the loss and, for the curves, the mean logits."""
        labels = _labels(batch, self.game)
        with torch.no_grad():
            # Fake images take the classes of the real ones, which are drawn as often as they should be.
            fake = self.generator(batch.noise("latent/discriminator", self.game.generator.latent), labels)
        real = _seen(batch.images, batch, "real", self.game)
        fake = _seen(fake, batch, "fake", self.game)
        loss = self.game.loss.at(images, batch.global_size)
        judge = _told(self.discriminator, labels)
        terms = loss.discriminator_terms(judge, real, fake, batch.uniform("penalty"), self.differentiated)
        reported = {
            "penalty": terms.penalty,
            "real_logit": terms.real_logits.mean(),
            "fake_logit": terms.fake_logits.mean(),
        }
        return {"loss": terms.loss, **{name: value.detach() for name, value in reported.items()}}


class GeneratorObjective(Module):
    """Loss of the generator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, game: GanConfig) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.game = game

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - every objective's signature
        """Return the loss; real images are judged only where the loss compares with them."""
        labels = _labels(batch, self.game)
        judge = _told(self.discriminator, labels)
        fake = self.generator(batch.noise("latent/generator", self.game.generator.latent), labels)
        real_logits = None
        if self.game.loss.needs_real_for_generator:
            with torch.no_grad():
                real_logits = judge(_seen(batch.images, batch, "real", self.game)).float()
        fake_logits = judge(_seen(fake, batch, "made", self.game)).float()
        return {"loss": self.game.loss.generator_loss(fake_logits, real_logits)}


def _seen(
    images: Float[Tensor, "batch 3 height width"], batch: Batch, purpose: str, game: GanConfig
) -> Float[Tensor, "batch 3 height width"]:
    """Return what the discriminator sees of `images`."""
    if not game.augmentation:
        return images
    return game.augmentation.apply(images, batch.uniform(f"augmentation/{purpose}", NUMBERS))


def _labels(batch: Batch, game: GanConfig) -> Labels | None:
    return batch.labels if game.conditional else None


def _told(discriminator: nn.Module, labels: Labels | None) -> Discriminator:
    """Return a discriminator that is told the classes of its images, which are of `labels` once or several times."""
    if labels is None:
        return discriminator
    return lambda images: discriminator(images, labels.repeat(len(images) // len(labels)))


class GanProducer:
    """Pictures from a trained generator."""

    def __init__(self, network: nn.Module, latent: int, scale: float) -> None:
        self.network = network.eval()
        self.latent = latent
        self.scale = scale

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`."""
        return self._made(self.scale * latents_of(samples, self.latent, seed, first))

    def _made(self, *inputs: Tensor) -> Images:
        device, samples = device_of(self.network), len(inputs[0])
        blocks = [[one[rows].to(device) for one in inputs] for rows in row_blocks(samples)]
        return np.concatenate([to_pixels(self.network(*block)) for block in blocks])


class ClassGanProducer(GanProducer):
    """Pictures of any or of a chosen class from a trained conditional generator."""

    def __init__(self, network: nn.Module, latent: int, scale: float, frequencies: Mapping[str, int]) -> None:
        super().__init__(network, latent, scale)
        self._classes = Classes(frequencies)
        self.classes = self._classes.names

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, each class as often as it should be."""
        latents = self.scale * latents_of(samples, self.latent, seed, first)
        return self._made(latents, self._classes.draw(samples, seed, first))

    @inference_mode
    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, all of the class `name`.

        Raises:
            ValueError: There is no such class.
        """
        labels = self._classes.only(name, samples)
        return self._made(self.scale * latents_of(samples, self.latent, seed, first), labels)
