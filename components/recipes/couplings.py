"""Couplings: a small normalising flow fitted to a trained VAE's codes, from which new codes are drawn.

RealNVP's affine couplings: Dinh et al. 2017, https://arxiv.org/abs/1605.08803. Where a mixture's normals each need all
their covariances, a flow bends one normal into the shape that the codes have.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int64
from pydantic import Field

from components import seeding
from components.deferred.torch import Module, Tensor, nn, torch
from components.recipes.recipe import latents_of, row_blocks
from components.section import Section

_FEWEST_CODES = 16
_BATCH = 256
_RATE, _CLIP_NORM = 1e-3, 10.0
_LOOK_EVERY, _PATIENCE = 50, 10  # steps; looks without a better one
_MOST_HELD_OUT = 4096
_MOST_WORK = 2**32  # weights times steps: minutes of a core, within what a launcher waits for a sign of life
_LARGEST_LOG_SCALE = 2.0
_LEAST_DEVIATION = 1e-3


class FlowConfig(Section):
    """How closely the flow follows the codes."""

    couplings: int = Field(default=6, ge=2, le=64)
    """Times that half of a code's numbers are moved and scaled by what the other half says, in turn."""
    width: int = Field(default=128, ge=1, le=4096)
    """Channels of the two hidden layers of the network that says so in each."""
    steps: int = Field(default=1500, ge=1, le=100_000)
    """Steps of 256 codes at most; fewer are taken where a tenth of the codes, held out, get less likely."""

    def check(self, latent: int, codes: int | None = None) -> None:
        """Raise ValueError unless the flow can be fitted in minutes to `codes`, if known, of `latent` numbers."""
        if latent < 2:
            raise ValueError(
                f"recipe.flow for codes of {latent} number, expected at least 2, one of which tells the other"
            )
        if (weights := self._weights(latent)) * self.steps > _MOST_WORK:
            raise ValueError(
                f"recipe.flow.steps {self.steps:,} for codes of {latent:,} numbers, expected at most "
                f"{_MOST_WORK // weights:,}, because {self.couplings} couplings of width {self.width} have {weights:,} "
                "weights: have fewer steps, fewer couplings or less width"
            )
        if codes is not None and codes < _FEWEST_CODES:
            raise ValueError(f"recipe.flow for {codes} training images, expected at least {_FEWEST_CODES}")

    def _weights(self, latent: int) -> int:
        """Return how many numbers the couplings multiply by."""
        told = latent // 2
        return self.couplings * self.width * (told + self.width + 2 * (latent - told))


class Coupling(Module):
    """Moves and scales one part of a code by what the other part says; section 3.2 of Dinh et al. 2017.

    Changes nothing at first.
    """

    order: Tensor

    def __init__(self, latent: int, width: int) -> None:
        """Draw the initial weights from torch's global stream."""
        super().__init__()
        self.told = latent // 2
        self.register_buffer("order", torch.arange(latent).roll(-self.told))  # the first half then tells the second
        last = nn.Linear(width, 2 * (latent - self.told))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(self.told, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)

    def forward(
        self, code: Float[Tensor, "codes latent"]
    ) -> tuple[Float[Tensor, "codes latent"], Float[Tensor, " codes"]]:
        """Return the changed code, in its new order, and the logarithm of what volumes are multiplied by."""
        telling, told = self._halves(code[:, self.order])
        log_scale, shift = self._says(telling)
        return torch.cat([telling, told * log_scale.exp() + shift], 1), log_scale.sum(1)

    def inverse(self, code: Float[Tensor, "codes latent"]) -> Float[Tensor, "codes latent"]:
        """Return the code that is changed to this one."""
        telling, told = self._halves(code)
        log_scale, shift = self._says(telling)
        return torch.cat([telling, (told - shift) * (-log_scale).exp()], 1)[:, self.order.argsort()]

    def _halves(
        self, code: Float[Tensor, "codes latent"]
    ) -> tuple[Float[Tensor, "codes telling"], Float[Tensor, "codes told"]]:
        return code[:, : self.told], code[:, self.told :]

    def _says(
        self, telling: Float[Tensor, "codes telling"]
    ) -> tuple[Float[Tensor, "codes told"], Float[Tensor, "codes told"]]:
        """Return logarithms of scales, within bounds, and shifts."""
        log_scale, shift = self.network(telling).chunk(2, dim=1)
        return _LARGEST_LOG_SCALE * torch.tanh(log_scale / _LARGEST_LOG_SCALE), shift


