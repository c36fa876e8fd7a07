"""TrainingState: all that a run must remember to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped

from components.deferred.torch import Tensor, nn, torch
from components.training.ema import Ema, EmaConfig
from components.training.guard import Guard
from components.training.phase import Phase, freeze_others
from components.training.selection import Best

Tensors = dict[str, Shaped[Tensor, "..."]]
"""By flat names."""


@dataclass
class TrainingState:
    """Networks, optimizers, averages and what was counted. Random streams are derived from `images`: none is kept."""

    networks: nn.ModuleDict
    optimizers: dict[str, torch.optim.Optimizer]
    averages: dict[str, Ema]
    guard: Guard
    images: int = 0
    best: Best | None = None
    """The average with the best validation score; None before the first score, and where there are none."""

    @classmethod
    def start(
        cls, networks: nn.ModuleDict, phases: Sequence[Phase], averaged: Sequence[str], ema: EmaConfig, guard: Guard
    ) -> "TrainingState":
        """Return the state before the first image."""
        optimizers = {}
        for phase in phases:
            freeze_others(phase)
            optimizers[phase.name] = phase.optimizer.build(phase.trained)
        averages = {key: Ema(networks[name], own) for name in averaged for key, own in ema.averages(name)}
        return cls(networks, optimizers, averages, guard)

    def tensors(self) -> Tensors:
        """Return a copy of every tensor on the CPU, under flat names; safe to write while training goes on."""
        named = {f"network/{name}": tensor for name, tensor in self.networks.state_dict().items()}
        for name, average in self.averages.items():
            named |= {f"average/{name}/{key}": tensor for key, tensor in average.network.state_dict().items()}
        for phase, optimizer in self.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                named |= {f"optimizer/{phase}/{index}/{key}": value for key, value in values.items()}
        copies = {name: _cpu_copy(tensor) for name, tensor in named.items()}
        return copies | {f"best/{key}": tensor for key, tensor in (self.best.tensors if self.best else {}).items()}

    def facts(self) -> dict[str, Any]:
        """Return all that is no tensor, as JSON values."""
        best = self.best.facts() if self.best else None
        return {"images": self.images, "guard": self.guard.facts(), "best": best}

    def compare(self, score: float, average: str) -> None:
        """Take an average as the best one if its `score`, of now, is lower than all before."""
        if self.best is None or score < self.best.score:
            tensors = self.averages[average].network.state_dict()
            half_life = self.averages[average].config.half_life_images
            self.best = Best(score, self.images, {name: _cpu_copy(one) for name, one in tensors.items()}, half_life)

    def restore(self, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Take over what `tensors` and `facts` returned.

        Raises:
            ValueError: The names or shapes are not those of these networks; the message names one that differs.
        """
        self._check(tensors)
        self.networks.load_state_dict(under("network/", tensors))
        for name, average in self.averages.items():
            average.network.load_state_dict(under(f"average/{name}/", tensors))
        for phase, optimizer in self.optimizers.items():
            _restore_optimizer(optimizer, under(f"optimizer/{phase}/", tensors))
        self.images = facts["images"]
        self.guard.restore(facts["guard"])
        if facts["best"] is not None:
            self.best = Best(**facts["best"], tensors=dict(under("best/", tensors)))

    def _check(self, tensors: Tensors) -> None:
        """Compare the networks' names and shapes. What may not be there yet, as an optimizer's moments, comes along."""
        expected = {f"network/{name}": tensor.shape for name, tensor in self.networks.state_dict().items()}
        for name, average in self.averages.items():
            expected |= {f"average/{name}/{key}": tensor.shape for key, tensor in average.network.state_dict().items()}
        found = {name: tensor for name, tensor in tensors.items() if name.startswith(("network/", "average/"))}
        demand_shapes(found, expected)


def demand_shapes(found: Tensors, expected: Mapping[str, torch.Size]) -> None:
    """Refuse tensors that are not of the expected names and shapes.

    Raises:
        ValueError: The message names one that differs.
    """
    for name in sorted(expected.keys() | found.keys()):
        shape = found[name].shape if name in found else None
        if expected.get(name) != shape:
            raise ValueError(
                f"{name}: found {_in_words(shape)}, expected {_in_words(expected.get(name))}; "
                "it was written for other networks"
            )


def _in_words(shape: torch.Size | None) -> str:
    return "nothing" if shape is None else f"shape {tuple(shape)}"


def under(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names begin with `prefix`, by what follows it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cpu_copy(tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape and tensor.dim():
            # Fused kernels walk raw memory: moments must have the parameter's own strides (channels_last).
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
