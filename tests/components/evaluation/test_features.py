"""Features of the fast networks are those of the networks they stand for; processes share images in whole blocks."""

import numpy as np
import pytest
import torch
from torch_fidelity import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from components import distributed
from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Extractor
from components.evaluation.inception import InceptionV3, tf1_bilinear
from components.evaluation.sharing import blocks_of, drawn, joined, own_rows
from components.seeding import numpy_generator, torch_generator


@pytest.mark.parametrize("side", [8, 32, 299, 400])
def test_two_matrix_products_resize_as_tensorflow_1(side):
    images = torch.randint(0, 256, (2, 3, side, side), generator=torch_generator(0, "images")).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    matrix = tf1_bilinear(side, 299)
    torch.testing.assert_close(matrix @ images @ matrix.T, expected, rtol=0, atol=1e-4)  # of 255


@pytest.mark.slow
def test_inception_sees_what_torch_fidelitys_sees(inception_weights):
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch_generator(0, "images")).to(torch.uint8)
    published = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_weights)
    )
    with torch.inference_mode():
        expected = published(images)
        for found, wanted in zip(InceptionV3(inception_weights)(images), expected, strict=True):
            assert (found - wanted).norm() < 5e-5 * wanted.norm()
        moved = expected[0] - expected[0].mean(dim=0)
        assert moved.norm() > 1e-2 * expected[0].norm()  # else any image would do


def test_moments_and_features_of_no_images_can_be_joined():
    config = FidelityConfig.model_validate({"extractor": {"kind": "efficientnet_lite0", "resolution": 32}})
    nothing = Extractor(config).see(np.empty((0, 8, 8, 3), np.uint8))
    assert nothing.features.shape == (0, 1280)
    assert nothing.logits.shape == (0, 1000)
    assert nothing.moments.count == 0


@pytest.mark.parametrize("count", [1, 5, 15, 16, 70])
def test_features_depend_neither_on_threads_nor_on_how_many_images_there_are(count):
    config = FidelityConfig.model_validate({"extractor": {"kind": "efficientnet_lite0", "resolution": 64}})
    images = numpy_generator(0, "images").integers(0, 256, (100, 24, 24, 3), dtype=np.uint8)
    extractor, threads = Extractor(config), torch.get_num_threads()
    expected = extractor.see(images).features[:count]
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert torch.equal(extractor.see(images[:count]).features, expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("count", "block", "processes"), [(688, 64, 3), (5, 64, 4), (64, 64, 2), (7, 2, 4)])
def test_processes_share_all_images_in_whole_blocks_and_the_main_one_has_the_first(
    monkeypatch, count, block, processes
):
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed, "processes", lambda: processes)
        parts.append(own_rows(count, block))
    assert [n for rows in parts for n in range(count)[rows]] == list(range(count))
    assert all(rows.start % block == 0 or rows.start == count for rows in parts)
    assert parts[0].stop > 0
    assert max(rows.stop - rows.start for rows in parts) <= -(-count // block // processes) * block + block


def test_drawing_by_blocks_gives_all_pictures_in_order():
    whole = numpy_generator(0, "whole").integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    assert np.array_equal(joined(drawn(lambda rows: whole[rows], 7, 4, block=3)), whole)
    assert drawn(lambda rows: whole[rows], 0, 4, block=3).shape == (0, 4, 4, 3)
    assert [(b.start, b.stop) for b in blocks_of(slice(3, 8), 2)] == [(3, 5), (5, 7), (7, 8)]
