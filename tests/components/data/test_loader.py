"""Batches are the same for any number of processes and from any point on; the thread ends and its errors surface."""

import threading
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.corruption import CorruptionMix
from components.data import Batch, Cut, HeldLoader, Loader, Samples, Share
from components.data.order import Order

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), np.uint8)
KEYS = [np.random.default_rng(number).bytes(16).hex() for number in range(23)]


def loader(rank: int = 0, processes: int = 1, batch: int = 8, **options: object) -> Loader:
    return Loader(Samples(IMAGES, KEYS, "d"), Share(batch, rank, processes), seed=3, **options)


def take(source: Loader, batches: int, first_image: int = 0) -> list[Batch]:
    iterator = source.batches(first_image)
    taken = list(islice(iterator, batches))
    iterator.close()
    return taken


def same(one: Batch, rows: list[Batch]) -> bool:
    return all(
        torch.equal(getattr(one, name), torch.cat([getattr(row, name) for row in rows]))
        for name in ("images", "corrupted", "missing")
    )


@pytest.mark.parametrize("processes", [2, 4])
def test_the_rows_of_all_ranks_joined_are_the_batch_of_one_process(processes: int) -> None:
    options = {"flip": True, "corruption": CorruptionMix()}
    whole = take(loader(**options), 5)
    parts = [take(loader(rank, processes, **options), 5) for rank in range(processes)]
    for number, batch in enumerate(whole):
        rows = [part[number] for part in parts]
        assert same(batch, rows)
        for draw in ("noise", "uniform"):
            joined = torch.cat([getattr(row, draw)("z", 3, 2) for row in rows])
            assert torch.equal(getattr(batch, draw)("z", 3, 2), joined)
        assert {(row.first_image, row.global_size, len(row)) for row in rows} == {(number * 8, 8, 8 // processes)}


def test_starting_at_any_image_gives_what_a_run_from_the_start_gives() -> None:
    options = {"flip": True, "corruption": CorruptionMix()}
    whole = take(loader(**options), 9)
    for start in (1, 3, 8):
        (resumed,) = take(loader(**options), 1, first_image=start * 8)
        assert same(whole[start], [resumed])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 200), st.integers(1, 60))
def test_every_image_number_has_one_picture_whatever_the_batch_size(first: int, batch: int) -> None:
    (joined,) = take(loader(batch=batch, flip=True), 1, first)
    (alone,) = take(loader(batch=1, flip=True), 1, first + batch - 1)
    assert torch.equal(joined.images[-1:], alone.images)


