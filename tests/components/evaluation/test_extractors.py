"""Weights are the pinned ones or refused, and configs need neither torch_fidelity nor torchvision."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from components.evaluation.extractors import (
    EfficientNetLite0Config,
    EfficientNetLite2Config,
    FidelityConfig,
    InceptionConfig,
    WeightsError,
    pair_advice,
    read_weights,
)
from components.seeding import torch_generator

EMBEDDED = (EfficientNetLite0Config, EfficientNetLite2Config)


@pytest.mark.parametrize("extractor", EMBEDDED)
def test_embedded_weights_are_the_pinned_ones(extractor):
    assert extractor().weights().is_file()


@pytest.mark.parametrize("extractor", EMBEDDED)
def test_folded_network_gives_the_features_of_the_package(extractor):
    config = extractor(resolution=64)
    plain = EfficientNet.from_name(config.NETWORK, image_size=64).eval()
    plain.load_state_dict(read_weights(config.weights()))
    images = torch.randint(0, 256, (3, 3, 64, 64), generator=torch_generator(0, "images")).to(torch.uint8)
    with torch.inference_mode():
        features, logits = config.network()(images)
        expected = plain((images.float() - 127) / 128)
    assert features.shape == (3, 1280)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_altered_weights_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"sha256 is .* expected 6726825d"):
        InceptionConfig(weights_file=path).weights()
    monkeypatch.setenv("KINTSUGI_INCEPTION_WEIGHTS", str(path))
    with pytest.raises(WeightsError, match="sha256 is"):
        InceptionConfig().weights()


def test_missing_inception_weights_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("KINTSUGI_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"Download https://.* KINTSUGI_INCEPTION_WEIGHTS, .* efficientnet_lite0"):
        InceptionConfig(download=False).weights()
    with pytest.raises(WeightsError, match="no such weights file"):
        InceptionConfig(weights_file=tmp_path / "absent.pth").weights()


def test_weights_that_are_no_tensors_are_refused(tmp_path):
    torch.save({"a": 1}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="mapping of names to tensors"):
        read_weights(tmp_path / "w.pth")


def test_only_inception_has_the_plain_names():
    config = FidelityConfig.model_validate({"extractor": {"kind": "inception"}})
    assert [config.extractor.score_name(m) for m in ("fid", "is", "kid")] == ["fid", "is", "kid"]
    assert FidelityConfig().extractor.score_name("fid") == "fd_efficientnet_lite0"
    assert FidelityConfig().extractor.score_name("recall") == "recall_efficientnet_lite0"


def test_versions_that_belong_together_are_named():
    assert "torch 2.13 with torchvision 0.28" in pair_advice("2.13.0+cpu", "0.29.1")


@pytest.mark.slow
def test_broken_torchvision_stops_fidelity_alone_and_says_what_to_install(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    program = (
        "import components.evaluation.extractors, components.evaluation.gate, components.evaluation.restoration\n"
        "import sys; assert not {'torchvision', 'torch_fidelity'} & set(sys.modules)\n"
        "import components.evaluation.fidelity"
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert "ImportError: torchvision" in done.stderr
    assert "from one index" in done.stderr
