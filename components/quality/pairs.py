"""Pairs: which pictures are near-copies of each other, found among millions without comparing each with each."""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Int64, UInt64

from components.quality.fingerprints import Fingerprints, areas_apart

REACH_BITS = 8
"""Most bits by which the hashes of near-copies differ, of 64."""
APART = 0.3
"""Farthest that the areas of near-copies are apart; 0 is equal, about 1.4 unrelated."""

_BANDS = 11
_EQUAL_BANDS = _BANDS - REACH_BITS
_MOST_BESIDE = 64
_PAIRS_AT_ONCE = 1 << 16

Pairs = Int64[np.ndarray, "pairs 2"]
"""Numbers of two pictures, the smaller one first, each pair once, in order."""


def near_pairs(prints: Fingerprints) -> Pairs:
    """Return the pairs of pictures that are near-copies: by their hashes, and by the colours of their areas.

    Two hashes that differ by no more than 8 bits agree wholly in 3 or more of 11 bands of bits (pigeonhole). So for
    each choice of 3 bands the hashes are sorted by these, and only neighbours that agree in them are compared: 165
    sorts in place of a comparison of each picture with each. Of more than 64 pictures that agree in three bands, as
    flat ones do, each is compared with the next 64 alone; that keeps their group together and the work linear.
    """
    count = len(prints.hashes)
    hashes = np.concatenate([prints.hashes, prints.mirrored])
    found = np.empty(0, np.int64)
    for mask in _masks():
        new = [_coded(pairs, count) for pairs in _neighbours(hashes, mask, count)]
        found = np.union1d(found, np.concatenate([np.empty(0, np.int64), *new]))
    candidates = np.stack(np.divmod(found, max(count, 1)), axis=1)
    kept = [
        some[areas_apart(prints.areas[some[:, 0]], prints.areas[some[:, 1]]) <= APART]
        for some in np.array_split(candidates, len(candidates) // _PAIRS_AT_ONCE + 1)
    ]
    return np.concatenate(kept)


def _masks() -> Iterator[np.uint64]:
    """Yield 64 bits for each choice of bands, set where the hashes must agree."""
    edges = np.linspace(0, 64, _BANDS + 1).round().astype(int).tolist()
    bands = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    for chosen in combinations(bands, _EQUAL_BANDS):
        yield np.uint64(sum(chosen))


def _neighbours(hashes: UInt64[np.ndarray, " both"], mask: np.uint64, count: int) -> Iterator[Pairs]:
    """Yield pairs of numbers whose hashes agree under the mask and differ by few bits; never two mirrored ones."""
    keys = hashes & mask
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    places = np.arange(len(order))
    for beside in range(1, _MOST_BESIDE + 1):
        places = places[places + beside < len(order)]
        places = places[keys[places] == keys[places + beside]]
        if not len(places):
            return
        one, other = order[places], order[places + beside]
        near = np.bitwise_count(hashes[one] ^ hashes[other]) <= REACH_BITS
        near &= (one < count) | (other < count)
        yield np.stack([one[near], other[near]], axis=1)


def _coded(pairs: Pairs, count: int) -> Int64[np.ndarray, " pairs"]:
    """Return each pair of two pictures as one number."""
    numbers = np.sort(pairs % count, axis=1)
    numbers = numbers[numbers[:, 0] != numbers[:, 1]]
    coded: Int64[np.ndarray, " pairs"] = numbers[:, 0] * count + numbers[:, 1]
    return coded
