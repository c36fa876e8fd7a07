"""Passes that shuffle within windows of tars see each image once, from any place on, with few tars in use at a time."""

from itertools import islice, pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.data import Loader, Samples, Share, without
from components.data.order import Order
from components.data.windows import Windows

IMAGES = np.random.default_rng(0).integers(0, 256, (97, 8, 8, 3), np.uint8)
KEYS = [np.random.default_rng(number).bytes(16).hex() for number in range(97)]
TARS = np.random.default_rng(1).integers(0, 13, 97)


def order_of(tars: np.ndarray, window: int, seed: int = 3, pass_number: int = 0, digest: str = "d") -> list[int]:
    whole = Windows(tars, window).of_pass(seed, pass_number, digest)
    return whole.images(np.arange(len(tars))).tolist()


def samples(window: int | None, images: np.ndarray = IMAGES) -> Samples:
    return Samples(images, KEYS, "d", None, None if window is None else Windows(TARS, window))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 3))
def test_a_pass_visits_each_image_once_window_by_window(tars: list[int], window: int, pass_number: int) -> None:
    of = np.array(tars)
    whole = Windows(of, window).of_pass(3, pass_number, "d")
    order, windows = whole.images(np.arange(len(of))).tolist(), list(whole.tars_from(0))
    assert sorted(order) == list(range(len(of)))
    assert sorted(tar for one in windows for tar in one) == sorted(set(tars))
    assert all(len(one) == window for one in windows[:-1])
    place = 0
    for one in windows:
        here = int(np.isin(of, one).sum())
        assert set(of[order[place : place + here]].tolist()) == set(one)
        assert next(whole.tars_from(place)) == next(whole.tars_from(place + here - 1)) == one
        place += here


@given(st.integers(0, 96), st.integers(1, 97), st.integers(1, 13))
def test_any_place_is_known_without_those_before(first: int, count: int, window: int) -> None:
    places = np.arange(first, min(first + count, 97))
    found = Windows(TARS, window).of_pass(3, 0, "d").images(places)
    assert found.tolist() == order_of(TARS, window)[first : first + count]


def test_seed_pass_data_and_tars_decide_the_order_and_nothing_else() -> None:
    orders = [
        order_of(TARS, 4),
        order_of(TARS, 4, seed=4),
        order_of(TARS, 4, pass_number=1),
        order_of(TARS, 4, digest="e"),
        order_of(TARS, 5),
        order_of(TARS[::-1], 4),
    ]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert order_of(TARS, 4) == orders[0]


def test_images_of_a_window_are_shuffled_all_together() -> None:
    # Of 40 images in 4 tars, the tar of the next image must not follow from that of the one before.
    tars = np.repeat(np.arange(4), 10)
    repeats = [np.mean(np.diff(tars[order_of(tars, 4, seed)]) == 0) for seed in range(200)]
    assert abs(np.mean(repeats) - 9 / 39) < 4 * np.std(repeats) / 200**0.5


def test_two_ranks_and_a_resumed_run_see_what_one_whole_run_sees() -> None:
    def batches(share: Share, first: int, count: int) -> torch.Tensor:
        loaded = Loader(samples(3), share, seed=3, flip=True).batches(first)
        found = [batch.images for batch in islice(loaded, count)]
        loaded.close()
        return torch.stack(found)

    whole = batches(Share(8), 0, 30)
    halves = [batches(Share(8, rank, 2), 0, 30) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves, dim=1), whole)
    for start in (1, 11, 13, 29):
        assert torch.equal(batches(Share(8), start * 8, 1), whole[start : start + 1])


def test_the_window_in_use_and_the_next_are_named_over_the_end_of_a_pass() -> None:
    order = Order(samples(4), Share(8), seed=3)
    first, second = Windows(TARS, 4).of_pass(3, 0, "d"), Windows(TARS, 4).of_pass(3, 1, "d")
    windows = [*first.tars_from(0), *second.tars_from(0)]
    seen = [order.tars(image) for image in range(2 * 97)]
    changes = [pair for number, pair in enumerate(seen) if number == 0 or pair != seen[number - 1]]
    assert changes[:-1] == list(pairwise(windows))
    assert (seen[96], seen[97]) == ((windows[3], windows[4]), (windows[4], windows[5]))
    assert changes[-1] == (windows[-1], next(Windows(TARS, 4).of_pass(3, 2, "d").tars_from(0)))


def test_images_that_are_left_out_are_in_no_window() -> None:
    left = without(samples(4), KEYS[10:40])
    order = Order(left, Share(67), seed=3).rows(0).numbers
    assert sorted(order.tolist()) == list(range(67))
    assert left.windows is not None
    assert np.array_equal(left.windows.tars, np.concatenate([TARS[:10], TARS[40:]]))
