"""Streams of one seed are repeatable, independent of each other and of the order in which they are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.seeding import bulk_generator, numpy_generator, seed_step, stream_key, torch_generator

names = st.lists(st.text(alphabet=st.characters(exclude_characters="\x1f")) | st.integers(), max_size=3)


def test_a_name_gives_the_same_stream_whatever_was_drawn_before():
    first = numpy_generator(1, "mask", "key", 0).random(4)
    numpy_generator(1, "noise").random(100)
    assert np.array_equal(first, numpy_generator(1, "mask", "key", 0).random(4))
    assert torch.equal(
        torch.randn(4, generator=torch_generator(1, "latent", 64)),
        torch.randn(4, generator=torch_generator(1, "latent", 64)),
    )


def test_the_numbers_are_the_same_in_every_version_of_this_code():
    assert numpy_generator(7, "mask", "key", 3).integers(1000, size=4).tolist() == [338, 87, 272, 412]
    assert torch.randint(1000, (4,), generator=torch_generator(7, "latent")).tolist() == [467, 167, 436, 298]


def test_bulk_follows_from_its_parent_and_differs_each_time():
    parent, again = numpy_generator(1, "noise"), numpy_generator(1, "noise")
    first, second = bulk_generator(parent).random(1000), bulk_generator(parent).random(1000)
    assert np.array_equal(first, bulk_generator(again).random(1000))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


@given(st.integers(0, 3), names, st.integers(0, 3), names)
def test_different_names_or_seeds_give_different_keys(seed, name, other_seed, other):
    alike = (seed, *map(str, name)) == (other_seed, *map(str, other))
    assert (stream_key(seed, *name) == stream_key(other_seed, *other)) == alike


def test_names_do_not_run_together():
    assert len({stream_key(1, "a", "b"), stream_key(1, "ab"), stream_key(1, "a b"), stream_key(1, "b", "a")}) == 4
    assert stream_key(1, "a", 12) != stream_key(1, "a", 1, 2)


def test_streams_of_neighbouring_names_are_uncorrelated():
    draws = np.stack([numpy_generator(0, "noise", number).standard_normal(4000) for number in range(20)])
    correlations = np.corrcoef(draws)[~np.eye(20, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("draw", [lambda: torch.rand(3), lambda: torch.nn.Dropout()(torch.ones(64))])
def test_a_seeded_step_repeats_what_layers_draw(draw):
    seed_step(3, "gan", 128)
    first = draw()
    seed_step(3, "gan", 192)
    other = draw()
    seed_step(3, "gan", 128)
    assert torch.equal(draw(), first)
    assert not torch.equal(other, first)
