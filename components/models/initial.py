"""Initial weights: how large they are drawn."""

import math

from torch import nn

_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def initialise(module: nn.Module, slope: float = 0.0) -> None:
    """Draw every convolution and linear weight in `module` so that variance is kept from layer to layer; biases 0.

    Normal with deviation sqrt(2 / ((1 + slope²) fan-in)) after He et al. 2015, section 2.2,
    https://arxiv.org/abs/1502.01852. The fan-in of a transposed convolution counts the inputs that reach one output,
    kernel area / stride² of each input channel. Drawn from torch's global stream, as torch's own layers are: build
    networks inside `seeding.initialising`.

    Args:
        module: Changed in place.
        slope: Slope for negative inputs of the activation that follows; 0 is ReLU, 1 is none.
    """
    gain = math.sqrt(2 / (1 + slope**2))
    for layer in module.modules():
        if isinstance(layer, _WEIGHTED):
            nn.init.normal_(layer.weight, std=gain / math.sqrt(_fan_in(layer)))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    if isinstance(layer, nn.Linear):
        return layer.in_features
    reached = layer.in_channels / layer.groups * math.prod(layer.kernel_size)
    return reached / math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else reached
