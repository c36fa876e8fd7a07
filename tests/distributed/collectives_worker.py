"""What each rank of test_collectives runs: the same work on its rows of the batch, results written to one folder."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from components import distributed, seeding
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.norm import BatchNorm2d
from components.models.vae import ConvVaeConfig
from components.objectives.adversarial import Relativistic, Wasserstein
from components.objectives.variational import VariationalConfig

BATCH, SIZE, LATENT = 4, 8, 6


def rows(*shape, name):
    """Return this rank's rows of a batch that is the same for any number of processes."""
    whole = torch.randn(BATCH, *shape, generator=seeding.torch_generator(0, name), dtype=torch.float64)
    return whole.chunk(distributed.processes())[distributed.rank()]


class Critic(nn.Module):
    """A discriminator with batch normalisation and penalties, so that statistics are differentiated twice."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss
        self.network = DcganDiscriminatorConfig(width=4, normalisation="batch").build(2 * SIZE).double()

    def forward(self):
        real, fake = rows(3, 2 * SIZE, 2 * SIZE, name="real"), rows(3, 2 * SIZE, 2 * SIZE, name="fake")
        mix = rows(name="mix").abs().clamp_max(1)
        return self.loss.discriminator_loss(self.network(real), self.network(fake)) + self.loss.penalty(
            self.network, real, fake, mix
        )


class Maker(nn.Module):
    """A generator with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.network = DcganGeneratorConfig(latent=LATENT, width=4).build(SIZE).double()

    def forward(self):
        return (self.network(rows(LATENT, name="z")) - rows(3, SIZE, SIZE, name="real")).square().mean()


class Autoencoder(nn.Module):
    """A VAE whose sigma and free bits are functions of the joined batch."""

    def __init__(self):
        super().__init__()
        self.network = ConvVaeConfig(latent=LATENT, width=4).build(SIZE).double()

    def forward(self):
        image = rows(3, SIZE, SIZE, name="real").clamp(-1, 1)
        decoded, mean, log_variance = self.network(image, rows(LATENT, name="noise"))
        return VariationalConfig(free_bits=0.2).losses(decoded, image, mean, log_variance, 0)["loss"]


def trained(name, objective):
    """Return loss, gradients and buffers after one backward pass of two forwards."""
    replica = distributed.replicate(objective)
    for _ in range(2):
        objective.zero_grad()
        loss = replica()
        loss.backward()
    found = {"loss": torch.tensor([distributed.average_scalars({"loss": loss})["loss"]])}
    found |= {f"gradient.{key}": value.grad for key, value in objective.named_parameters()}
    found |= {f"buffer.{key}": value.double() for key, value in objective.named_buffers()}
    return {f"{name}.{key}": value for key, value in found.items()}


def everything():
    """Return all results that must not depend on the number of processes."""
    found = {}
    for name, build in [
        ("wasserstein", lambda: Critic(Wasserstein())),
        ("relativistic", lambda: Critic(Relativistic())),
        ("generator", Maker),
        ("vae", Autoencoder),
    ]:
        with seeding.initialising(0, name):
            objective = build()
        found |= trained(name, objective)
    norm = BatchNorm2d(3).double()
    x = (rows(3, 4, 4, name="x") + 100).requires_grad_()
    out = norm(x)
    (first,) = torch.autograd.grad((out**3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), x)
    for name, value in [("output", out), ("first", first), ("second", second)]:
        if (joined := distributed.gather_rows(value.detach())) is not None:
            found[f"norm.{name}"] = joined
    return found


def facts():
    """Return what the collectives say, as JSON."""
    rank = distributed.rank()
    x = torch.tensor([1.0 + rank], requires_grad=True)
    total = distributed.all_reduce_sum(x)
    (first,) = torch.autograd.grad((rank + 1) * (total**3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    gathered = distributed.gather_rows(torch.arange(3 * rank, dtype=torch.int16).view(-1, 3))
    flags = distributed.gather_rows(torch.tensor([rank == 0, True]))
    distributed.barrier()
    return {
        "rank": rank,
        "processes": distributed.processes(),
        "is_main": distributed.is_main(),
        "any": [distributed.any_rank(flag=rank == 1), distributed.any_rank(flag=False)],
        "average": distributed.average_scalars({"b": x[0], "a": torch.tensor(rank, dtype=torch.float64)}),
        "sum": [total.item(), first.item(), second.item()],
        "rows": None if gathered is None else gathered.tolist(),
        "flags": None if flags is None else flags.tolist(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with distributed.process_group(timeout_s=60) as world:
        (folder / f"{world.rank}.json").write_text(json.dumps(facts()))
        save_file(
            {name: value.contiguous() for name, value in everything().items()}, folder / f"{world.rank}.safetensors"
        )