class CodeFlow(Module):
    """From codes to standard normal noise, and back: standardised, then coupled. All of it travels with the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FlowConfig, latent: int) -> None:
        """Draw the initial weights from torch's global stream."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("deviation", torch.ones(latent))
        self.couplings = nn.ModuleList(Coupling(latent, config.width) for _ in range(config.couplings))
        self.requires_grad_(requires_grad=False)

    def forward(
        self, code: Float[Tensor, "codes latent"]
    ) -> tuple[Float[Tensor, "codes latent"], Float[Tensor, " codes"]]:
        """Return the noise that codes are made of, and the logarithm of the determinant of its Jacobian."""
        noise = (code - self.mean) / self.deviation
        log_determinant = -self.deviation.log().sum().expand(len(code))
        for coupling in self.couplings:
            noise, added = coupling(noise)
            log_determinant = log_determinant + added
        return noise, log_determinant

    def log_density(self, code: Float[Tensor, "codes latent"]) -> Float[Tensor, " codes"]:
        """Return the logarithm of the density of codes, in nats, by the change of variables."""
        noise, log_determinant = self.forward(code)
        return log_determinant - 0.5 * (noise.square() + math.log(2 * math.pi)).sum(1)

    def inverse(self, noise: Float[Tensor, "codes latent"]) -> Float[Tensor, "codes latent"]:
        """Return the codes that noise becomes."""
        for coupling in reversed(self.couplings):
            noise = coupling.inverse(noise)  # type: ignore[operator] # torch's ModuleList holds modules of any kind
        return noise * self.deviation + self.mean

    def draw(self, samples: int, seed: int, first: int = 0) -> Float[Tensor, "samples latent"]:
        """Return the codes numbered `first` and on, on the CPU; one stream each, so that more samples extend fewer.

        Reckoned in double precision, so that what is left after rounding does not depend on what is drawn beside it.

        Raises:
            ValueError: No samples are asked for.
        """
        noise = latents_of(samples, len(self.mean), seed, first).double()
        exact = copy.deepcopy(self).to("cpu", torch.float64)
        return torch.cat([exact.inverse(noise[rows]) for rows in row_blocks(samples)]).float()


def fit_flow(codes: Float[np.ndarray, "codes latent"], config: FlowConfig, seed: int) -> CodeFlow:
    """Return the flow under which `codes` are likeliest, as far as a tenth of them, held out, tells.

    In float32 on the CPU, by Adam at a rate that falls to 0 as a cosine; the same for the same codes and seed.

    Raises:
        ValueError: There are too few codes, or numbers among them that are not finite.
    """
    config.check(codes.shape[1], len(codes))
    if not np.isfinite(codes).all():
        raise ValueError(
            "recipe.flow: codes of training images are not finite, expected a training that has not diverged"
        )
    rng = seeding.numpy_generator(seed, "flow")
    shuffled = torch.from_numpy(codes[rng.permutation(len(codes))]).float()
    count = min(_MOST_HELD_OUT, len(codes) // 10 or 1)
    held_out, training = shuffled[:count], shuffled[count:]
    with seeding.initialising(seed, "flow"):
        flow = CodeFlow(config, codes.shape[1])
    flow.mean.copy_(training.mean(0))
    flow.deviation.copy_(training.std(0).clamp_min(_LEAST_DEVIATION))
    for coupling in flow.couplings:
        assert isinstance(coupling, Coupling)
        coupling.order.copy_(torch.from_numpy(_in_turn(codes.shape[1], rng)))
    _fit(flow, training, held_out, config.steps, rng)
    return flow.requires_grad_(requires_grad=False)


def _fit(
    flow: CodeFlow,
    training: Float[Tensor, "codes latent"],
    held_out: Float[Tensor, "others latent"],
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Take steps until held-out codes have got no likelier for a while; leave the weights they were likeliest by."""
    best, kept, worse = -math.inf, flow.state_dict(), 0
    for number, _ in enumerate(_descend(flow, training, steps, rng)):
        if number % _LOOK_EVERY and number < steps:
            continue
        with torch.no_grad():
            likelihood = flow.log_density(held_out).mean().item()
        if likelihood > best:
            best, kept, worse = likelihood, copy.deepcopy(flow.state_dict()), 0
        elif (worse := worse + 1) == _PATIENCE:
            break
    flow.load_state_dict(kept)


def _descend(
    flow: CodeFlow, codes: Float[Tensor, "codes latent"], steps: int, rng: np.random.Generator
) -> Iterator[None]:
    """Yield before the first step, and after each."""
    weights = list(flow.requires_grad_().parameters())
    optimizer = torch.optim.Adam(weights, lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    yield
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(len(codes), size=min(_BATCH, len(codes))))
        optimizer.zero_grad()
        (-flow.log_density(codes[rows]).mean()).backward()
        nn.utils.clip_grad_norm_(weights, _CLIP_NORM)
        optimizer.step()
        schedule.step()
        yield


def _in_turn(latent: int, rng: np.random.Generator) -> Int64[np.ndarray, " latent"]:
    """Return the order in which those tell that were told before, but for half of them: these are drawn anew.

    So two numbers take turns without fail, and of many each is told by others each time.
    """
    half = latent // 2
    order = np.roll(np.arange(latent), -half)
    leave, join = rng.permutation(half)[: half // 2], half + rng.permutation(latent - half)[: half // 2]
    order[leave], order[join] = order[join], order[leave]
    return order
