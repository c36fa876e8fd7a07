"""What is known of the real images is measured once, shared by evaluations, and thrown away when damaged."""

import numpy as np
import pytest
import torch

from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Extractor, FeatureSet
from components.evaluation.gaussian import Moments
from components.evaluation.reference import measured_reference
from components.seeding import numpy_generator, torch_generator


def config(resolution=32):
    return FidelityConfig.model_validate({"extractor": {"kind": "efficientnet_lite0", "resolution": resolution}})


class Counting(Extractor):
    """Counts how many images it is asked about."""

    def __init__(self, resolution=32):
        super().__init__(config(resolution))
        self.images = 0

    def see(self, images):
        self.images += len(images)
        return super().see(images)


class Narrow(Counting):
    """Has fewer features than there are images."""

    def see(self, images):
        self.images += len(images)
        features = torch.randn(len(images), 5, generator=torch_generator(0, "features"))
        return FeatureSet(features, features, Moments.of(features))


@pytest.fixture
def reals():
    return numpy_generator(0, "reals").integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", [Counting, Narrow])
def test_the_second_evaluation_reads_what_the_first_one_measured(tmp_path, reals, kind):
    extractor = kind()
    first = measured_reference(reals, "shards/test", extractor, tmp_path)
    second = measured_reference(reals, "shards/test", extractor, tmp_path)
    assert extractor.images == 20
    assert torch.equal(first.features, second.features)
    assert torch.equal(first.normal.mean, second.normal.mean)
    assert torch.equal(first.normal.root, second.normal.root)


def test_other_images_counts_and_resolutions_are_measured_anew(tmp_path, reals):
    extractor, finer = Counting(), Counting(resolution=64)
    measured_reference(reals, "shards/test", extractor, tmp_path)
    measured_reference(reals, "others/test", extractor, tmp_path)
    measured_reference(reals[:18], "shards/test", extractor, tmp_path)
    measured_reference(reals, "shards/test", finer, tmp_path)
    assert (extractor.images, finer.images) == (58, 20)


@pytest.mark.parametrize("name", ["imagefeatures/*/features.safetensors", "imagefeatures/*/manifest.json"])
def test_damaged_features_are_measured_again(tmp_path, reals, name, caplog):
    extractor = Counting()
    first = measured_reference(reals, "shards/test", extractor, tmp_path)
    (file,) = tmp_path.glob(name)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))
    second = measured_reference(reals, "shards/test", extractor, tmp_path)
    assert extractor.images == 40
    assert torch.equal(first.features, second.features)
    assert "measured again" in caplog.text
    measured_reference(reals, "shards/test", extractor, tmp_path)
    assert extractor.images == 40


def test_a_damaged_normal_distribution_is_computed_again_from_the_features(tmp_path, reals, caplog):
    extractor = Narrow()
    first = measured_reference(reals, "shards/test", extractor, tmp_path)
    (file,) = tmp_path.glob("referencenormal/*/normal.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    second = measured_reference(reals, "shards/test", extractor, tmp_path)
    assert extractor.images == 20
    assert torch.equal(first.normal.covariance, second.normal.covariance)
    assert "measured again" in caplog.text
