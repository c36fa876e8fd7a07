"""Parts of BigGAN, Brock et al. 2019, https://arxiv.org/abs/1809.11096, that residual GANs can have."""

from __future__ import annotations

from jaxtyping import Float

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.norm import BatchNorm2d

_KEY_SHARE, _VALUE_SHARE = 8, 2


class StyleNorm2d(Module):
    """Batch normalisation scaled and shifted by a linear layer of what each image is told: appendix B.1, figure 15.

    It starts as plain batch normalisation, where BigGAN's starts with orthogonal weights.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels)
        self.style = nn.Linear(features, 2 * channels, bias=False)
        nn.init.zeros_(self.style.weight)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], told: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return `x` normalised, then scaled and shifted."""
        normal: Tensor = self.norm(x)
        learnt: Tensor = self.style(told)
        scale, shift = learnt.to(normal.dtype)[:, :, None, None].chunk(2, dim=1)
        return normal * (1 + scale) + shift


class SelfAttention(Module):
    """Adds to each place what it finds at others: Zhang et al. 2019, section 3, https://arxiv.org/abs/1805.08318.

    As in BigGAN keys and values are taken of the largest in 2 x 2 places, and what is added starts at nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        keys, values = max(1, channels // _KEY_SHARE), max(1, channels // _VALUE_SHARE)
        self.query = nn.Conv2d(channels, keys, 1, bias=False)
        self.key = nn.Conv2d(channels, keys, 1, bias=False)
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.output = nn.Conv2d(values, channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return `x` and what is found; height and width are even."""
        query = self.query(x).flatten(2).mT  # batch places keys
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # batch keys places/4
        value = F.max_pool2d(self.value(x), 2).flatten(2).mT  # batch places/4 values
        found = torch.softmax(query @ key, -1) @ value  # batch places values
        added: Tensor = self.output(found.mT.unflatten(2, x.shape[2:]))
        return x + self.strength * added


def initialise_orthogonally(module: nn.Module) -> None:
    """Draw every convolution and linear weight in `module` orthogonal, biases 0: Saxe et al. 2014.

    https://arxiv.org/abs/1312.6120. Drawn from torch's global stream, as by `initial.initialise`.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
