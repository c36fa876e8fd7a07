"""All near-copies are found, whatever else there is, and none is found that is not near."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.quality.fingerprints import Fingerprints, areas_apart
from components.quality.pairs import APART, REACH_BITS, near_pairs
from components.seeding import numpy_generator


def drawn(count: int, seed: int, few: bool = False) -> Fingerprints:
    generator = numpy_generator(seed, "prints")
    hashes = generator.integers(0, 2**64, (2, count), dtype=np.uint64, endpoint=False)
    return Fingerprints(hashes[0], hashes[1], generator.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8))


def altered(hashes: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    flips = [sum(1 << int(bit) for bit in generator.permutation(64)[: generator.integers(0, most + 1)]) for _ in hashes]
    return hashes ^ np.array(flips, np.uint64)


def slowly(prints: Fingerprints) -> list[list[int]]:
    """Each compared with each."""
    found = []
    for one in range(len(prints.hashes)):
        for other in range(one + 1, len(prints.hashes)):
            ways = (prints.hashes[other], prints.mirrored[other])
            bits = min(int(np.bitwise_count(prints.hashes[one] ^ way)) for way in ways)
            bits = min(bits, int(np.bitwise_count(prints.mirrored[one] ^ prints.hashes[other])))
            near = areas_apart(prints.areas[one : one + 1], prints.areas[other : other + 1])[0] <= APART
            if bits <= REACH_BITS and near:
                found.append([one, other])
    return found


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 10))
def test_the_pairs_are_those_that_comparing_each_with_each_finds(seed: int, count: int) -> None:
    generator = numpy_generator(seed, "altered")
    known = drawn(count, seed)
    order = generator.permutation(count)
    copies = Fingerprints(
        altered(known.hashes[order], 12, generator), altered(known.mirrored[order], 12, generator), known.areas[order]
    )
    swapped = Fingerprints(copies.mirrored, copies.hashes, copies.areas[:, :, ::-1])
    joined = Fingerprints(*(np.concatenate(parts) for parts in zip(known, copies, swapped, strict=True)))
    assert near_pairs(joined).tolist() == slowly(joined)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_near_where_there_are_no_two(count: int) -> None:
    assert near_pairs(drawn(count, 1)).shape == (0, 2)


def test_many_equal_pictures_are_held_together_by_few_pairs() -> None:
    count = 300
    one = drawn(1, 3)
    prints = Fingerprints(*(np.repeat(part, count, axis=0) for part in one))
    pairs = near_pairs(prints)
    assert len(pairs) <= 64 * count
    assert set(pairs.ravel().tolist()) == set(range(count))
