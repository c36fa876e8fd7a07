"""Inception v3 as a feature network: torch-fidelity's own layers and weights, arranged to run faster."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity import FeatureExtractorInceptionV3

from components.models.features import FeatureNetwork

_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2")
_MIXED = tuple(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))
_LAYERS = (*_STEM, *_MIXED, "AvgPool")
"""torch-fidelity's names of its layers, in order."""


class InceptionV3(FeatureNetwork):
    """Pooled features (2048) and logits without bias (1008), computed in float32; torch-fidelity's to 5e-5.

    Each convolution is joined with the batch norm behind it, channels lie last in memory, and images are resized by
    two matrix products instead of four gathers.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        published = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
        _fold_batch_norms(published)
        self.layers = nn.Sequential(*(getattr(published, name) for name in _LAYERS))
        self.side = published.INPUT_IMAGE_SIZE
        self.classes = nn.Linear(2048, 1008, bias=False)
        self.classes.weight = published.fc.weight
        self._settle()

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
        """Return features and logits in float32."""
        rows, columns = (tf1_bilinear(side, self.side).to(images.device) for side in images.shape[2:])
        resized = rows @ (images.float() @ columns.T)
        normal = ((resized - 128.0) / 128.0).contiguous(memory_format=torch.channels_last)
        features = self.layers(normal).flatten(1)
        return features, self.classes(features)


def tf1_bilinear(side: int, new_side: int) -> Float[Tensor, "{new_side} {side}"]:
    """Return the matrix that resizes one axis as TensorFlow 1 did: corners not aligned, no half-pixel offset.

    After resize_bilinear_op.cc of TensorFlow 1: position n of the result is n · side / new_side in the source.
    """
    place = torch.arange(new_side, dtype=torch.float32) * torch.tensor(side / new_side, dtype=torch.float32)
    low = place.long()
    part = (place - low)[:, None]
    axis = torch.eye(side)
    return axis[low] * (1 - part) + axis[(low + 1).clamp_max(side - 1)] * part


def _fold_batch_norms(network: nn.Module) -> None:
    for owner in network.modules():
        convolution, norm = getattr(owner, "conv", None), getattr(owner, "bn", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            owner.conv, owner.bn = fuse_conv_bn_eval(convolution, norm), nn.Identity()
