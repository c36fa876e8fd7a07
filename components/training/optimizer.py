"""Optimizers and learning-rate schedules, as functions of images seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from jaxtyping import Bool, Shaped
from pydantic import Field

from components.deferred.torch import Tensor, nn, torch
from components.ramp import half_cosine, straight
from components.section import Section

_Decay = Annotated[float, Field(ge=0, lt=1)]


class ScheduleConfig(Section):
    """Learning rate as a fraction of its full value: linear warm-up, then decay."""

    warmup_images: int = Field(default=0, ge=0)
    """Images over which the rate rises linearly from 0."""
    final_fraction: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the full rate that is left after decay; 1 keeps it constant."""
    shape: Literal["cosine", "linear"] = "cosine"
    """Way of the decay."""
    decay_images: int | None = Field(default=None, ge=1)
    """Images over which the rate decays, after which it stays; None: all of the training."""

    def factor(self, images: int, total_images: int) -> float:
        """Return the factor on the learning rate after `images` of `total_images`."""
        warm = min(1.0, (images + 1) / self.warmup_images) if self.warmup_images else 1.0
        return warm * self.interpolate(1.0, self.final_fraction, images, total_images)

    def interpolate(self, start: float, end: float, images: int, total_images: int) -> float:
        """Return a value that moves from `start` to `end` as the rate decays."""
        return _SHAPES[self.shape](start, end, images / (self.decay_images or total_images))


_SHAPES = {"cosine": half_cosine, "linear": straight}


class AdamConfig(Section):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980); AdamW when `weight_decay` is above 0."""

    kind: Literal["adam"] = "adam"
    rate: float = Field(default=2e-4, gt=0)
    """Full learning rate."""
    betas: tuple[_Decay, _Decay] = (0.5, 0.999)
    """Decay rates of the first and second moment."""
    final_beta2: _Decay | None = None
    """Decay rate of the second moment that is reached as the learning rate decays; None keeps it. R3GAN goes from 0.9
    to 0.99."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the size of the gradient that steps are divided by; gradients much below it make smaller steps."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay per step, as a fraction of the rate."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the rate changes over the run."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer; fused kernels, one launch for all parameters."""
        return torch.optim.AdamW(
            parameters, lr=self.rate, betas=self.betas, eps=self.epsilon, weight_decay=self.weight_decay, fused=True
        )

    def settings(self, images: int, total_images: int) -> dict[str, Any]:
        """Return what the schedule asks of the optimizer after `images` of `total_images`."""
        rate = self.rate * self.schedule.factor(images, total_images)
        return {"lr": rate, **dict(self.constants(images, total_images))}

    def constants(self, images: int, total_images: int) -> tuple[tuple[str, Any], ...]:
        """Return what of that is no learning rate, by name."""
        if self.final_beta2 is None:
            return ()
        first, second = self.betas
        return (("betas", (first, self.schedule.interpolate(second, self.final_beta2, images, total_images))),)


class RmspropConfig(Section):
    """RMSprop (Hinton 2012, lecture 6e of Neural Networks for Machine Learning)."""

    kind: Literal["rmsprop"] = "rmsprop"
    rate: float = Field(default=5e-5, gt=0)
    """Full learning rate."""
    smoothing: float = Field(default=0.99, ge=0, lt=1)
    """Decay rate of the mean of squared gradients."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the rate changes over the run."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer; one fused loop over all parameters."""
        return torch.optim.RMSprop(parameters, lr=self.rate, alpha=self.smoothing, foreach=True)

    def settings(self, images: int, total_images: int) -> dict[str, Any]:
        """Return what the schedule asks of the optimizer after `images` of `total_images`."""
        return {"lr": self.rate * self.schedule.factor(images, total_images)}

    def constants(self, images: int, total_images: int) -> tuple[tuple[str, Any], ...]:  # noqa: ARG002 - as Adam's
        """Return what of that is no learning rate: nothing."""
        return ()


class MuonConfig(Section):
    """Muon for convolutions of many channels, whose steps it makes orthogonal, and AdamW for all other weights.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. Above its best rate a network may stop correcting
    anything, without an error: the guard looks for that.
    """

    kind: Literal["muon"] = "muon"
    rate: float = Field(default=2e-3, gt=0)
    """Full learning rate, of both: Muon's steps are made as large as AdamW's."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Decay rate of Muon's mean of gradients."""
    betas: tuple[_Decay, _Decay] = (0.9, 0.99)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay per step, as a fraction of the rate."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the rate changes over the run."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer.

        Raises:
            ValueError: There is no convolution of many channels.
        """
        from components.training.muon import MuonAdamW  # imports torch

        return MuonAdamW(
            parameters, rate=self.rate, momentum=self.momentum, betas=self.betas, weight_decay=self.weight_decay
        )

    def settings(self, images: int, total_images: int) -> dict[str, Any]:
        """Return what the schedule asks of the optimizer after `images` of `total_images`."""
        return {"lr": self.rate * self.schedule.factor(images, total_images)}

    def constants(self, images: int, total_images: int) -> tuple[tuple[str, Any], ...]:  # noqa: ARG002 - as Adam's
        """Return what of that is no learning rate: nothing."""
        return ()


OptimizerConfig = Annotated[AdamConfig | RmspropConfig | MuonConfig, Field(discriminator="kind")]


def set_rate(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, images: int, total_images: int, factor: float = 1.0
) -> float:
    """Set all that is scheduled for the step that begins after `images` images; return the learning rate.

    The rate is `factor` times the planned one.
    """
    settings = config.settings(images, total_images)
    rate: float = settings.pop("lr") * factor
    for group in optimizer.param_groups:
        group.update(settings)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rate


def step_where(taken: Bool[Tensor, ""], optimizer: torch.optim.Optimizer) -> None:
    """Take the optimizer's step if `taken`, without asking the device: if not, weights and moments stay as they are."""
    if optimizer.defaults.get("fused"):
        # What GradScaler uses: the kernels themselves leave a step out whose gradient is said to be infinite.
        optimizer.grad_scale, optimizer.found_inf = None, (~taken).float()  # type: ignore[attr-defined]
        optimizer.step()
        return
    before = {id(tensor): tensor.clone() for tensor in _tensors_of(optimizer, taken.device)}
    optimizer.step()
    with torch.no_grad():
        for tensor in _tensors_of(optimizer, taken.device):
            old = before.get(id(tensor), torch.zeros_like(tensor))  # moments begin with 0
            tensor.copy_(torch.where(taken, tensor, old))


def _tensors_of(optimizer: torch.optim.Optimizer, device: torch.device) -> list[Shaped[Tensor, "..."]]:
    """Return the weights that an optimizer moves, and what it remembers of them on their device."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    remembered = [value for parameter in parameters for value in optimizer.state.get(parameter, {}).values()]
    return [*parameters, *(value for value in remembered if value.device == device)]
