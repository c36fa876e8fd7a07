"""BatchNorm2d: batch normalisation whose statistics are those of the batch joined over all processes."""

from __future__ import annotations

from jaxtyping import Float

from components.deferred.torch import BatchNorm2d as TorchBatchNorm2d
from components.deferred.torch import Tensor, torch
from components.distributed import all_reduce_sum, processes


class BatchNorm2d(TorchBatchNorm2d):
    """`torch.nn.BatchNorm2d`, except that with several processes it normalises by the joined batch's statistics.

    So N processes compute what one process computes on the joined batch, to float rounding, gradients of gradients
    included. Unlike `torch.nn.SyncBatchNorm` it runs on the CPU too and can be differentiated twice. Every process
    must bring equally many images of equal size. Formula: Ioffe and Szegedy 2015, algorithm 1,
    https://arxiv.org/abs/1502.03167.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.is_alone = False
        """Whether the statistics are those of this process's batch, however many processes there are."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return `x` with mean 0 and variance 1 per channel, scaled and shifted by what was learnt."""
        if not self.training or self.is_alone or processes() == 1:
            return super().forward(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, variance = self._joined_statistics(wide)
        self._follow(mean, variance, elements=processes() * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((wide - _per_channel(mean)) * _per_channel(scale) + _per_channel(self.bias)).to(x.dtype)

    def _joined_statistics(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        # E[x²] - E[x]² cancels; in double precision, on one number per channel, that costs nothing.
        moments = torch.stack([mean.double(), variance.double() + mean.double() ** 2])  # 2 channels
        first, second = all_reduce_sum(moments) / processes()
        return first.to(x.dtype), (second - first**2).clamp_min(0).to(x.dtype)

    def _follow(self, mean: Float[Tensor, " channels"], variance: Float[Tensor, " channels"], elements: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = variance * (elements / max(1, elements - 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += 1


def _per_channel(values: Float[Tensor, " channels"]) -> Float[Tensor, "1 channels 1 1"]:
    return values.view(1, -1, 1, 1)
