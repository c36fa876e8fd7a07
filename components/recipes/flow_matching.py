"""Flow matching: a velocity that carries noise to images in a straight line.

Lipman et al. 2023, https://arxiv.org/abs/2210.02747, with the optimal-transport path of section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from components import seeding
from components.data.batch import Batch
from components.data.shardset import SplitFacts
from components.deferred.torch import Module, Tensor, inference_mode, nn, torch
from components.models.condition import Labels
from components.models.velocity import VelocityUnet, VelocityUnetConfig
from components.pictures.pixels import to_pixels
from components.recipes.classes import Classes, classes_among
from components.recipes.recipe import (
    PRODUCER,
    GeneratorRecipe,
    Images,
    Recipe,
    device_of,
    expect,
    latents_of,
    row_blocks,
)
from components.recipes.solvers import Solver, solve
from components.section import Section
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class SamplerConfig(Section):
    """How pictures are made of noise after training."""

    solver: Solver = "heun"
    """Midpoint and Heun's method look twice at each step, and are far nearer to the flow's end than Euler's."""
    steps: int = Field(default=16, ge=1, le=1000)
    """Steps from noise to picture."""
    guidance: float = Field(default=1.0, ge=0, le=20)
    """How far pictures are pushed to their class: the velocity without a class, plus so many times what the class
    changes about it. 1 is the velocity of the class, at half the cost of any other. Ho and Salimans 2022,
    https://arxiv.org/abs/2207.12598, whose w is this minus 1."""


