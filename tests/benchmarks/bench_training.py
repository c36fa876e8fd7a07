"""How much of a step the trainer costs, and how it compares with the training loops that people use instead."""

import contextlib
import copy
import io
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import training_peers as peers
from harness import Effort, Figure, Peer, Timed
from numpy.typing import NDArray
from pictures import crops
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from trainer import Trainer, loader

from components import distributed
from components.corruption import CorruptionMix
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.objectives.adversarial import Hinge, NonSaturating
from components.objectives.penalty import with_slopes
from components.objectives.reconstruction import FixedSigma
from components.objectives.variational import VariationalConfig
from components.recipes import GanConfig, InpainterConfig
from components.recipes.duel import DiscriminatorObjective, Duel, GeneratorObjective
from components.recipes.inpainter import AdversaryConfig
from components.recipes.recipe import PRODUCER, Recipe
from components.recipes.vae import VaeObjective
from components.training.config import TrainingConfig
from components.training.optimizer import AdamConfig
from components.training.phase import Phase

_RATE = 2e-4
_SAME_LOSS = 1e-4

# bf16 without matrix units is slower than fp32.
_BEST_PRECISION = "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the figures, one core each."""
    small, large = (np.stack(list(crops(1280, size))) for size in (32, 64))
    yield _against_bare_loop(small, effort, folder)
    yield _against_example(large[:512], effort, folder)
    yield _against_mimicry(small[:512], effort, folder)
    yield _against_pythae(small, effort, folder)
    yield _against_two_forwards(small, effort, folder)


def _against_bare_loop(images: NDArray[np.uint8], effort: Effort, folder: Path) -> Figure:
    batch, steps = 32, effort.of(24, 2)
    game = GanConfig(
        generator=DcganGeneratorConfig(latent=64, width=16),
        discriminator=DcganDiscriminatorConfig(width=32),
    )
    training = TrainingConfig(images=batch, batch=batch, flip=False)
    recipe = game.build(32, seed=1)
    bare = _networks(copy.deepcopy(recipe))
    trainer = Trainer(recipe, loader(images, batch), training, folder)
    tensor = torch.from_numpy(images)

    def check() -> str:
        fresh = game.build(32, seed=1)
        networks = _networks(copy.deepcopy(fresh))
        batches = loader(images, batch).batches(0)
        inputs = [
            (one.images, one.noise("latent/discriminator", 64), one.noise("latent/generator", 64))
            for one in itertools.islice(batches, 5)
        ]
        batches.close()
        theirs = torch.stack(peers.flat_gan(*networks, inputs, _RATE))
        reported = Trainer(fresh, loader(images, batch), training, folder).run(5 * batch, report_every=batch)
        ours = torch.tensor([values["discriminator/loss"] for values in reported])
        difference = ((ours - theirs) / theirs).abs().max().item()
        assert difference <= _SAME_LOSS, f"losses {ours} and {theirs}"
        return f"the same losses for 5 steps, to {difference:.0e}"

    def flat() -> None:
        with distributed.process_group():  # in the same arithmetic: it is our own limit, not somebody's program
            peers.flat_gan(*bare, peers.from_memory(tensor, batch, 64, steps), _RATE)

    return Figure(
        f"whole trainer, DCGAN at 32 px, a checkpoint every {steps * batch:,} images",
        "images",
        _ours(trainer, steps * batch),
        [Peer(Timed("the same step as one flat function, data in memory", steps * batch, flat), 0.97)],
        check,
    )


def _ours(trainer: Trainer, images: int) -> Timed:
    """Train in the arithmetic of a rank, which counts tiny numbers as 0."""

    def work() -> None:
        with distributed.process_group():
            trainer.run(images)

    return Timed("ours", images, work)


def _networks(recipe: Recipe) -> tuple[nn.Module, nn.Module]:
    networks = recipe.networks.to(memory_format=torch.channels_last)
    return networks[PRODUCER], networks["discriminator"]


