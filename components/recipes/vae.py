"""VAE: an encoder and a decoder with a random bottleneck (Kingma and Welling 2014, https://arxiv.org/abs/1312.6114)."""

from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from components import seeding
from components.data.batch import Batch
from components.models import VaeNetworkConfig
from components.models.vae import ConvVae, ConvVaeConfig
from components.objectives.variational import VariationalConfig
from components.recipes.recipe import PRODUCER, Images, Recipe, device_of, latents_of, row_blocks, to_pixels, to_tensor
from components.section import Section
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase


class VaeConfig(Section):
    """An autoencoder whose code is normally distributed, so that new codes can be drawn."""

    kind: Literal["vae"] = "vae"
    network: VaeNetworkConfig = ConvVaeConfig()
    """Encoder and decoder."""
    loss: VariationalConfig = VariationalConfig()
    """Reconstruction error, and divergence of the code from its prior."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-3, betas=(0.9, 0.999))
    """Steps of encoder and decoder together."""

    @property
    def needs_corruption(self) -> bool:
        """Whether training draws masks and degradations."""
        return False

    def check(self, size: int) -> None:
        """Raise ValueError unless all networks can be built for images of `size` px."""
        self.network.check(size)

    def build(self, size: int, seed: int) -> Recipe:
        """Return the network with its initial weights, and the one phase."""
        with seeding.initialising(seed, "vae"):
            network = self.network.build(size)
        phase = Phase("vae", trains=network, objective=VaeObjective(network, self.loss), optimizer=self.optimizer)
        return Recipe(nn.ModuleDict({PRODUCER: network}), (phase,))

    def serving_network(self, size: int) -> ConvVae:
        """Return encoder and decoder, for weights to be loaded into."""
        return self.network.build(size)

    def example(self, size: int) -> tuple[Tensor, ...]:
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        return (torch.zeros(1, 3, size, size), torch.zeros(1, self.network.latent))

    def producer(self, network: nn.Module) -> "VaeProducer":
        """Return the network behind the interface that evaluation and serving use."""
        return VaeProducer(cast("ConvVae", network))


class VaeObjective(nn.Module):
    """Negative evidence lower bound with a reparameterised sample."""

    def __init__(self, network: ConvVae, loss: VariationalConfig) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return the loss and its two parts."""
        decoded, mean, log_variance = self.network(batch.images, batch.noise("code", self.network.latent))
        return self.loss.losses(decoded.float(), batch.images, mean.float(), log_variance.float(), images)


class VaeProducer:
    """Pictures from a trained VAE: new ones from the prior, and old ones through the bottleneck."""

    def __init__(self, network: ConvVae) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def generate(self, samples: int, seed: int) -> Images:
        """Return `samples` pictures decoded from codes drawn from the stream `seed`."""
        codes = latents_of(samples, self.network.latent, seed).to(device_of(self.network))
        return np.concatenate([to_pixels(self.network.decode(codes[rows])) for rows in row_blocks(samples)])

    @torch.inference_mode()
    def reconstruct(self, images: Images) -> Images:
        """Return `images` decoded from the mean of their code."""
        device = device_of(self.network)
        blocks = [to_tensor(images[rows], device) for rows in row_blocks(len(images))]
        return np.concatenate([to_pixels(self.network.decode(self.network.encode(block)[0])) for block in blocks])
