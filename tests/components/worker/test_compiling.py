"""Compiling: done where it pays back, and left out, with the numbers, where it does not."""

import torch

from components.recipes import GanConfig
from components.worker.compiling import reason_not_to

CARD, CPU = torch.device("cuda"), torch.device("cpu")


def test_a_short_training_on_a_card_is_not_compiled_and_says_what_it_would_cost_and_save():
    reason = reason_not_to(GanConfig(), 32, 100_000, 2, CARD)
    assert reason is not None
    assert "compiling 2 networks takes about 60 s, and saves about 0 s of 100,000 images" in reason


def test_a_long_training_on_a_card_is_compiled():
    assert reason_not_to(GanConfig(), 32, 10**10, 2, CARD) is None


def test_a_processor_compiles_as_it_is_told():
    assert reason_not_to(GanConfig(), 32, 1, 2, CPU) is None
