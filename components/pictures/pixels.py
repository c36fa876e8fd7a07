"""Pixels: from the 8-bit pictures of files to the numbers that networks take, and back."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from components.deferred.torch import Tensor, torch

Pictures = UInt8[np.ndarray, "images height width 3"]


def to_tensor(pictures: Pictures, device: torch.device | None = None) -> Float[Tensor, "images 3 height width"]:
    """Return uint8 pictures as floats in [-1, 1], in channels-last memory."""
    if not (pictures.flags.writeable and pictures.flags.c_contiguous):
        pictures = np.array(pictures, order="C")  # torch warns of read-only arrays such as a decoded dataset's
    return scaled(torch.from_numpy(pictures).to(device))


def scaled(pictures: UInt8[Tensor, "images height width 3"]) -> Float[Tensor, "images 3 height width"]:
    """Return uint8 pictures that are on their device already as floats in [-1, 1], in channels-last memory."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_pixels(images: Float[Tensor, "images 3 height width"]) -> Pictures:
    """Return floats in [-1, 1] as uint8 pictures, rounded and clipped."""
    scaled = images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    pictures: Pictures = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures
