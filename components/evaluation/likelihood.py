"""Likelihood: how many nats and bits a model with codes needs to name held-out pictures, and how it uses its codes."""

import math

import numpy as np
from jaxtyping import Float

from components.evaluation.intervals import bootstrap_means
from components.evaluation.protocol import Protocol, Score
from components.recipes.recipe import Bound

_VERSION = "kintsugi likelihood 1"
_ACTIVE_VARIANCE = 0.01
_NORMAL_975 = 1.959964
_WORDS = {
    "negative_elbo_nats": "mean over pictures of the negative evidence lower bound (nats per picture)",
    "bits_per_dim": "the negative evidence lower bound per colour value (bits)",
    "kl_nats": "mean over pictures of the divergence of the code from its prior (nats per picture)",
    "active_units": "latent numbers whose posterior mean varies by more than 0.01 over pictures (Burda et al. 2016)",
}
_CODES: dict[str, float | int | str] = {"prior": "standard normal", "draws_per_code": 1}


def likelihood_scores(bound: Bound, dimensions: int, reference_digest: str, seed: int = 0) -> tuple[Score, ...]:
    """Return `negative_elbo_nats`, `bits_per_dim`, `kl_nats` and `active_units` of held-out pictures.

    The bound is on the probability of 8-bit pictures, so bits per dimension compare with published ones. Of its two
    parts the divergence is lower where codes say less, which is better only at equal distortion; active units are
    better where more numbers of a code are in use.

    Args:
        bound: Of each picture.
        dimensions: Colour values in one picture: height x width x 3.
        reference_digest: What determined the pictures.
        seed: Of the resampling behind the intervals.

    Raises:
        ValueError: There are no pictures.
    """
    if len(bound.rate) == 0:
        raise ValueError("there are no pictures to score")
    nats = bound.distortion + bound.rate
    columns = {"negative_elbo_nats": nats, "bits_per_dim": nats / (dimensions * math.log(2)), "kl_nats": bound.rate}
    table = np.stack(list(columns.values()), axis=1)
    value, (low, high) = table.mean(axis=0), bootstrap_means(table, seed)
    shared = Protocol(metric="", implementation=_VERSION, reference=reference_digest, samples=len(nats), seed=seed)
    settings = _CODES | bound.observation | {"dimensions": dimensions}
    means = [
        Score(
            name=name,
            value=float(value[i]),
            low=float(low[i]),
            high=float(high[i]),
            better="lower",
            protocol=shared.model_copy(update={"metric": _WORDS[name], "settings": settings}),
            per_image=tuple(float(f"{number:.9g}") for number in column),
        )
        for i, (name, column) in enumerate(columns.items())
    ]
    active, least, most = active_units(bound.means)
    used = Score(
        name="active_units",
        value=active,
        low=least,
        high=most,
        better="higher",
        protocol=shared.model_copy(update={"metric": _WORDS["active_units"]}),
    )
    return (*means, used)


def active_units(means: Float[np.ndarray, "images latent"]) -> tuple[int, int, int]:
    """Return how many latent numbers say something about pictures, then at least and at most how many.

    Those whose posterior mean has a variance over pictures above 0.01: Burda et al. 2016,
    https://arxiv.org/abs/1509.00519. The ends count those whose variance is above it by 1.96 standard errors, and those
    not that far below it; the variance of a sample variance is (fourth central moment - variance²) / images. Each
    number is judged alone, so the interval is wide where many are near the line.
    """
    centred = np.square(means.astype(np.float64) - means.mean(axis=0, dtype=np.float64))
    variance = centred.mean(axis=0)
    error = np.sqrt(np.maximum(np.square(centred).mean(axis=0) - variance**2, 0) / len(means))
    shifts = (0.0, -_NORMAL_975, _NORMAL_975)
    value, low, high = (int((variance + shift * error > _ACTIVE_VARIANCE).sum()) for shift in shifts)
    return value, low, high
