"""What it costs to judge a generator: Fréchet distance, features and whole scores against torch-fidelity and sqrtm."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
import torch_fidelity
from efficientnet_lite_pytorch import EfficientNet
from harness import Effort, Figure, Peer, Timed
from torch import nn
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, FeatureExtractorInceptionV3, calculate_metrics
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from components.evaluation.extractors import EfficientNetLite0Config, FidelityConfig, read_weights
from components.evaluation.fidelity import Fidelity
from components.evaluation.gaussian import Normal, frechet_distance
from components.evaluation.inception import InceptionV3
from components.seeding import initialising, numpy_generator, torch_generator

_PEER = "torch-fidelity"


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the figures; what is known of the reference is kept on both sides where the peer can keep it."""
    yield _distance(effort)
    yield _inception_features(effort, folder)
    yield _scores(effort, folder)


def _distance(effort: Effort) -> Figure:
    width = effort.of(2048, 64)
    fakes, reals = (
        torch.randn(width + width // 4, width, generator=torch_generator(0, name), dtype=torch.float64)
        for name in ("fakes", "reals")
    )
    first, second = Normal.of(fakes), Normal.of(reals)
    known = [fid_features_to_statistics(features) for features in (fakes, reals)]
    (m1, s1), (m2, s2) = ((statistics["mu"], statistics["sigma"]) for statistics in known)

    def published() -> float:
        return fid_statistics_to_metric(*known, verbose=False)[torch_fidelity.KEY_METRIC_FID]

    def textbook() -> float:
        return float(((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(scipy.linalg.sqrtm(s1 @ s2)).real)

    def check() -> str:
        ours = frechet_distance(first, second)
        worst = max(abs(ours / peer() - 1) for peer in (published, textbook))
        assert worst < 1e-12, worst
        return f"distances differ by {worst:.0e}, relative"

    return Figure(
        f"Fréchet distance of {width} features, reference decomposed before",
        "distances",
        Timed("ours", 1, lambda: frechet_distance(first, second)),
        [Peer(Timed(_PEER, 1, published), 3), Peer(Timed("scipy sqrtm", 1, textbook), 15)],
        check,
    )


class _Unloaded(FeatureExtractorInceptionV3):
    def load_state_dict(self, state_dict: object) -> None:
        """Keep the weights it begins with: the real ones need a download."""


def _inception_features(effort: Effort, folder: Path) -> Figure:
    count = effort.of(16, 2)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=torch_generator(0, "images")).to(torch.uint8)
    nothing, weights = folder / "nothing.pth", folder / "weights.pth"
    torch.save({}, nothing)
    layers = ["2048", "logits_unbiased"]
    with initialising(0, "inception"):
        published = _Unloaded("inception", layers, feature_extractor_weights_path=str(nothing))
        for module in published.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    torch.save(published.state_dict(), weights)
    ours = InceptionV3(weights)

    def check() -> str:
        pairs = zip(_seen(ours, images), _seen(published, images), strict=True)
        worst = max(float((one - other).norm() / other.norm()) for one, other in pairs)
        assert worst < 5e-5, worst
        return f"features and logits differ by {worst:.0e}, relative"

    return Figure(
        "Inception's features of 32 px images, random weights, float32",
        "images",
        Timed("ours", count, lambda: _seen(ours, images)),
        [Peer(Timed(_PEER, count, lambda: _seen(published, images)), 1.5)],
        check,
    )


class _Published(FeatureExtractorBase):
    """The embedded network as its package has it, for torch-fidelity."""

    def __init__(self, name: str, features_list: list[str], **_settings: object) -> None:
        super().__init__(name, features_list)
        config = EfficientNetLite0Config()
        self.side = config.resolution
        self.network = EfficientNet.from_name("efficientnet-lite0", image_size=self.side).eval()
        self.network.load_state_dict(read_weights(config.weights()))

    @staticmethod
    def get_provided_features_list() -> tuple[str, str]:
        return "pooled", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "pooled"

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        resized = nn.functional.interpolate(images.float(), (self.side, self.side), mode="bilinear", antialias=True)
        pooled = self.network.extract_features((resized - 127) / 128).mean(dim=(2, 3))
        found = {"pooled": pooled, "logits": self.network._fc(pooled)}
        return tuple(found[name] for name in self.features_list)


class _Images(Dataset[torch.Tensor]):
    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.images[index].transpose(2, 0, 1).copy())


def _scores(effort: Effort, folder: Path) -> Figure:
    count = effort.of(688, 64)
    fakes, reals = (
        numpy_generator(0, name).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for name in ("fakes", "reals")
    )
    config = FidelityConfig(kid_subset_size=min(200, count))
    torch_fidelity.register_feature_extractor("published", _Published)

    def ours() -> dict[str, float]:
        judge = Fidelity(reals, config, "reals", seed=0, cache=folder / "ours")
        return {score.name: score.value for score in judge.scores(fakes)}

    def peer() -> dict[str, float]:
        return calculate_metrics(
            input1=_Images(fakes),
            input2=_Images(reals),
            fid=True,
            isc=True,
            kid=True,
            prc=True,
            feature_extractor="published",
            isc_splits=max(1, min(10, count // 50)),
            kid_subsets=50,
            kid_subset_size=config.kid_subset_size,
            rng_seed=0,
            cuda=False,
            cache=True,
            cache_root=str(folder / "peer"),
            input2_cache_name="reals",
            save_cpu_ram=True,
            verbose=False,
        )

    def check() -> str:
        found, wanted = ours()["fd_efficientnet_lite0"], peer()[torch_fidelity.KEY_METRIC_FID]
        assert abs(found / wanted - 1) < 1e-4, (found, wanted)
        return f"distances are {found:.6g} and {wanted:.6g}"

    return Figure(
        f"all scores of {count} images against {count}, reference kept; ours with intervals, the peer's without",
        "images",
        Timed("ours", count, ours),
        [Peer(Timed(_PEER, count, peer))],
        check,
    )


def _seen(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        seen: tuple[torch.Tensor, ...] = network(images)
        return seen
