"""Evidence may hold fewer test images than there are, so that distances between sets of one size can be compared."""

import numpy as np
import pytest
import torch

from components.data import ShardReader, decoded_pixels
from components.evaluation.evidence import Evidence


@pytest.fixture
def evidence(shards, tmp_path):
    def of(images: int | None) -> Evidence:
        training = decoded_pixels(shards, "train", tmp_path, 2**20)
        return Evidence(
            shards=shards, training=training, frozen=None, frozen_digest="", bins=(), seed=1,
            device=torch.device("cpu"), cache=tmp_path, images=images,
        )  # fmt: skip

    return of


def test_the_first_images_by_key_are_taken(evidence, shards):
    everything, some = evidence(None), evidence(2)
    reader = ShardReader(shards, "test")
    assert len(everything.test) == len(reader) > 2
    assert np.array_equal(some.test, reader.images(range(2)))


def test_protocols_tell_a_part_from_the_whole(evidence, shards):
    assert evidence(None).test_digest == f"{shards.digest}/test"
    assert evidence(4).test_digest == f"{shards.digest}/test[:4]"
