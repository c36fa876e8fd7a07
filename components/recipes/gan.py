"""GAN: a generator against a discriminator (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from components import seeding
from components.data.cache import PixelSource
from components.data.shardset import SplitFacts
from components.deferred.torch import Tensor, inference_mode, nn, torch
from components.models import DiscriminatorConfig, GeneratorConfig
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adaptation import Adaptation
from components.objectives.adversarial import AdversarialConfig, NonSaturating
from components.objectives.augmentation import FEW_IMAGES, AugmentationConfig
from components.objectives.lecam import Anchors, LecamConfig
from components.objectives.penalty import Pass
from components.pictures.pixels import to_pixels
from components.recipes.classes import Classes, classes_among
from components.recipes.directions import strongest
from components.recipes.duel import DiscriminatorObjective, Duel, GeneratorObjective
from components.recipes.recipe import (
    PRODUCER,
    GeneratorRecipe,
    Images,
    Recipe,
    device_of,
    latents_of,
    row_blocks,
)
from components.recipes.standing import settle, settled
from components.section import Grown
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase

_STANDING_IMAGES, _STANDING_ROWS = 1024, 64
_ELSEWHERE = 2**40  # number of their first draw, which no picture that is judged or asked for has


class GanConfig(GeneratorRecipe, Grown):
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
    lecam: LecamConfig | None = None
    """Keep logits near those the discriminator used to give; None: off."""
    statistics: Literal["running", "standing"] = "running"
    """What the averaged generator's batch normalisations go by. Running: statistics of the weights as they moved.
    Standing: those of 1,024 pictures that the averaged weights make, at each validation and at the end."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"lecam", "statistics"})

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
    def _logits_stand_for_themselves(self) -> "GanConfig":
        if self.lecam is not None and self.loss.needs_real_for_generator:
            raise ValueError(
                f"lecam cannot be combined with loss '{self.loss.kind}', which looks at differences of logits alone: "
                "there is no level for it to keep; take another loss, or leave lecam out"
            )
        if self.adapts and self.loss.needs_real_for_generator:
            raise ValueError(
                f"augmentation.adaptive cannot be combined with loss '{self.loss.kind}', which looks at differences of "
                "logits alone: their signs say nothing; set augmentation.probability instead"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_of_use(self) -> "GanConfig":
        if self.classes and not self.conditional:
            raise ValueError("classes are given, but conditional is false: set it, or leave the classes out")
        return self

    @property
    def adapts(self) -> bool:
        """Whether the chance of augmentations follows the discriminator."""
        return isinstance(self.augmentation, AugmentationConfig) and self.augmentation.adaptive is not None

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of the weights of each trained network through whose features the discriminator looks."""
        return self.discriminator.features_trained_on

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
        """Return networks with their initial weights, and the phases, discriminator first."""
        with seeding.initialising(seed, "generator"):
            generator = self.generator.build(size, len(self.classes))
        with seeding.initialising(seed, "discriminator"):
            discriminator = self.discriminator.build(size, len(self.classes))
        differentiated = Pass()
        networks = nn.ModuleDict({PRODUCER: generator, "discriminator": discriminator})
        if self.augmentation and self.augmentation.adaptive is not None:
            networks["adaptation"] = Adaptation(self.augmentation.adaptive, self.augmentation.probability)
        if self.lecam is not None:
            networks["anchors"] = Anchors(self.lecam)
        duel = Duel(networks, self.loss, self.augmentation or None, conditional=self.conditional)
        critic = Phase(
            name="discriminator",
            trains=discriminator,
            objective=DiscriminatorObjective(duel, differentiated),
            optimizer=self.discriminator_optimizer,
            settings=self.loss.penalty_weight,
        )
        maker = Phase(
            name="generator",
            trains=generator,
            objective=GeneratorObjective(duel),
            optimizer=self.optimizer,
            every=self.discriminator_steps,
        )
        return Recipe(networks, (critic, maker), (differentiated,))

    def ready(self, network: nn.Module, seed: int) -> AbstractContextManager[None]:
        """Return a context within which the average of the generator has the statistics that it will be served with."""
        return settled(network, self._draws(network, seed)) if self.statistics == "standing" else nullcontext()

    def finished(self, network: nn.Module, training: PixelSource, seed: int) -> nn.Module:  # noqa: ARG002
        """Return the trained network with the statistics that it is served with."""
        if self.statistics == "standing":
            settle(network, self._draws(network, seed))
        return network

    def _draws(self, network: nn.Module, seed: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield inputs of the generator, as they are drawn after training."""
        device = device_of(network)
        for first in range(_ELSEWHERE, _ELSEWHERE + _STANDING_IMAGES, _STANDING_ROWS):
            noise = self.sampling_scale * latents_of(_STANDING_ROWS, self.generator.latent, seed, first)
            classes = (Classes(self.classes).draw(_STANDING_ROWS, seed, first),) if self.classes else ()
            yield tuple(one.to(device) for one in (noise, *classes))

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


class GanProducer:
    """Pictures from a trained generator."""

    def __init__(self, network: nn.Module, latent: int, scale: float) -> None:
        self.network = network.eval()
        self.latent = latent
        self.scale = scale

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`."""
        return self._made(*self._drawn(samples, seed, first))

    @inference_mode
    def along(self, directions: int, samples: int, shifts: Sequence[float], seed: int) -> Sequence[Sequence[Images]]:
        """Return the first pictures of the draw `seed`, whose noise is moved along the strongest directions."""
        noise, *rest = self._drawn(samples, seed, 0)
        probing = [one[:1].to(device_of(self.network)) for one in rest]
        ways = strongest(self.network, lambda code: self.network(code, *probing), self.latent, directions).cpu()
        return [[self._made(noise + self.scale * shift * way, *rest) for shift in shifts] for way in ways]

    def _drawn(self, samples: int, seed: int, first: int) -> tuple[Tensor, ...]:
        """Return what the network takes for the pictures numbered `first` and on, the noise first."""
        return (self.scale * latents_of(samples, self.latent, seed, first),)

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

    def _drawn(self, samples: int, seed: int, first: int) -> tuple[Tensor, ...]:
        """Return noise, and classes of which each comes as often as it should."""
        return (*super()._drawn(samples, seed, first), self._classes.draw(samples, seed, first))

    @inference_mode
    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, all of the class `name`.

        Raises:
            ValueError: There is no such class.
        """
        labels = self._classes.only(name, samples)
        return self._made(self.scale * latents_of(samples, self.latent, seed, first), labels)
