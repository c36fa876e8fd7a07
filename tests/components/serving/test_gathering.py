"""Tiles of several requests go through a network together, and each request gets what it would have got alone."""

import threading
import time
from typing import get_args

import numpy as np
import pytest
import torch

from components.models import InpainterNetworkConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.serving.gathering import gathered
from components.serving.measuring import Measures

NETWORKS = get_args(get_args(InpainterNetworkConfig)[0])


class Gated:
    """A restorer that begins its first batch only when told to, and remembers how large batches were."""

    reach_px = 6.0
    restores_known = False

    def __init__(self, inner):
        self.inner, self.stride = inner, inner.stride
        self.gate, self.sizes, self.breaks = threading.Event(), [], False

    def restore(self, corrupted, missing):
        self.sizes.append(len(corrupted))
        self.gate.wait(30)
        if self.breaks:
            raise MemoryError("too little of it")
        return self.inner.restore(corrupted, missing)


def restorer(network):
    recipe = InpainterConfig(network=network())
    module = recipe.build(32, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return recipe.producer(module)


def tiles(side, count):
    rng = np.random.default_rng(side)
    images = rng.integers(0, 256, (count, 1, side, side, 3), np.uint8)
    missing = np.zeros((count, 1, side, side), np.bool_)
    missing[:, :, 4:12, 4:20] = True
    return list(zip(images, missing, strict=True))


def all_at_once(gated, measures, pieces):
    """Ask from a thread each: the first alone, the others while it is worked on."""
    gathering, answers = gathered(gated, measures, cores=1), [None] * len(pieces)

    def ask(place):
        try:
            answers[place] = gathering.restore(*pieces[place])
        except MemoryError as error:
            answers[place] = error

    asking = [threading.Thread(target=ask, args=(place,)) for place in range(len(pieces))]
    for number, thread in enumerate(asking):
        thread.start()
        deadline = time.monotonic() + 30
        while (len(gated.sizes), len(gathering._waiting)) != (1, number) and time.monotonic() < deadline:
            time.sleep(0.001)
    gated.gate.set()
    for thread in asking:
        thread.join()
    return answers


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_what_is_gathered_is_mended_as_alone(network):
    alone = restorer(network)
    gated, measures = Gated(alone), Measures()
    pieces = [*tiles(32, 4), *tiles(48, 2)]
    answers = all_at_once(gated, measures, pieces)
    assert sorted(gated.sizes) == [1, 2, 3]  # the one that came first; then all of one size
    for piece, answer in zip(pieces, answers, strict=True):
        apart = np.abs(alone.restore(*piece).astype(int) - answer)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3
    assert b"kintsugi_batch_size_sum 6.0" in measures.text()


def test_a_pass_that_fails_fails_all_that_it_was_for():
    gated = Gated(restorer(NETWORKS[0]))
    gated.breaks = True
    answers = all_at_once(gated, Measures(), tiles(32, 3))
    assert all(isinstance(answer, MemoryError) for answer in answers)


def test_a_batch_has_no_more_tiles_than_pay():
    gated = Gated(restorer(NETWORKS[0]))
    answers = all_at_once(gated, Measures(), tiles(32, 19))
    assert sorted(gated.sizes) == [1, 2, 16]
    assert all(answer.shape == (1, 32, 32, 3) for answer in answers)
