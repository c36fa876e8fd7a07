"""Inception's weights for tests: random ones, as the real ones need a download."""

import pytest
import torch
from torch import nn
from torch_fidelity import FeatureExtractorInceptionV3

from components.seeding import initialising


class Unloaded(FeatureExtractorInceptionV3):
    """torch-fidelity's network with the weights it begins with."""

    def load_state_dict(self, state_dict):
        return None


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """A weights file as torch-fidelity reads it, with batch norms that move, so that features keep a scale."""
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "nothing.pth")
    with initialising(0, "inception"):
        network = Unloaded("unloaded", ["2048"], feature_extractor_weights_path=str(folder / "nothing.pth"))
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.8, 1.2)
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"