class _OfNoClasses(nn.Module):
    """A generator that knows no classes, behind the call that our objectives make."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.latent = 100

    def forward(self, latent: Tensor, labels: None) -> Tensor:
        del labels
        return self.network(latent)


def _against_example(images: NDArray[np.uint8], effort: Effort, folder: Path) -> Figure:
    batch, steps = 32, effort.of(2)
    torch.manual_seed(1)
    generator, discriminator = peers.example_generator(), peers.example_discriminator()
    theirs = copy.deepcopy(generator), copy.deepcopy(discriminator)
    generator = _OfNoClasses(generator)
    networks = nn.ModuleDict({PRODUCER: generator, "discriminator": discriminator})
    duel = Duel(networks, NonSaturating(), None, conditional=False)
    recipe = Recipe(
        networks,
        (
            Phase("discriminator", discriminator, DiscriminatorObjective(duel, with_slopes), AdamConfig()),
            Phase("generator", generator, GeneratorObjective(duel), AdamConfig()),
        ),
    )
    training = TrainingConfig(images=batch, batch=batch, flip=False, precision=_BEST_PRECISION)
    trainer = Trainer(recipe, loader(images, batch), training, folder)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
    batches = DataLoader(TensorDataset(tensor), batch_size=batch, shuffle=True)

    def check() -> str:
        sizes = [sum(p.numel() for p in network.parameters()) for network in (*theirs, generator, discriminator)]
        assert sizes[:2] == sizes[2:]
        return (
            f"the same networks ({sizes[0]:,} and {sizes[1]:,} parameters), images and numbers of steps; ours draws "
            "noise anew for the generator's step, one generator pass more, and its discriminator's BatchNorm sees "
            f"real and made images together; precision of ours: {_BEST_PRECISION}"
        )

    def example() -> None:
        peers.example_gan_loop(*theirs, itertools.islice(batches, steps), 100)

    return Figure(
        "DCGAN at 64 px",
        "images",
        _ours(trainer, steps * batch),
        [Peer(Timed("loop of PyTorch's DCGAN example, re-implemented", steps * batch, example), 1.4)],
        check,
    )


def _against_mimicry(images: NDArray[np.uint8], effort: Effort, folder: Path) -> Figure:
    batch, every = 16, 5
    game = GanConfig(
        generator=SnganGeneratorConfig(),
        discriminator=SnganDiscriminatorConfig(),
        loss=Hinge(),
        augmentation=False,
        optimizer=AdamConfig(betas=(0.0, 0.9)),
        discriminator_optimizer=AdamConfig(betas=(0.0, 0.9)),
        discriminator_steps=every,
    )
    recipe = game.build(32, seed=1)
    theirs = copy.deepcopy(recipe.networks)
    training = TrainingConfig(images=batch, batch=batch, flip=False, precision=_BEST_PRECISION)
    trainer = Trainer(recipe, loader(images, batch), training, folder)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()

    def mimicry() -> None:
        batches = tensor[torch.randperm(len(tensor))].split(batch)
        peers.mimicry_loop(theirs[PRODUCER], theirs["discriminator"], batches[:every], game.generator.latent, every)

    def check() -> str:
        sizes = [sum(p.numel() for p in networks.parameters()) for networks in (theirs, recipe.networks)]
        assert sizes[0] == sizes[1]
        return (
            f"the same networks ({sizes[0]:,} parameters), batches of {batch}, {every} discriminator steps for each of "
            f"the generator's; precision of ours: {_BEST_PRECISION}"
        )

    goal = 3.5 if _BEST_PRECISION == "bf16" else 1.2  # with and without matrix units
    return Figure(
        "SNGAN at 32 px",
        "images",
        _ours(trainer, every * batch),
        [Peer(Timed("torch-mimicry's train_step, re-implemented", every * batch, mimicry), goal)],
        check,
    )


class _CodedByPythae(nn.Module):
    """pythae's own networks, which see and make [0, 1], behind the call that our objective makes."""

    latent = 16

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.encoder(images * 0.5 + 0.5)
        decoded = self.decoder(code.embedding + noise * torch.exp(0.5 * code.log_covariance)).reconstruction
        return decoded * 2 - 1, code.embedding, code.log_covariance


