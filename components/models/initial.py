"""Initial weights: how large they are drawn."""

from __future__ import annotations

import math

from components.deferred.torch import nn

LEAKY_SLOPE = 0.2
"""Slope of every LeakyReLU here, that of DCGAN."""

RELU_GAIN = math.sqrt(2)
LEAKY_GAIN = math.sqrt(2 / (1 + LEAKY_SLOPE**2))
LINEAR_GAIN = 1.0
SILU_GAIN = 1.677
"""SiLU makes 0.3557 of a standard normal's second moment (measured, 4 million draws)."""
GATED_GAIN = math.sqrt(5)
"""Where a and g are normal with variance 5, ELU(a) · sigmoid(g) has second moment 1.00 (measured, 4 million draws)."""


def initialise(module: nn.Module, gain: float = RELU_GAIN) -> None:
    """Draw every convolution and linear weight in `module` so that variance is kept from layer to layer; biases 0.

    Normal with deviation gain / sqrt(fan-in) after He et al. 2015, section 2.2,
    https://arxiv.org/abs/1502.01852. The fan-in of a transposed convolution counts the inputs that reach one output,
    kernel area / stride² of each input channel. Drawn from torch's global stream, as torch's own layers are: build
    networks inside `seeding.initialising`.

    Args:
        module: Changed in place.
        gain: Root of 1 / the second moment that the next activation makes of a standard normal; see the constants.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=gain / math.sqrt(_fan_in(layer)))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    if isinstance(layer, nn.Linear):
        return layer.in_features
    reached = layer.in_channels / layer.groups * math.prod(layer.kernel_size)
    return reached / math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else reached
