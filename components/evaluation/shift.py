"""Shift: whether new images look otherwise than those that a model learnt from, by a test that keeps its level.

What is compared is what a feature network sees in both, by the unbiased kernel distance, and simple facts of pixels, by
their ranks. How far apart two sets would be by chance alone is seen by dealing all images out anew, many times: Gretton
et al. 2012, "A kernel two-sample test", https://jmlr.org/papers/v13/gretton12a.html. Whatever the images are like, a
night without a shift is then taken for one no more often than `SIGNIFICANCE` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.stats import rankdata

from components.evaluation.kernel import cubic_kernel
from components.section import Section

SIGNIFICANCE = 0.01
"""Chance, at most, that images like those learnt from are said to have drifted: half as a whole, half by class."""
FEWEST_IMAGES = 50
"""New images below which nothing is said."""
FEWEST_OF_A_CLASS = 20
"""Images of a class, on either side, below which it is not looked at by itself."""

_DEALS = 499
_RANGE = (2.5, 97.5)

Kernel = Float32[np.ndarray, "all all"]
Values = Float64[np.ndarray, " images"]


class Looks(NamedTuple):
    """What is known of some images."""

    features: Float32[np.ndarray, "images features"]
    facts: Mapping[str, Values]
    """Simple facts by name, such as brightness."""
    classes: tuple[str, ...]
    """The name of each image's class; empty where there are none."""


class Measure(Section):
    """One thing by which new images were compared with those learnt from."""

    name: str
    """What: `features`, or a simple fact."""
    new: float
    """Mean over new images; of features, the kernel distance."""
    known: float
    """Mean over images learnt from; of features, 0."""
    usual: tuple[float, float]
    """Where 95 % of `new` lie if all images are dealt out anew, so that there is no difference."""
    chance: float
    """How often, of such deals, anything compared beside it is as far off as this is."""


class Shift(Section):
    """Whether new images look otherwise than those that a model learnt from."""

    verdict: Literal["drifted", "held", "unknown"]
    """drifted: they do, by more than chance explains. unknown: there are too few."""
    reasons: tuple[str, ...]
    """Sentences with the numbers."""
    images: int
    """New images compared."""
    known_images: int
    """Images learnt from that they were compared with."""
    measures: tuple[Measure, ...] = ()
    """Features, then simple facts."""
    classes: tuple[Measure, ...] = ()
    """The kernel distance within each class that has enough images."""

    @property
    def chance(self) -> float | None:
        """The least chance of all measures as a whole; None where nothing was compared."""
        return min((one.chance for one in self.measures), default=None)


@dataclass(frozen=True)
class _Dealt:
    """A statistic as it is, and as it would be."""

    name: str
    means: tuple[float, float]
    found: float
    deals: Float64[np.ndarray, " deals"]
    """Of the statistic."""
    values: Float64[np.ndarray, " deals"]
    """Of what is shown: the mean over those dealt to the new side, or the distance."""


def shift_of(new: Looks, known: Looks, generator: np.random.Generator) -> Shift:
    """Return whether new images look otherwise than known ones.

    Args:
        new: Images that came since.
        known: Images that the model learnt from, or a random part of them.
        generator: Deals the images out.
    """
    images, others = len(new.features), len(known.features)
    if images < FEWEST_IMAGES or others < FEWEST_IMAGES:
        words = f"{images:,} new images and {others:,} learnt from, expected {FEWEST_IMAGES} or more of each"
        return Shift(verdict="unknown", reasons=(words,), images=images, known_images=others)
    kernel = _kernel(np.concatenate([new.features, known.features]))
    deals = _deals(images, images + others, generator)
    dealt = [_of_features(kernel, deals, "features"), *_of_facts(new, known, deals)]
    measures = _judged(dealt)
    classes = _judged(list(_of_classes(new, known, kernel, generator)))
    level = SIGNIFICANCE / 2 if classes else SIGNIFICANCE
    far = [one for one in (*measures, *classes) if one.chance <= level]
    return Shift(
        verdict="drifted" if far else "held",
        reasons=tuple(_in_words(one) for one in far) or (_calm(measures, images),),
        images=images,
        known_images=others,
        measures=measures,
        classes=classes,
    )