def _against_pythae(images: NDArray[np.uint8], effort: Effort, folder: Path) -> Figure:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    batch, passes = 64, effort.of(4)
    torch.manual_seed(1)
    model = VAE(VAEConfig(input_dim=(3, 32, 32), latent_dim=_CodedByPythae.latent))
    network = _CodedByPythae(copy.deepcopy(model))
    # In [-1, 1] errors are twice as large as in [0, 1], so sigma 2 gives pythae's loss but for a constant.
    objective = VaeObjective(network, VariationalConfig(likelihood=FixedSigma(sigma=2)))
    phase = Phase("vae", network, objective, AdamConfig(rate=1e-3, betas=(0.9, 0.999)))
    training = TrainingConfig(images=batch, batch=batch, flip=False)
    recipe = Recipe(nn.ModuleDict({PRODUCER: network}), (phase,))
    trainer = Trainer(recipe, loader(images, batch), training, folder)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()
    dataset = BaseDataset(tensor, torch.zeros(len(tensor)))

    def check() -> str:
        torch.manual_seed(2)
        noise = torch.randn(batch, _CodedByPythae.latent)
        losses = objective.loss.losses(*_one(network, tensor[:batch], noise), 0)
        torch.manual_seed(2)
        theirs = model({"data": tensor[:batch]})
        constant = tensor[0].numel() * (np.log(2) + 0.5 * np.log(2 * np.pi))
        difference = abs((losses["loss"] - constant - theirs.loss) / theirs.loss).item()
        assert difference <= _SAME_LOSS
        return f"the same networks (pythae's default VAE), images, optimizer and loss, to {difference:.0e}"

    def pythae() -> None:
        config = BaseTrainerConfig(
            output_dir=str(folder / "pythae"),
            num_epochs=passes,
            learning_rate=1e-3,
            per_device_train_batch_size=batch,
            no_cuda=True,
        )
        logging.disable(logging.WARNING)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            BaseTrainer(model, dataset, training_config=config).train()
        logging.disable(logging.NOTSET)

    return Figure(
        f"small VAE at 32 px, {passes} passes of {len(images):,}",
        "images",
        _ours(trainer, passes * len(images)),
        [Peer(Timed("pythae 0.1.2, BaseTrainer", passes * len(images), pythae), 1.5)],
        check,
    )


def _one(network: nn.Module, unit: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    decoded, mean, log_variance = network(unit * 2 - 1, noise)
    return decoded, unit * 2 - 1, mean, log_variance


def _against_two_forwards(images: NDArray[np.uint8], effort: Effort, folder: Path) -> Figure:
    batch, steps = 32, effort.of(12, 2)
    config = InpainterConfig(adversary=AdversaryConfig())
    recipe = config.build(32, seed=1)
    theirs = copy.deepcopy(recipe.networks)
    training = TrainingConfig(images=batch, batch=batch, flip=False, precision=_BEST_PRECISION)
    trainer = Trainer(recipe, loader(images, batch, corruption=CorruptionMix()), training, folder)

    def two_forwards() -> None:
        batches = loader(images, batch, corruption=CorruptionMix()).batches(0)
        peers.two_forward_loop(theirs[PRODUCER], theirs["discriminator"], config, itertools.islice(batches, steps))
        batches.close()

    def check() -> str:
        sizes = [sum(p.numel() for p in networks.parameters()) for networks in (theirs, recipe.networks)]
        assert sizes[0] == sizes[1]
        return f"the same networks ({sizes[0]:,} parameters), losses, loader, damage and numbers of steps"

    return Figure(
        "inpainter against a discriminator, 32 px",
        "images",
        _ours(trainer, steps * batch),
        [Peer(Timed("LaMa's step of two generator passes, re-implemented", steps * batch, two_forwards), 1.3)],
        check,
    )
