"""Phase: one optimizer step of a training iteration. A VAE has one phase, a GAN two."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

from components.deferred.torch import nn
from components.training.optimizer import OptimizerConfig


@dataclass(frozen=True)
class Phase:
    """What one optimizer minimises.

    `objective` is a module whose forward takes a Batch and the number of images seen, and returns a dict of scalars:
    "loss" is minimised over the parameters of `trains`; the other entries are detached and only reported. Every other
    network that the objective holds is frozen meanwhile. Penalties belong inside the same forward, so that each phase
    has exactly one forward and one backward per step, which is what DistributedDataParallel allows.
    """

    name: str
    trains: nn.Module
    objective: nn.Module
    optimizer: OptimizerConfig
    every: int = 1
    """Run on each n-th iteration only, e.g. a generator that steps once per two critic steps."""
    settings: Callable[[int, int], Hashable] = lambda images, batch: ()  # noqa: ARG005 - most take nothing
    """What the objective takes from the number of images as plain numbers, such as the weight of a penalty: of images
    seen, and of a batch. A step that is captured for replay holds for these settings alone."""
    still: Sequence[nn.Module] = ()
    """Parts of `trains` whose parameters stay as they are."""

    @cached_property
    def trained(self) -> list[nn.Parameter]:
        """Parameters of `trains`. Kept, as are the others: walking the modules takes milliseconds of a small step."""
        still = {id(parameter) for part in self.still for parameter in part.parameters()}
        return [parameter for parameter in self.trains.parameters() if id(parameter) not in still]

    @cached_property
    def frozen(self) -> list[nn.Parameter]:
        """Parameters of the objective's other networks, and of what stays as it is."""
        trained = {id(parameter) for parameter in self.trained}
        return [parameter for parameter in self.objective.parameters() if id(parameter) not in trained]


def freeze_others(phase: Phase) -> None:
    """Let only what the phase trains require gradients among all that its objective holds."""
    for parameter in phase.frozen:
        parameter.requires_grad = False
    for parameter in phase.trained:
        parameter.requires_grad = True
