"""Likeness: how far a picture is from others where it may have been mirrored, shifted, recoloured or encoded anew.

Pictures are compared as they are, by no network: what lies near has nearly the pixels of the other one.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

SIDE_PX = 32
"""Side at which pictures are compared; larger ones are shrunk to it by averaging."""
_REACH = 8
"""The side over the farthest shift that is looked for."""
_STRIDE = 2
_SIGMA_PX = 1.0
_FAINT = 0.01
"""Least contrast of a channel (deviation, of the range 0 to 1) that is scaled up to that of others."""
_PAIRS_AT_ONCE = 64
_AREAS = 6

Sketches = UInt8[Tensor, "images 3 height width"]


def sketches(pictures: UInt8[Tensor, "images height width 3"]) -> Sketches:
    """Return pictures, channels first, at the size at which they are compared."""
    planes = pictures.permute(0, 3, 1, 2)
    if planes.shape[2] <= SIDE_PX:
        return planes.contiguous()
    if not len(planes):
        return planes.new_empty(0, 3, SIDE_PX, SIDE_PX)
    shrunk: Tensor = functional.adaptive_avg_pool2d(planes.float(), SIDE_PX).round()
    return shrunk.to(torch.uint8)


def thumbnails(pictures: Sketches) -> Float[Tensor, "images numbers"]:
    """Return the colours of 6 × 6 areas of pictures, normalised as in `distances`: near for pictures that are near."""
    areas = functional.adaptive_avg_pool2d(_blurred(pictures), _AREAS)
    return _normalised(areas.flatten(2)[:, None]).flatten(1)


def distances(
    pictures: Sketches, others: UInt8[Tensor, "images others 3 height width"]
) -> Float[Tensor, "images others"]:
    """Return how far each picture is from each of its others: 0 is equal, about 1.4 is unrelated.

    Of the picture the middle is taken, an eighth of the side less at each edge, as it is and mirrored, and laid on all
    places of the other one. Each channel is blurred (1 px), freed of its mean and scaled to its deviation, so that a
    change of colour or contrast is none; the distance is the least root mean square over places and channels.
    """
    pairs = max(1, _PAIRS_AT_ONCE // max(1, others.shape[1]))
    parts = [_distances(pictures[i : i + pairs], others[i : i + pairs]) for i in range(0, len(pictures), pairs)]
    return torch.cat(parts) if parts else torch.empty(0, others.shape[1], device=pictures.device)


def _distances(pictures: Tensor, others: Tensor) -> Tensor:
    images, count = others.shape[:2]
    reach = pictures.shape[2] // _REACH
    middle = pictures.shape[2] - 2 * reach
    windows = _normalised(_windows(_blurred(others.flatten(0, 1)), middle)).view(images, -1, 3, _points(middle))
    lengths = torch.linalg.vector_norm(windows, dim=(2, 3)).square()
    blurred = _blurred(pictures)
    least = torch.full((images, count), math.inf, device=pictures.device)
    for view in (blurred, blurred.flip(3)):
        own = _normalised(_windows(view[:, :, reach : reach + middle, reach : reach + middle], middle))
        products = torch.einsum("iwcp,icp->iw", windows, own[:, 0])
        squares = lengths + own.square().sum(dim=(1, 2, 3))[:, None]
        apart = (squares - 2 * products).clamp_min(0).sqrt()
        least = torch.minimum(least, apart.view(images, count, -1).amin(dim=2))
    return least


def _blurred(planes: Tensor) -> Tensor:
    """Return planes in the range 0 to 1, blurred, mirrored at the edges."""
    radius = min(3, planes.shape[2] - 1)
    offsets = torch.arange(-radius, radius + 1, device=planes.device, dtype=torch.float32)
    weights = torch.exp(-offsets.square() / (2 * _SIGMA_PX**2))
    kernel = (weights / weights.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(planes.float() / 255, (radius,) * 4, mode="reflect")
    across = functional.conv2d(padded, kernel, groups=3)
    return functional.conv2d(across, kernel.transpose(2, 3), groups=3)


def _points(middle: int) -> int:
    return int((-(-middle // _STRIDE)) ** 2)


def _windows(planes: Tensor, middle: int) -> Tensor:
    """Return all squares of side `middle`, every second pixel of each: (images, places, 3, points)."""
    squares = planes.unfold(2, middle, 1).unfold(3, middle, 1)[..., ::_STRIDE, ::_STRIDE]
    return squares.permute(0, 2, 3, 1, 4, 5).flatten(4).flatten(1, 2)


def _normalised(windows: Tensor) -> Tensor:
    """Return each channel without its mean and with a root mean square of 1/√3, or less where it is nearly flat."""
    free = windows - windows.mean(dim=3, keepdim=True)
    contrast = torch.linalg.vector_norm(free, dim=3, keepdim=True) / math.sqrt(windows.shape[3])
    scaled: Tensor = free / (contrast.clamp_min(_FAINT) * math.sqrt(3 * windows.shape[3]))
    return scaled