def test_images_are_scaled_to_plus_minus_one_in_channels_last_memory() -> None:
    (batch,) = take(loader(batch=23), 1)
    assert batch.images.dtype == torch.float32
    assert batch.images.shape == (23, 3, 16, 16)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    back = ((batch.images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert sorted(image.tobytes() for image in back) == sorted(image.tobytes() for image in IMAGES)
    assert batch.corrupted is None
    assert batch.missing is None


def test_the_source_is_never_written_to() -> None:
    before = IMAGES.copy()
    take(loader(flip=True, corruption=CorruptionMix()), 4)
    assert np.array_equal(IMAGES, before)


def test_half_of_the_images_are_mirrored_and_others_in_the_next_pass() -> None:
    plain, flipped = (take(loader(batch=23, flip=flip), 20) for flip in (False, True))
    changed = [(one.images != two.images).flatten(1).any(1) for one, two in zip(plain, flipped, strict=True)]
    assert 0.4 < torch.stack(changed).float().mean() < 0.6
    assert all(
        torch.equal(two.images[where], one.images[where].flip(3))
        for one, two, where in zip(plain, flipped, changed, strict=True)
    )
    assert len({tuple(where.tolist()) for where in changed}) > 15


def test_masks_are_one_where_missing_and_differ_between_passes() -> None:
    first, second = take(loader(batch=23, corruption=CorruptionMix()), 2)
    assert first.missing.shape == (23, 1, 16, 16)
    assert set(first.missing.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first.missing.sum(), second.missing.sum())
    known = first.missing.expand_as(first.images) == 0
    assert torch.equal(first.corrupted[known], first.images[known])


def test_moving_a_batch_keeps_its_numbers() -> None:
    (batch,) = take(loader(corruption=CorruptionMix()), 1)
    moved = batch.to("cpu", channels_last=False)
    assert moved.images.is_contiguous()
    assert same(batch, [moved])
    assert torch.equal(batch.noise("z", 5), moved.noise("z", 5))
    assert not torch.equal(batch.noise("z", 5), batch.noise("other", 5))
    assert batch.to("cpu", channels_last=True).images.is_contiguous(memory_format=torch.channels_last)


def test_closing_the_iterator_ends_the_thread() -> None:
    iterator = loader().batches(0)
    next(iterator)
    assert any(thread.name.startswith("loader") for thread in threading.enumerate())
    iterator.close()
    assert not any(thread.name.startswith("loader") for thread in threading.enumerate())


def test_an_error_in_the_thread_is_raised_where_the_batch_is_awaited() -> None:
    class Broken:
        def __len__(self) -> int:
            return 23

        def take(self, indices: np.ndarray, axis: int) -> np.ndarray:
            raise OSError("the disk is gone")

    source = Loader(Samples(Broken(), KEYS, "d"), Share(4), seed=0)
    with pytest.raises(OSError, match="the disk is gone"):
        next(source.batches(0))
    assert not any(thread.name.startswith("loader") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (lambda: Samples(IMAGES[:0], [], "d"), "holds no images"),
        (lambda: Samples(IMAGES, KEYS[:-1], "d"), "22 keys for 23 images"),
        (lambda: Share(9, 0, 2), "batch 9: expected a positive multiple of the 2 processes"),
        (lambda: Share(8, 2, 2), "rank 2: expected 0 to 1"),
    ],
)
def test_impossible_demands_are_refused_in_words(demand: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        demand()


@pytest.mark.parametrize("flip", [False, True])
def test_pixels_that_a_device_holds_give_the_same_batches_to_the_bit(flip: bool) -> None:
    samples = Samples(IMAGES, KEYS, "d", np.arange(23) % 3)
    whole = take(Loader(samples, Share(8, 1, 2), seed=3, flip=flip), 7, first_image=16)
    held = take(HeldLoader(samples, Share(8, 1, 2), torch.device("cpu"), seed=3, flip=flip), 7, first_image=16)
    for one, other in zip(whole, held, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.noise("z", 3), other.noise("z", 3))
        assert (one.first_image, one.offset, one.global_size) == (other.first_image, other.offset, other.global_size)


def squares(**options: object) -> list[Batch]:
    return take(loader(cut=Cut(16, 10), **options), 30)


def test_squares_are_cut_out_of_their_images_from_corner_to_corner() -> None:
    corners = set()
    for batch in squares(batch=23):
        assert batch.images.shape == (23, 3, 10, 10)
        order = Order(Samples(IMAGES, KEYS, "d"), Share(23), seed=3, cut=Cut(16, 10)).rows(batch.first_image)
        assert order.squares is not None
        for image, number, (top, left, side) in zip(batch.images, order.numbers, order.squares.tolist(), strict=True):
            assert side == 10
            whole = torch.from_numpy(IMAGES[number]).permute(2, 0, 1).float() / 127.5 - 1
            torch.testing.assert_close(image, whole[:, top : top + 10, left : left + 10])
            corners.add((top, left))
    assert corners == {(top, left) for top in range(7) for left in range(7)}


def test_squares_are_the_same_for_any_number_of_ranks_and_from_any_image_on() -> None:
    options = {"flip": True, "corruption": CorruptionMix()}
    whole = squares(**options)
    parts = [squares(rank=rank, processes=2, **options) for rank in range(2)]
    assert all(same(batch, [part[number] for part in parts]) for number, batch in enumerate(whole))
    (resumed,) = take(loader(cut=Cut(16, 10), **options), 1, first_image=5 * 8)
    assert same(whole[5], [resumed])


def test_larger_squares_are_shrunk_by_the_mean_of_what_lies_under_a_pixel() -> None:
    found = set()
    cut = Cut(16, 4, (1, 2, 4))
    for batch in take(loader(batch=23, cut=cut), 30):
        order = Order(Samples(IMAGES, KEYS, "d"), Share(23), seed=3, cut=cut).rows(batch.first_image)
        assert order.squares is not None
        for image, number, (top, left, side) in zip(batch.images, order.numbers, order.squares.tolist(), strict=True):
            by = side // 4
            whole = IMAGES[number][top : top + side, left : left + side].astype(float)
            mean = torch.from_numpy(whole.reshape(4, by, 4, by, 3).mean((1, 3))).permute(2, 0, 1) / 127.5 - 1
            assert (image - mean).abs().max() <= 0.51 / 127.5  # rounded to whole levels
            found.add((by, top, left))
    assert {by for by, _, _ in found} == {1, 2, 4}
    assert {(top, left) for by, top, left in found if by == 4} == {(0, 0)}
    assert {top for by, top, _ in found if by == 2} == set(range(9))


def test_squares_are_cut_where_they_were_before_some_were_larger() -> None:
    samples = Samples(IMAGES, KEYS, "d")
    plain, shrunk = (Order(samples, Share(23), seed=3, cut=Cut(16, 4, by)).rows(46).squares for by in ((1,), (1, 1)))
    assert plain is not None
    assert shrunk is not None
    assert plain[:4, :2].tolist() == [[6, 5], [12, 4], [3, 3], [1, 12]]
    assert plain.tolist() == shrunk.tolist()


def test_squares_are_mirrored_as_whole_images_are() -> None:
    plain, flipped = (squares(batch=23, flip=flip) for flip in (False, True))
    whole, mirrored = (take(loader(batch=23, flip=flip), 30) for flip in (False, True))
    for cut, one, two in zip(zip(plain, flipped, strict=True), whole, mirrored, strict=True):
        changed = (one.images != two.images).flatten(1).any(1)
        assert torch.equal(cut[1].images[changed], cut[0].images[changed].flip(3))
        assert torch.equal(cut[1].images[~changed], cut[0].images[~changed])
