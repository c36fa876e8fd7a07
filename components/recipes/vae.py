"""VAE: an encoder and a decoder with a random bottleneck (Kingma and Welling 2014, https://arxiv.org/abs/1312.6114)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import model_validator

from components import seeding
from components.data.batch import Batch
from components.data.cache import PixelSource
from components.deferred.torch import Module, Tensor, inference_mode, nn, torch
from components.models import VaeNetworkConfig
from components.models.eye import Eye
from components.models.features import LITE0_SHA256
from components.models.vae import ConvVaeConfig, Vae, reparameterise
from components.objectives.features import features_apart
from components.objectives.likelihood import Likelihood
from components.objectives.variational import VariationalConfig, divergence
from components.pictures.pixels import to_pixels, to_tensor
from components.recipes.couplings import CodeFlow, FlowConfig, fit_flow
from components.recipes.directions import strongest
from components.recipes.interpolation import spherical, straight
from components.recipes.mixture import Mixture, MixtureConfig, fit_mixture
from components.recipes.recipe import (
    PRODUCER,
    Bound,
    GeneratorRecipe,
    Images,
    Recipe,
    device_of,
    expect,
    latents_of,
    row_blocks,
)
from components.section import Grown
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class VaeConfig(GeneratorRecipe, Grown):
    """An autoencoder whose code is normally distributed, so that new codes can be drawn."""

    kind: Literal["vae"] = "vae"
    network: VaeNetworkConfig = ConvVaeConfig()
    """Encoder and decoder."""
    loss: VariationalConfig = VariationalConfig()
    """Reconstruction error, and divergence of the code from its prior."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-3, betas=(0.9, 0.999))
    """Steps of encoder and decoder together."""
    mixture: MixtureConfig | None = None
    """Fitted to the codes after training, to draw new codes from; None draws from the prior, or from the flow."""
    flow: FlowConfig | None = None
    """Fitted to the codes after training, to draw new codes from; None draws from the prior, or from the mixture."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"flow"})

    @model_validator(mode="after")
    def _codes_come_from_one(self) -> Self:
        if self.mixture is not None and self.flow is not None:
            raise ValueError("mixture and flow are both given, but new codes are drawn from one: leave one of them out")
        return self

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of the weights of the network that the feature loss looks through, where it is on."""
        return () if self.loss.features is None else (LITE0_SHA256,)

    def check(self, size: int, images: int | None = None) -> None:
        """Raise ValueError unless all can be built for `images` training images, if known, of `size` px."""
        super().check(size, images)
        if self.mixture is not None:
            self.mixture.check(self.network.code_size, images)
        if self.flow is not None:
            self.flow.check(self.network.code_size, images)

    def build(self, size: int, seed: int) -> Recipe:
        """Return the network with its initial weights, and the one phase."""
        with seeding.initialising(seed, "vae"):
            network = self.network.build(size, self.loss.likelihood.numbers)
        networks, features = nn.ModuleDict({PRODUCER: network}), self.loss.features
        eye = None if features is None else Eye(features.resolution or size, features.blocks)
        if eye is not None:
            networks["eye"] = eye  # so that it is moved and compiled with the other
        phase = Phase(
            name="vae",
            trains=network,
            objective=VaeObjective(network, self.loss, eye),
            optimizer=self.optimizer,
            settings=lambda images, batch: self.loss.weight(images),  # noqa: ARG005 - every phase's signature
        )
        return Recipe(networks, (phase,))

    def serving_network(self, size: int) -> "CodedVae":
        """Return encoder, decoder and code, for weights to be loaded into."""
        vae, latent = self.network.build(size, self.loss.likelihood.numbers), self.network.code_size
        mixture = Mixture(self.mixture.components, latent) if self.mixture else None
        return self._with_codes(vae, mixture, CodeFlow(self.flow, latent) if self.flow else None)

    def finished(self, network: nn.Module, training: PixelSource, seed: int) -> "CodedVae":
        """Return the trained network with what is fitted to it afterwards."""
        vae = _vae(network)
        mixture = fit_mixture(_codes(vae, training, seed), self.mixture, seed) if self.mixture else None
        flow = fit_flow(_codes(vae, training, seed), self.flow, seed) if self.flow else None
        return self._with_codes(vae, mixture, flow)

    def example(self, size: int) -> tuple[Tensor, ...]:
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        return (torch.zeros(1, 3, size, size), torch.zeros(1, self.network.code_size))

    def producer(self, network: nn.Module) -> "VaeProducer":
        """Return the network, in training or finished, behind the interface that evaluation and serving use."""
        return VaeProducer(network if isinstance(network, CodedVae) else self._with_codes(_vae(network)))

    def _with_codes(self, vae: Vae, mixture: Mixture | None = None, flow: CodeFlow | None = None) -> "CodedVae":
        return CodedVae(vae, self.loss.likelihood, mixture, flow)


