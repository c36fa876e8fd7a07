"""Copies: whether a model makes near-copies of its training images more often than real images are near-copies of them.

A held-out image is what an honest model makes at best: new, and of the same source. So how near held-out images lie to
their nearest training images says what near is, and so do training images, each left out in turn, which are as many
more of the same kind. Pure: distances come from `neighbours.py`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float

from components.evaluation.protocol import MODEL_ROW, Protocol, Score, ScoreTable

COPIES = "near_copies"
LEAKED = "leaked"
SIGNIFICANCE = 0.01
"""Chance at which an honest model is taken for a copier, at most."""
LEFT_OUT = 4_000
"""Training images, at most, that are compared with the others to say what real images are like."""
PLANTED = 0.01
"""Share of copies that is to be seen ..."""
POWER = 0.999
"""... so often."""
EQUAL = 0.05
"""Distance up to which two pictures show the same: slight noise, mirroring, shifts and resizing stay below it."""
_NEAR = (0.2, 0.1, EQUAL)
"""Distances that may count as near. Encoding moves pictures up to 0.2; some sources have real pictures so near."""
_RARE = 0.001
"""Share of training images that may be near another. Where more are within the least distance, it is taken, and made
pictures may be near as often as real ones."""
_VERSION = "kintsugi copies 1"

Distances = Float[np.ndarray, " images"]


@dataclass(frozen=True)
class RealDistances:
    """How far real images are from their nearest training images."""

    held: Distances
    """Held-out images."""
    left_out: Distances
    """Training images from their nearest others."""

    @property
    def both(self) -> Distances:
        """All of them."""
        return np.concatenate([self.held, self.left_out])

    @property
    def near(self) -> float:
        """The distance that counts as near: the farthest of three that hardly any training image has to another.

        The least, where no training images were compared with others.
        """
        if not len(self.left_out):
            return EQUAL
        return next((near for near in _NEAR if (self.left_out < near).sum() <= _RARE * len(self.left_out)), EQUAL)


class Finding(NamedTuple):
    """What the near-copies among a model's pictures say."""

    copies: bool
    """They are more than an honest model makes."""
    tells: bool
    """So many pictures would give away a model with `PLANTED` copies, `POWER` of the time."""
    words: str
    """The counts, and what they mean."""


def copies_score(made: Distances, real: RealDistances, name: str, like: Protocol) -> Score:
    """Return the share of pictures that are nearer to a training image than real images are.

    Args:
        made: Distance of each made picture to its nearest training image.
        real: The same of real images.
        name: What the score is called.
        like: A protocol with the extractor by which candidates were found and the training images as its reference.
    """
    near = real.near
    protocol = like.model_copy(
        update={
            "metric": f"share of pictures within {near:g} of a training image",
            "implementation": _VERSION,
            "samples": len(made),
            "reference_samples": len(real.both),
            "settings": {**like.settings, "near": near, "real_near": int((real.both < near).sum())},
        }
    )
    return _share(int((made < near).sum()), name, protocol)


def leak_score(real: RealDistances, name: str, like: Protocol) -> Score:
    """Return the share of held-out images that are near a training image, as near as only copies are.

    Args:
        real: Distances of real images.
        name: What the score is called.
        like: As of `copies_score`.
    """
    near = real.near
    protocol = like.model_copy(
        update={
            "metric": f"share of held-out images within {near:g} of a training image",
            "implementation": _VERSION,
            "samples": len(real.held),
        }
    )
    return _share(int((real.held < near).sum()), name, protocol)


def copies_in(table: ScoreTable, row: str = MODEL_ROW) -> Score | None:
    """Return a row's share of near-copies, whichever extractor found them; None where none were looked for."""
    return next((score for score in table.rows.get(row, ()) if score.name.startswith(COPIES)), None)


def leaked_in(table: ScoreTable) -> Score | None:
    """Return the share of held-out images that show what a training image shows; None where none were looked for."""
    return next((score for score in table.rows.get(MODEL_ROW, ()) if score.name.startswith(LEAKED)), None)


def judged(score: Score, significance: float) -> Finding:
    """Return whether a share of near-copies is more than an honest model's, and whether it would be seen if it were.

    Fisher's exact test (1922), one-sided: were made pictures like real ones, which of all the pictures together are
    near would be chance, so that the number of made ones among them is hypergeometric.

    Args:
        score: From `copies_score`.
        significance: Chance at which an honest model is refused, at most.
    """
    protocol = score.protocol
    made, near = protocol.samples, round(score.value * protocol.samples)
    real, real_near = protocol.reference_samples or 0, int(protocol.settings["real_near"])
    chance = _chance(near, made, real_near, real)
    words = (
        f"{near:,} of {made:,} pictures are nearer to a training image than {protocol.settings['near']:g}, as are "
        f"{real_near:,} of {real:,} real images"
    )
    if chance < significance:
        words += f"; a model that copies nothing makes so many with a chance of {chance:.2g}, under {significance:g}"
    return Finding(chance < significance, _tells(made, real_near, real, significance), words)


def pictures_needed(real: int, real_near: int = 0, significance: float = SIGNIFICANCE) -> int | None:
    """Return from how many pictures on `PLANTED` copies are seen `POWER` of the time; None if 100,000 do not do.

    Args:
        real: Real images whose distances are known.
        real_near: How many of them are near a training image.
        significance: Chance at which an honest model is refused, at most.
    """
    steps = (round(100 * 1.02**step) for step in range(350))
    return next((made for made in steps if made <= 100_000 and _tells(made, real_near, real, significance)), None)


def _chance(near: int, made: int, real_near: int, real: int) -> float:
    """Return how likely it is that of `near + real_near` pictures, drawn from all, `near` or more are made ones."""
    drawn = near + real_near
    most = min(drawn, made)
    if near <= max(0, drawn - real):
        return 1.0
    counts = np.arange(near, most + 1)
    logs = _log_choose(made, counts) + _log_choose(real, drawn - counts) - _log_choose(made + real, drawn)
    return min(1.0, float(np.exp(logs).sum()))


def _log_choose(among: int, chosen: np.ndarray | int) -> np.ndarray:
    found: np.ndarray = -np.log1p(among) - scipy.special.betaln(among - chosen + 1, np.asarray(chosen) + 1)
    return found


def _tells(made: int, real_near: int, real: int, significance: float) -> bool:
    """Return whether a model whose pictures are copies with chance `PLANTED` is refused `POWER` of the time."""
    if (1 - PLANTED) ** made > 1 - POWER:
        return False  # it often makes none at all
    surely = math.floor(scipy.special.bdtrik(1 - POWER, made, PLANTED)) + 1  # copies, or more, that it makes so often
    return _chance(surely, made, real_near, real) < significance


def _share(near: int, name: str, protocol: Protocol) -> Score:
    """Return a share with its interval by Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953."""
    count, z = protocol.samples, 1.959964
    share = near / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low, high = min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
    return Score(name=name, value=share, low=low, high=high, better="lower", protocol=protocol)
