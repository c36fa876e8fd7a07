"""The loader against the slow version that its documentation describes, one image at a time."""

from itertools import islice

import numpy as np
import torch

from components.corruption import CorruptionMix
from components.data import Loader, Samples, Share, sample_order
from components.seeding import numpy_generator


def test_batches_equal_images_looked_up_corrupted_and_scaled_one_by_one() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, 16, 16, 3), np.uint8)
    keys = [rng.bytes(16).hex() for _ in images]
    mix, seed, batch, first = CorruptionMix(), 5, 6, 7
    loader = Loader(Samples(images, keys, "d"), Share(batch), seed=seed, corruption=mix)
    batches = loader.batches(first)
    for number, found in enumerate(islice(batches, 4)):
        for row in range(batch):
            pass_number, place = divmod(first + number * batch + row, len(images))
            which = sample_order(seed, pass_number, "d", len(images))[place]
            expected = mix.corrupt(images[which], numpy_generator(seed, "corruption", pass_number, keys[which]))
            for tensor, pixels in ((found.images, images[which]), (found.corrupted, expected.image)):
                scaled = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
                torch.testing.assert_close(tensor[row], scaled, rtol=0, atol=1e-6)
            assert np.array_equal(found.missing[row, 0].numpy() == 1, expected.missing)
    batches.close()
