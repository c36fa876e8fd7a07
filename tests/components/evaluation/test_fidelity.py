"""Fidelity scores are torch-fidelity's own, computed quietly, from features that are extracted once."""

import numpy as np
import pytest
import torch
import torch_fidelity
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics

from components.artifacts import sha256_of
from components.evaluation.extractors import FidelityConfig, InceptionConfig
from components.evaluation.features import Extractor
from components.evaluation.fidelity import Fidelity
from components.evaluation.protocol import differences
from components.seeding import numpy_generator

CONFIG = FidelityConfig.model_validate(
    {"extractor": {"kind": "efficientnet_lite0", "resolution": 32}, "kid_subset_size": 1000, "kid_subsets": 5}
)
SUFFIX = "_efficientnet_lite0"


def pictures(name, count=64, contrast=1.0):
    """Smooth random colours, so that features vary."""
    coarse = numpy_generator(0, name).integers(0, 256, (count, 4, 4, 3)).astype(float)
    return (127 + contrast * (coarse.repeat(5, axis=1).repeat(5, axis=2) - 127)).astype(np.uint8)


class ImageSet(Dataset):
    """Images in memory as torch-fidelity wants them: uint8, channels first."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return torch.from_numpy(self.images[index].transpose(2, 0, 1).copy())


class Registered(FeatureExtractorBase):
    """The extractor of CONFIG as torch-fidelity builds and calls it."""

    def __init__(self, name, features_list, **_settings):
        super().__init__(name, features_list)
        self.network = CONFIG.extractor.network()

    @staticmethod
    def get_provided_features_list():
        return "pooled", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "pooled"

    def forward(self, images):
        found = dict(zip(("pooled", "logits"), self.network(images), strict=True))
        return tuple(found[name] for name in self.features_list)


@pytest.fixture(scope="module")
def reals():
    return pictures("reals", 72)


@pytest.fixture(scope="module")
def meter(reals):
    return Fidelity(reals, CONFIG, "reference", seed=3)


@pytest.fixture(scope="module")
def scores(meter):
    return {score.name.removesuffix(SUFFIX): score for score in meter.scores(pictures("fakes", contrast=0.6))}


def test_scores_equal_those_of_torch_fidelity(scores, reals):
    torch_fidelity.register_feature_extractor("efficientnet-lite0-32px", Registered)
    expected = calculate_metrics(
        input1=ImageSet(pictures("fakes", contrast=0.6)),
        input2=ImageSet(reals),
        fid=True,
        isc=True,
        kid=True,
        prc=True,
        feature_extractor="efficientnet-lite0-32px",
        isc_splits=1,
        kid_subset_size=64,
        kid_subsets=5,
        rng_seed=3,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert scores["fd"].value == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    assert scores["is"].value == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    assert scores["kid"].value == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6)
    assert scores["precision"].value == pytest.approx(expected["precision"], rel=1e-6)
    assert scores["recall"].value == pytest.approx(expected["recall"], rel=1e-6)


def test_protocol_says_what_was_fitted_to_the_count(scores):
    protocol = scores["kid"].protocol
    assert protocol.settings == {"subsets": 5, "subset_size": 64}
    assert scores["is"].protocol.settings == {"splits": 1}
    assert (protocol.samples, protocol.reference_samples, protocol.seed) == (64, 72, 3)
    assert protocol.extractor_sha256 == CONFIG.extractor.SHA256
    assert "32 px" in protocol.preprocessing
    assert protocol.reference == "reference"


def test_intervals_hold_the_values_and_have_a_width(scores):
    for score in scores.values():
        assert score.low <= score.value <= score.high
        assert score.high > score.low


def test_same_images_give_the_same_scores_and_better_images_better_ones(meter, scores):
    again = {s.name.removesuffix(SUFFIX): s for s in meter.scores(pictures("fakes", contrast=0.6))}
    assert again == scores
    better = {s.name.removesuffix(SUFFIX): s for s in meter.scores(pictures("more fakes"))}
    assert better["fd"].high < scores["fd"].low
    assert better["kid"].high < scores["kid"].low
    assert not differences(better["fd"], scores["fd"])


def test_features_do_not_depend_on_the_batch_size(reals):
    whole = Extractor(CONFIG).see(reals[:20])
    parts = Extractor(CONFIG.model_copy(update={"batch": 7})).see(reals[:20])
    torch.testing.assert_close(whole.features, parts.features, rtol=1e-4, atol=1e-5)


def test_evaluation_is_quiet_and_leaves_no_files(meter, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    Extractor(CONFIG).see(pictures("quiet", 16))
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_precision_of_the_process_is_left_as_it_was(reals):
    torch.set_float32_matmul_precision("high")
    try:
        Extractor(CONFIG).see(reals[:16])
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (pictures("few", 15), "found 15 images"),
        (pictures("x", 20).astype(float), "float64"),
        (pictures("x", 20).transpose(0, 3, 1, 2), r"\(20, 3, 20, 20\)"),
    ],
)
def test_images_of_another_form_are_refused(meter, images, words):
    with pytest.raises(ValueError, match=words):
        meter.scores(images)
    with pytest.raises(ValueError, match=words):
        Fidelity(images, CONFIG, "reference", seed=3)


def test_neighbours_are_sought_among_no_more_than_asked_for(reals):
    few = CONFIG.model_copy(update={"neighbour_samples": 16})
    scores = {s.name.removesuffix(SUFFIX): s for s in Fidelity(reals[20:50], few, "r", 0).scores(reals[:20])}
    assert scores["recall"].protocol.samples == scores["recall"].protocol.reference_samples == 16
    assert (scores["fd"].protocol.samples, scores["fd"].protocol.reference_samples) == (20, 30)


@pytest.mark.slow
def test_inception_gives_scores_with_the_plain_names(inception_weights, monkeypatch):
    monkeypatch.setattr(InceptionConfig, "SHA256", sha256_of(inception_weights))
    monkeypatch.setenv("KINTSUGI_INCEPTION_WEIGHTS", str(inception_weights))
    config = FidelityConfig.model_validate({"extractor": {"kind": "inception"}, "interval_groups": 5})
    scores = Fidelity(pictures("reals", 16), config, "r", 0).scores(pictures("fakes", 16))
    assert [score.name for score in scores] == ["fid", "is", "kid", "precision", "recall"]
    assert scores[0].protocol.extractor == "inception"