class CodedVae(Module):
    """A VAE, how its pixels are read, and what its new codes are drawn from: a mixture, a flow, or else the prior."""

    def __init__(
        self, vae: Vae, likelihood: Likelihood, mixture: Mixture | None = None, flow: CodeFlow | None = None
    ) -> None:
        super().__init__()
        self.vae = vae
        self.likelihood = likelihood
        self.mixture = mixture
        self.flow = flow

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"]
    ) -> tuple[Float[Tensor, "batch 3 size size"], Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return reconstruction, mean and log-variance."""
        said, mean, log_variance = self.vae(image, noise)
        return self.likelihood.picture(said), mean, log_variance

    def picture(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Return the mean picture of each code, in [-1, 1]."""
        return self.likelihood.picture(self.vae.decode(codes))

    def draw(self, samples: int, seed: int, first: int = 0) -> Float[Tensor, "samples latent"]:
        """Return the new codes numbered `first` and on, on the CPU."""
        if (fitted := self.mixture or self.flow) is not None:
            return fitted.draw(samples, seed, first)
        return latents_of(samples, self.vae.latent, seed, first)


def _vae(network: nn.Module) -> Vae:
    return expect(network, Vae)  # type: ignore[type-abstract] # asked for, not made


@dataclass(frozen=True)
class _Coded:
    """A block of pictures and what the encoder makes of them, on the network's device."""

    images: Float[Tensor, "images 3 size size"]
    mean: Float[Tensor, "images latent"]
    log_variance: Float[Tensor, "images latent"]
    code: Float[Tensor, "images latent"]
    """One draw from each posterior."""


def _coded(vae: Vae, pictures: PixelSource, seed: int, purpose: str) -> Iterator[_Coded]:
    """Yield all pictures, block by block, with codes drawn from the stream `purpose`."""
    device = device_of(vae.eval())
    for rows in row_blocks(len(pictures)):
        images = to_tensor(pictures.take(np.arange(rows.start, rows.stop), axis=0), device)
        generator = seeding.torch_generator(seed, purpose, rows.start)
        noise = torch.randn(len(images), vae.latent, generator=generator).to(device)
        mean, log_variance = (part.float() for part in vae.encode(images, noise))
        yield _Coded(images, mean, log_variance, reparameterise(mean, log_variance, noise))


@inference_mode
def _codes(vae: Vae, training: PixelSource, seed: int) -> Float[np.ndarray, "images latent"]:
    """Return one draw from each training image's posterior."""
    return np.concatenate([block.code.cpu().double().numpy() for block in _coded(vae, training, seed, "posterior")])


class VaeObjective(Module):
    """Negative evidence lower bound with a reparameterised sample and, where asked for, the distance of features."""

    def __init__(self, network: Vae, loss: VariationalConfig, eye: Eye | None = None) -> None:
        """Take what is trained, for what, and what the feature loss, if there is one, looks through."""
        super().__init__()
        self.network = network
        self.loss = loss
        self.eye = eye

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:
        """Return the loss and its parts."""
        said, mean, log_variance = self.network(batch.images, batch.noise("code", self.network.latent))
        losses = self.loss.losses(said, batch.images, mean.float(), log_variance.float(), images)
        if self.eye is None or self.loss.features is None:
            return losses
        picture = self.loss.likelihood.picture(said)
        with torch.autocast(picture.device.type, enabled=False):  # near pictures differ by less than bfloat16 tells
            with torch.no_grad():
                true = self.eye(batch.images)
            apart = features_apart(self.eye(picture), true)
        nats = self.loss.features.weight * picture[0].numel() * apart
        return {**losses, "loss": losses["loss"] + nats, "features": apart.detach()}


class VaeProducer:
    """Pictures from a trained VAE: new ones, and old ones through the bottleneck."""

    def __init__(self, network: CodedVae) -> None:
        self.network = network.eval()

    @inference_mode
    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return pictures decoded from the new codes numbered `first` and on of the draw `seed`."""
        codes = self.network.draw(samples, seed, first).to(device_of(self.network))
        return np.concatenate([to_pixels(self.network.picture(codes[rows])) for rows in row_blocks(samples)])

    @inference_mode
    def reconstruct(self, images: Images) -> Images:
        """Return `images` decoded from the mean of their code."""
        device = device_of(self.network)
        blocks = [to_tensor(images[rows], device) for rows in row_blocks(len(images))]
        encode, picture = self.network.vae.encode, self.network.picture
        return np.concatenate([to_pixels(picture(encode(block)[0])) for block in blocks])

    @inference_mode
    def bound(self, images: Images, calibration: Images, seed: int) -> Bound:
        """Return the bound on the likelihood of `images` under the standard normal prior, with one draw per code.

        What the likelihood leaves open is fitted to the images `calibration`.
        """
        vae, likelihood = self.network.vae, self.network.likelihood
        examples = _coded(vae, calibration, seed, "calibration")
        nats_of = likelihood.of_levels((vae.decode(block.code), block.images) for block in examples)
        distortion, rate, means = [], [], []
        for block in _coded(vae, images, seed, "bound"):
            distortion.append(nats_of(vae.decode(block.code), block.images))
            rate.append(divergence(block.mean.double(), block.log_variance.double()).sum(1))
            means.append(block.mean)
        columns = [torch.cat(blocks).cpu().numpy() for blocks in (distortion, rate, means)]
        return Bound(columns[0], columns[1], columns[2], likelihood.protocol(len(calibration)))

    @inference_mode
    def between(self, first: Images, second: Images, steps: int) -> Sequence[Images]:
        """Return `steps` views of the straight ways between the means of the codes of `first` and `second`."""
        vae, device = self.network.vae, device_of(self.network)
        start, end = (vae.encode(to_tensor(images, device))[0].float() for images in (first, second))
        return self._seen(straight(start, end, steps))

    @inference_mode
    def between_draws(self, pairs: int, steps: int, seed: int) -> Sequence[Images]:
        """Return `steps` views of the spherical ways between the pictures 2n and 2n + 1 of the draw `seed`."""
        codes = self.network.draw(2 * pairs, seed).to(device_of(self.network))
        return self._seen(spherical(codes[::2], codes[1::2], steps))

    @inference_mode
    def along(self, directions: int, samples: int, shifts: Sequence[float], seed: int) -> Sequence[Sequence[Images]]:
        """Return the first pictures of the draw `seed`, whose codes are moved along the strongest directions."""
        vae = self.network.vae
        ways = strongest(vae, vae.decode, vae.latent, directions)
        codes = self.network.draw(samples, seed).to(device_of(self.network))
        return [self._seen(torch.stack([codes + shift * way for shift in shifts])) for way in ways]

    def _seen(self, ways: Float[Tensor, "steps pairs latent"]) -> Sequence[Images]:
        return [to_pixels(self.network.picture(codes)) for codes in ways]