class FlowMatchingConfig(GeneratorRecipe):
    """A network that learns which way pixels of noise have to go."""

    kind: Literal["flow_matching"] = "flow_matching"
    network: VelocityUnetConfig = VelocityUnetConfig()
    """The network that says the velocity."""
    sigma_min: float = Field(default=1e-4, ge=0, lt=1)
    """Standard deviation of the noise that is left around an image at the end of its path."""
    times: Literal["uniform", "logit_normal"] = "uniform"
    """Where on the path velocities are learnt. Logit-normal: more often in the middle, where they are hardest to tell;
    Esser et al. 2024, section 3.1, https://arxiv.org/abs/2403.03206."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-3, betas=(0.9, 0.999))
    """Steps of the network."""
    sampler: SamplerConfig = SamplerConfig()
    """How pictures are made of noise."""
    conditional: bool = False
    """Make images by class; needs a source with classes."""
    classes: dict[str, int] = Field(default_factory=dict)
    """How often each class is drawn after training, for pictures of no class in particular. Empty: as often as among
    the training images, whose classes are filled in when training begins."""
    class_drop: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of training images whose class is not told, so that `sampler.guidance` has something to compare with."""

    @model_validator(mode="after")
    def _classes_are_of_use(self) -> Self:
        if self.classes and not self.conditional:
            raise ValueError("classes are given, but conditional is false: set it, or leave the classes out")
        if self.sampler.guidance != 1 and not (self.conditional and self.class_drop):
            raise ValueError(
                f"sampler.guidance {self.sampler.guidance:g} compares with the velocity without a class, which is "
                "learnt only with conditional: true and a class_drop above 0"
            )
        return self

    @property
    def needs_classes(self) -> bool:
        """Whether training needs the classes of images."""
        return self.conditional

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, one of which a picture can be asked for."""
        return tuple(self.classes)

    def resolved(self, training: SplitFacts) -> Self:
        """Return the section with the classes filled in.

        Raises:
            ValueError: It is conditional, and the training images have no classes or not those that are named.
        """
        if not self.conditional:
            return self
        return self.model_copy(update={"classes": classes_among(training, self.classes)})

    def build(self, size: int, seed: int) -> Recipe:
        """Return the network with its initial weights, and the one phase."""
        with seeding.initialising(seed, "velocity"):
            network = self.network.build(size, len(self.classes))
        objective = VelocityObjective(network, self)
        phase = Phase("velocity", trains=network, objective=objective, optimizer=self.optimizer)
        return Recipe(nn.ModuleDict({PRODUCER: network}), (phase,))

    def serving_network(self, size: int) -> VelocityUnet:
        """Return the network that says the velocity, for weights to be loaded into."""
        return self.network.build(size, len(self.classes))

    def example(self, size: int) -> tuple[Tensor, ...]:
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        noise, time = torch.zeros(1, 3, size, size), torch.zeros(1)
        return (noise, time, torch.zeros(1, dtype=torch.long)) if self.classes else (noise, time)

    def producer(self, network: nn.Module) -> "FlowProducer":
        """Return the network behind the interface that evaluation and serving use."""
        velocity = expect(network, VelocityUnet)
        if self.classes:
            return ClassFlowProducer(velocity, self.sampler, self.classes)
        return FlowProducer(velocity, self.sampler)


class VelocityObjective(Module):
    """Squared error of the velocity, conditional flow matching: equations 9 and 23 of Lipman et al. 2023."""

    def __init__(self, network: VelocityUnet, config: FlowMatchingConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - every objective's signature
        """Return the loss: the mean over pixels and images."""
        noise = batch.noise("flow/noise", *batch.images.shape[1:])
        time = self._times(batch)
        place, velocity = path(noise, batch.images, time, self.config.sigma_min)
        found = self.network(place, time, self._labels(batch))
        return {"loss": (found.float() - velocity).square().mean()}

    def _times(self, batch: Batch) -> Float[Tensor, " batch"]:
        if self.config.times == "logit_normal":
            return torch.sigmoid(batch.noise("flow/time"))
        return batch.uniform("flow/time")

    def _labels(self, batch: Batch) -> Labels | None:
        """Return the classes, but for some images that of no class."""
        if not self.config.conditional or batch.labels is None:
            return None
        kept = batch.uniform("flow/class") >= self.config.class_drop
        return torch.where(kept, batch.labels, self.network.no_class)


def path(
    noise: Float[Tensor, "batch 3 height width"],
    images: Float[Tensor, "batch 3 height width"],
    time: Float[Tensor, " batch"],
    sigma_min: float,
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 3 height width"]]:
    """Return where noise is at `time` on its way to the images, and its velocity there, which is the same all the way.

    Equations 22 and 23 of Lipman et al. 2023: x = (1 - (1 - sigma_min) t) noise + t image.
    """
    t = time.view(-1, 1, 1, 1)
    return (1 - (1 - sigma_min) * t) * noise + t * images, images - (1 - sigma_min) * noise


class FlowProducer:
    """Pictures from a trained velocity."""

    def __init__(self, network: VelocityUnet, sampler: SamplerConfig) -> None:
        self.network = network.eval()
        self.sampler = sampler

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`."""
        return self._made(self._noise(samples, seed, first))

    def _noise(self, samples: int, seed: int, first: int = 0) -> Float[Tensor, "samples 3 size size"]:
        side = self.network.size
        return latents_of(samples, 3 * side * side, seed, first).view(samples, 3, side, side)

    def _made(self, noise: Float[Tensor, "samples 3 size size"], labels: Labels | None = None) -> Images:
        """Return the pictures that noise is carried to."""
        device = device_of(self.network)
        pictures = []
        for rows in row_blocks(len(noise)):
            velocity = partial(self._velocity, labels=None if labels is None else labels[rows].to(device))
            ends = solve(velocity, noise[rows].to(device), self.sampler.steps, self.sampler.solver)
            pictures.append(to_pixels(ends))
        return np.concatenate(pictures)

    def _velocity(
        self, place: Float[Tensor, "images 3 size size"], time: float, labels: Labels | None
    ) -> Float[Tensor, "images 3 size size"]:
        """Return the velocity, guided away from that without a class: equation 6 of Ho and Salimans 2022."""
        times = torch.full((len(place),), time, device=place.device)
        velocity: Tensor = self.network(place, times, labels).float()
        if labels is None or self.sampler.guidance == 1:
            return velocity
        without: Tensor = self.network(place, times, torch.full_like(labels, self.network.no_class)).float()
        return without + self.sampler.guidance * (velocity - without)


class ClassFlowProducer(FlowProducer):
    """Pictures of any or of a chosen class from a trained velocity that knows classes."""

    def __init__(self, network: VelocityUnet, sampler: SamplerConfig, frequencies: Mapping[str, int]) -> None:
        super().__init__(network, sampler)
        self._classes = Classes(frequencies)
        self.classes = self._classes.names

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, each class as often as it should be."""
        return self._made(self._noise(samples, seed, first), self._classes.draw(samples, seed, first))

    @inference_mode
    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, all of the class `name`.

        Raises:
            ValueError: There is no such class.
        """
        labels = self._classes.only(name, samples)
        return self._made(self._noise(samples, seed, first), labels)