def _kernel(features: Float32[np.ndarray, "all features"]) -> Kernel:
    """Return the cubic kernel of all pairs of images; 0 of one with itself, which an unbiased distance leaves out."""
    kernel: Kernel = cubic_kernel(features @ features.T, features.shape[1])
    np.fill_diagonal(kernel, 0)
    return kernel


def _deals(images: int, total: int, generator: np.random.Generator) -> Bool[np.ndarray, "all deals"]:
    """Return who is new: first as it is, then as it is dealt out anew."""
    who = np.zeros((total, _DEALS + 1), np.bool_)
    who[:images, 0] = True
    for deal in range(1, _DEALS + 1):
        who[generator.permutation(total)[:images], deal] = True
    return who


def _of_features(kernel: Kernel, deals: Bool[np.ndarray, "all deals"], name: str) -> _Dealt:
    side = deals.astype(np.float32)
    new, known = int(side[:, 0].sum()), len(side) - int(side[:, 0].sum())
    rows = kernel.sum(axis=0, dtype=np.float64)
    within = np.einsum("id,id->d", side, kernel @ side, dtype=np.float64)
    across = rows @ side - within
    rest = rows.sum() - within - 2 * across
    distances = within / (new * (new - 1)) + rest / (known * (known - 1)) - 2 * across / (new * known)
    return _Dealt(name, (float(distances[0]), 0.0), float(distances[0]), distances[1:], distances[1:])


def _of_facts(new: Looks, known: Looks, deals: Bool[np.ndarray, "all deals"]) -> list[_Dealt]:
    side = deals / deals[:, 0].sum()
    found = []
    for name, values in new.facts.items():
        both = np.concatenate([values, known.facts[name]])
        ranks = rankdata(both)
        apart = np.abs((ranks - ranks.mean()) @ side)
        means = (float(values.mean()), float(known.facts[name].mean()))
        found.append(_Dealt(name, means, float(apart[0]), apart[1:], (both @ side)[1:]))
    return found


def _of_classes(new: Looks, known: Looks, kernel: Kernel, generator: np.random.Generator) -> list[_Dealt]:
    names = np.array([*new.classes, *known.classes])
    found = []
    for name in sorted(set(new.classes) & set(known.classes)):
        places: Int64[np.ndarray, " places"] = np.flatnonzero(names == name)
        images = int((places < len(new.classes)).sum())
        if min(images, len(places) - images) >= FEWEST_OF_A_CLASS:
            deals = _deals(images, len(places), generator)
            found.append(_of_features(kernel[np.ix_(places, places)], deals, name))
    return found


def _judged(dealt: list[_Dealt]) -> tuple[Measure, ...]:
    """Return each measure with the chance that any of them is as far off, in deviations, as it is."""
    if not dealt:
        return ()
    deals = np.stack([one.deals for one in dealt])
    found = np.array([one.found for one in dealt])
    mean, deviation = deals.mean(axis=1), np.maximum(deals.std(axis=1), np.finfo(np.float64).tiny)
    farthest = ((deals - mean[:, None]) / deviation[:, None]).max(axis=0)
    far = (found - mean) / deviation
    chances = (1 + (farthest >= far[:, None]).sum(axis=1)) / (1 + len(farthest))
    return tuple(
        Measure(
            name=one.name,
            new=one.means[0],
            known=one.means[1],
            usual=tuple(np.percentile(one.values, _RANGE).tolist()),
            chance=float(chance),
        )
        for one, chance in zip(dealt, chances, strict=True)
    )


def _in_words(one: Measure) -> str:
    low, high = one.usual
    return (
        f"{one.name}: {one.new:.4g} of new images, {one.known:.4g} of those learnt from; by chance {low:.4g} to "
        f"{high:.4g}, and as far off as this in {one.chance:.2%} of deals"
    )


def _calm(measures: tuple[Measure, ...], images: int) -> str:
    nearest = min(measures, key=lambda one: one.chance)
    return f"{images:,} new images look like those learnt from: {_in_words(nearest)}"
