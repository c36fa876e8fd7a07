"""Nights on growing data, collected each night: the store stays close to what is in use."""

from pathlib import Path

import pytest

from tests.benchmarks.nights import nights

MOST = 1.2


@pytest.mark.slow
def test_the_store_stays_within_a_fifth_of_what_is_in_use(tmp_path: Path) -> None:
    for size in nights(40, tmp_path, seed=3):
        assert size.live <= size.after <= size.before <= MOST * size.live
