"""Training loops to compare with, written anew from what their projects document, and the bare loop: the limit."""

import itertools
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.data import Batch
from components.objectives.restoration import composite
from components.recipes.inpainter import InpainterConfig


def flat_gan(
    generator: nn.Module, discriminator: nn.Module, steps: Iterable[tuple[Tensor, Tensor, Tensor]], rate: float
) -> list[Tensor]:
    """Train a GAN by the fewest operations known, and return the discriminator's loss of each step.

    Made images without a graph, one pass of the discriminator over real and made together, its weights frozen in the
    generator's step, fused Adam, nothing read back.

    Args:
        generator: Noise to image.
        discriminator: Image to logit.
        steps: Real images, noise for the discriminator's step, noise for the generator's.
        rate: Learning rate of both.
    """
    made, judged = (
        torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.5, 0.999), weight_decay=0, fused=True)
        for network in (generator, discriminator)
    )
    losses = []
    for real, first_noise, second_noise in steps:
        discriminator.requires_grad_(requires_grad=True)
        with torch.no_grad():
            fake = generator(first_noise)
        real_logits, fake_logits = discriminator(torch.cat([real, fake])).chunk(2)
        loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        judged.zero_grad(set_to_none=True)
        loss.backward()
        judged.step()
        discriminator.requires_grad_(requires_grad=False)
        made.zero_grad(set_to_none=True)
        F.softplus(-discriminator(generator(second_noise))).mean().backward()
        made.step()
        losses.append(loss.detach())
    return losses


def from_memory(images: Tensor, batch: int, latent: int, steps: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield what `flat_gan` takes from uint8 NHWC images in memory."""
    random = torch.Generator().manual_seed(1)
    orders = (torch.randperm(len(images), generator=random).split(batch) for _ in itertools.count())
    whole = (order for order in itertools.chain.from_iterable(orders) if len(order) == batch)
    for rows in itertools.islice(whole, steps):
        real = images.index_select(0, rows).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        first, second = (torch.randn(batch, latent, generator=random) for _ in range(2))
        yield real, first, second


def example_generator(latent: int = 100, width: int = 64) -> nn.Sequential:
    """Return the generator of the DCGAN tutorial of PyTorch's examples for 64 px; it takes (batch, latent)."""
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent, 1, 1)),
        nn.ConvTranspose2d(latent, 8 * width, 4, 1, 0, bias=False),
    ]
    for coarse, fine in ((8, 4), (4, 2), (2, 1)):
        layers += [nn.BatchNorm2d(coarse * width), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(coarse * width, fine * width, 4, 2, 1, bias=False)]
    layers += [
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    ]
    return nn.Sequential(*layers).apply(_tutorial_weights)


def example_discriminator(width: int = 64) -> nn.Sequential:
    """Return the tutorial's discriminator without its last sigmoid: it gives one logit per image."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for fine, coarse in ((1, 2), (2, 4), (4, 8)):
        layers += [nn.Conv2d(fine * width, coarse * width, 4, 2, 1, bias=False), nn.BatchNorm2d(coarse * width)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False), nn.Flatten(0)).apply(_tutorial_weights)


def example_gan_loop(
    generator: nn.Module, discriminator: nn.Module, loader: Iterable[tuple[Tensor]], latent: int
) -> None:
    """Train as the tutorial's loop does, https://github.com/pytorch/examples/tree/main/dcgan.

    Binary cross-entropy of probabilities, two passes and two backwards of the discriminator, made images with their
    graph, unfused Adam, and five numbers read back per step for a line of progress.
    """
    judged, made = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (discriminator, generator)
    )
    criterion = nn.BCELoss()
    for (real,) in loader:
        size = len(real)
        discriminator.zero_grad()
        label = torch.full((size,), 1.0)
        output = torch.sigmoid(discriminator(real))
        real_loss = criterion(output, label)
        real_loss.backward()
        on_real = output.mean().item()
        fake = generator(torch.randn(size, latent))
        label.fill_(0.0)
        output = torch.sigmoid(discriminator(fake.detach()))
        fake_loss = criterion(output, label)
        fake_loss.backward()
        on_fake = output.mean().item()
        loss = real_loss + fake_loss
        judged.step()
        generator.zero_grad()
        label.fill_(1.0)
        output = torch.sigmoid(discriminator(fake))
        generator_loss = criterion(output, label)
        generator_loss.backward()
        after = output.mean().item()
        made.step()
        _progress = f"{loss.item():.4f} {generator_loss.item():.4f} {on_real:.4f} {on_fake:.4f} {after:.4f}"


def mimicry_loop(
    generator: nn.Module, discriminator: nn.Module, batches: Iterable[Tensor], latent: int, discriminator_steps: int
) -> None:
    """Train a GAN by hinge losses as torch-mimicry's trainer does, https://github.com/kwotsin/mimicry.

    In the discriminator's step the made images are computed with their graph, which is then dropped, and judged in a
    pass of their own; in the generator's step gradients of the discriminator's weights are computed and thrown away;
    Adam is not fused, and three numbers are read back per discriminator step.
    Lee and Town 2020, https://arxiv.org/abs/2005.02494.
    """
    judged, made = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.0, 0.9)) for network in (discriminator, generator)
    )
    for step, real in enumerate(batches):
        judged.zero_grad()
        real_logits = discriminator(real)
        fake_logits = discriminator(generator(torch.randn(len(real), latent)).detach())
        loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        loss.backward()
        judged.step()
        _progress = f"{loss.item():.4f} {real_logits.mean().item():.4f} {fake_logits.mean().item():.4f}"
        if step % discriminator_steps == 0:
            made.zero_grad()
            generator_loss = -discriminator(generator(torch.randn(len(real), latent))).mean()
            generator_loss.backward()
            made.step()
            _progress += f" {generator_loss.item():.4f}"


def two_forward_loop(
    network: nn.Module, discriminator: nn.Module, config: InpainterConfig, batches: Iterable[Batch]
) -> None:
    """Train an inpainter as LaMa's trainer is documented to: each optimizer's step begins with a whole forward pass.

    Both passes keep their graph; gradients of the discriminator's weights are computed in the inpainter's step and
    thrown away; Adam is not fused, and the average of the weights moves parameter by parameter.
    Suvorov et al. 2021, https://arxiv.org/abs/2109.07161, and its published configuration.
    """
    assert config.adversary is not None
    mending = torch.optim.Adam(network.parameters(), lr=1e-3)
    judging = torch.optim.Adam(discriminator.parameters(), lr=1e-4)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    game = config.adversary.loss
    for batch in batches:
        assert batch.corrupted is not None
        assert batch.missing is not None
        restored = network(batch.corrupted, batch.missing)
        losses = config.loss.losses(restored, batch.images, batch.missing)
        logits = discriminator(composite(restored, batch.images, batch.missing))
        mending.zero_grad()
        (losses["loss"] + config.adversary.weight * game.generator_loss(logits)).backward()
        mending.step()
        restored = network(batch.corrupted, batch.missing)
        mended = composite(restored, batch.images, batch.missing).detach()
        judging.zero_grad()
        game.discriminator_loss(discriminator(batch.images), discriminator(mended), batch.missing).backward()
        judging.step()
        with torch.no_grad():
            for mean, current in zip(average, network.parameters(), strict=True):
                mean.mul_(0.999).add_(current, alpha=0.001)


def _tutorial_weights(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
