"""Splits and orders are functions of their inputs, whatever those are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.data import SplitConfig, sample_order

keys = st.binary(min_size=16, max_size=16).map(bytes.hex)
fractions = st.floats(0, 0.49)


@given(keys, fractions, fractions, fractions)
def test_raising_the_validation_fraction_takes_from_train_only(key: str, test: float, low: float, more: float) -> None:
    before = SplitConfig(test=test, validation=low).split_of(key)
    after = SplitConfig(test=test, validation=max(low, more)).split_of(key)
    assert after == before or (before, after) == ("train", "validation")


@given(keys)
def test_nothing_is_held_back_unless_asked(key: str) -> None:
    assert SplitConfig(test=0, validation=0).split_of(key) == "train"


def test_fractions_are_reached_by_many_keys() -> None:
    rng = np.random.default_rng(0)
    split = SplitConfig(test=0.2, validation=0.1)
    found = [split.split_of(rng.bytes(16).hex()) for _ in range(4000)]
    assert abs(found.count("test") / 4000 - 0.2) < 0.03
    assert abs(found.count("validation") / 4000 - 0.1) < 0.02


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"validation 0\.5 \+ test 0\.5 leave nothing to train on"):
        SplitConfig(validation=0.5, test=0.5)


@given(st.integers(0, 2**32), st.integers(0, 1000), st.integers(0, 200))
def test_each_pass_visits_every_image_once(seed: int, pass_number: int, samples: int) -> None:
    order = sample_order(seed, pass_number, "digest", samples)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(samples))
    assert np.array_equal(order, sample_order(seed, pass_number, "digest", samples))


def test_seed_pass_and_dataset_each_change_the_order() -> None:
    orders = {tuple(sample_order(*which, 50)) for which in ((0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"))}
    assert len(orders) == 4
