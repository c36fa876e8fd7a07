"""What IOPaint does with large photos, with our network: original, crop and resize, written anew.

`original` gives the network the whole photo; `resize` a copy of at most 2048 px, whose fill is enlarged; `crop` the box
of each hole with a margin of 196 px, at full size (the values of its web page).
"""

import cv2
import numpy as np

from components.recipes.recipe import Restorer

_MARGIN_PX = 196
_LIMIT_PX = 2048


def original(restorer: Restorer, image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the fill of the whole photo at once."""
    below, right = (-length % restorer.stride for length in missing.shape)
    frame = ((0, below), (0, right))
    whole, holes = np.pad(image, (*frame, (0, 0)), mode="symmetric"), np.pad(missing, frame, mode="symmetric")
    return restorer.restore(whole[None], holes[None])[0][: missing.shape[0], : missing.shape[1]]


def crop(restorer: Restorer, image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the photo with the box of each hole, and a margin around it, given to the network one by one."""
    result = image.copy()
    count, _, boxes, _ = cv2.connectedComponentsWithStats(missing.astype(np.uint8))
    for left, top, width, height, _ in boxes[1:count].tolist():
        rows = slice(max(0, top - _MARGIN_PX), top + height + _MARGIN_PX)
        columns = slice(max(0, left - _MARGIN_PX), left + width + _MARGIN_PX)
        result[rows, columns] = original(restorer, image[rows, columns], missing[rows, columns])
    return result


def resize(restorer: Restorer, image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the photo with the fill of a smaller copy of it, enlarged."""
    share = min(1.0, _LIMIT_PX / max(missing.shape))
    size = round(missing.shape[1] * share), round(missing.shape[0] * share)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    holes = cv2.resize(missing.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    fill = cv2.resize(original(restorer, small, holes), missing.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(missing[..., None], fill, image)
