"""TrainingState: all that a run must remember to go on as if it had never stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from components.training.ema import Ema, EmaConfig
from components.training.guard import Guard
from components.training.phase import Phase, focus


@dataclass
class TrainingState:
    """Networks, optimizers, averages and two counters. Random streams are derived from `images`, so none is kept."""

    networks: nn.ModuleDict
    optimizers: dict[str, optim.Optimizer]
    averages: dict[str, Ema]
    guard: Guard
    images: int = 0

    @classmethod
    def start(
        cls, networks: nn.ModuleDict, phases: Sequence[Phase], averaged: Sequence[str], ema: EmaConfig, guard: Guard
    ) -> "TrainingState":
        """Return the state before the first image."""
        optimizers = {}
        for phase in phases:
            focus(phase)
            optimizers[phase.name] = phase.optimizer.build(phase.trains.parameters())
        averages = {name: Ema(networks[name], ema) for name in averaged}
        return cls(networks, optimizers, averages, guard)

    def tensors(self) -> dict[str, Tensor]:
        """Return a copy of every tensor on the CPU, under flat names; safe to write while training goes on."""
        named = {f"network/{name}": tensor for name, tensor in self.networks.state_dict().items()}
        for name, average in self.averages.items():
            named |= {f"average/{name}/{key}": tensor for key, tensor in average.network.state_dict().items()}
        for phase, optimizer in self.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                named |= {f"optimizer/{phase}/{index}/{key}": value for key, value in values.items()}
        return {name: _cpu_copy(tensor) for name, tensor in named.items()}

    def restore(self, tensors: Mapping[str, Tensor], images: int, skipped: int) -> None:
        """Take over what `tensors` returned.

        Raises:
            ValueError: The names or shapes are not those of these networks; the message names one that differs.
        """
        self._check(tensors)
        self.networks.load_state_dict(_under(tensors, "network/"))
        for name, average in self.averages.items():
            average.network.load_state_dict(_under(tensors, f"average/{name}/"))
        for phase, optimizer in self.optimizers.items():
            _restore_optimizer(optimizer, _under(tensors, f"optimizer/{phase}/"))
        self.images = images
        self.guard.skipped = skipped

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        """Compare the networks' names and shapes. Optimizers have none before their first step, so they come along."""
        expected = {f"network/{name}": tensor.shape for name, tensor in self.networks.state_dict().items()}
        for name, average in self.averages.items():
            expected |= {f"average/{name}/{key}": tensor.shape for key, tensor in average.network.state_dict().items()}
        found = {name: tensor.shape for name, tensor in tensors.items() if not name.startswith("optimizer/")}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise ValueError(
                    f"{name}: found {_described(found.get(name))}, expected {_described(expected.get(name))}; "
                    "it was written for other networks"
                )


def _described(shape: torch.Size | None) -> str:
    return "nothing" if shape is None else f"shape {tuple(shape)}"


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cpu_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _restore_optimizer(optimizer: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape and tensor.dim():
            # Fused kernels walk raw memory: moments must have the parameter's own strides (channels_last).
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
