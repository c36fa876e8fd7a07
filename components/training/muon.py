"""Muon for the weights of large convolutions, and AdamW for all else, behind the face of one optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST_OUTPUTS, LEAST_INPUTS = 13, 8
"""Channels from which a convolution counts as large. Less, as of first and last layers, is no matrix to speak of."""


def is_large(parameter: nn.Parameter) -> bool:
    """Return whether Muon moves a parameter: the weights of a convolution of many channels."""
    return parameter.dim() == 4 and parameter.shape[0] >= LEAST_OUTPUTS and parameter.shape[1] >= LEAST_INPUTS


class MuonAdamW(torch.optim.Optimizer):
    """Moves large convolutions by torch's Muon, the weights of each as a matrix, and all else by its AdamW.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/: a row of the matrix for each output. Steps are made
    as large as AdamW's (Liu et al. 2025, https://arxiv.org/abs/2502.16982), so one rate is for both. What is remembered
    is kept under the parameters themselves and in their shapes, as any optimizer's is.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        rate: float,
        momentum: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        """Tell the parameters apart.

        Args:
            parameters: All that is trained.
            rate: Learning rate of both.
            momentum: Muon's, as Nesterov's.
            betas: AdamW's decay rates.
            weight_decay: Decoupled, of both, as a fraction of the rate.

        Raises:
            ValueError: No parameter is for Muon.
        """
        trained = list(parameters)
        large = [one for one in trained if is_large(one)]
        if not large:
            raise ValueError(
                f"found no convolution from {LEAST_INPUTS} or more to {LEAST_OUTPUTS} or more channels among the "
                "trained weights, which is what muon is for: take adam, or widen the network"
            )
        rest = [one for one in trained if not is_large(one)]
        self._momentum, self._betas, self._weight_decay = momentum, betas, weight_decay
        # Fused, for AdamW's count of steps is restored to where a group says that its kernels read it.
        groups: list[dict[str, Any]] = [{"params": large}, {"params": rest, "fused": True}]
        super().__init__(groups, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # noqa: ARG002 - every optimizer's signature
        """Move all parameters that have gradients."""
        large, rest = self.param_groups
        self._move_large(large["params"], large["lr"])
        if rest["params"]:
            adamw = torch.optim.AdamW(
                rest["params"], lr=rest["lr"], betas=self._betas, weight_decay=self._weight_decay, fused=True
            )
            adamw.state = self.state
            adamw.step()

    def _move_large(self, parameters: list[nn.Parameter], rate: float) -> None:
        matrices = []  # Muon takes nothing else; they share the memory of weights, gradients and momentum
        remembered: dict[Tensor, dict[str, Any]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            matrix = _matrix(parameter.detach(), parameter)
            matrix.grad = _matrix(parameter.grad, parameter)
            matrices.append(matrix)
            remembered[matrix] = {name: _matrix(value, parameter) for name, value in state.items()}
        if matrices:
            muon = torch.optim.Muon(
                matrices,
                lr=rate,
                momentum=self._momentum,
                weight_decay=self._weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
            muon.state.update(remembered)
            muon.step()


def _matrix(
    values: Float[Tensor, "outputs inputs height width"], parameter: nn.Parameter
) -> Float[Tensor, "outputs inputs*height*width"]:
    """Return the values as a matrix in the same memory; in which order its columns are is all one to Muon."""
    rows = values if parameter.is_contiguous() else values.permute(0, 2, 3, 1)  # else channels lie last
    return rows.view(len(rows), -1)
