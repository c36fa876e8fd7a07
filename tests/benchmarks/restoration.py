"""One trained restorer beside classical peers, by kind and severity of damage: `restoration.py EXPORT CONFIG ZIP`.

Judged on photographs that CONFIG holds out for tests, the first by key, each damaged by one kind at a time. Peers are
told more than the restorer, which is told nothing: the noise's deviation, the blur's kernel, the factor of low
resolution, the scratches' mask; other settings of theirs are those that do best on other photographs of the same set.
BM3D is measured where it is installed (`pip install bm3d`): `peers.txt` does not name it, for its licence is for
non-commercial use alone.
"""

import argparse
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage import restoration as classical
from skimage.util import img_as_float

from components.baselines.biharmonic import Biharmonic
from components.config import load
from components.corruption.blur import GaussianBlurConfig
from components.corruption.defects import ScratchesConfig
from components.corruption.degradation import DegradationSection, Degraded
from components.corruption.noise import GaussianNoiseConfig
from components.corruption.quality import JpegConfig, ResampleConfig
from components.data.preparation import Preparation, Prepared
from components.evaluation.restoration import restoration_scores
from components.recipes.export import load_producer
from components.seeding import numpy_generator

try:
    import bm3d
except ImportError:
    bm3d = None

SEED = 17
Picture = np.ndarray
Peer = Callable[[Picture, Degraded], Picture]
"""From the damaged picture in [0, 1] and what is known of the damage to the restored one in [0, 1]."""
DAMAGES: dict[str, DegradationSection] = {
    **{f"noise {s}": GaussianNoiseConfig(severity=s) for s in (1, 3, 5)},
    **{f"blur {s}": GaussianBlurConfig(severity=s) for s in (1, 3, 5)},
    **{f"JPEG {s}": JpegConfig(severity=s) for s in (1, 3, 5)},
    "half size": ResampleConfig(factor=2, enlarge="cubic"),
    "quarter size": ResampleConfig(factor=4, enlarge="cubic"),
    **{f"scratches {s}": ScratchesConfig(severity=s) for s in (1, 3, 5)},
}
JPEG_DEVIATIONS = (0.01, 0.02, 0.03, 0.05)


def held_out(config: Path, photos: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `count` test photographs by key, and as many of the next to choose settings of peers on."""
    dataset = load(config).dataset
    preparation, found = Preparation.of(dataset), {}
    with zipfile.ZipFile(photos) as archive:
        for name in archive.namelist():
            made = preparation.prepare(archive.read(name)) if not name.endswith("/") else None
            if isinstance(made, Prepared) and dataset.split.split_of(made.key) == "test":
                found[made.key] = cv2.imdecode(np.frombuffer(made.image, np.uint8), cv2.IMREAD_COLOR_RGB)
    pictures = np.stack([found[key] for key in sorted(found)[: 2 * count]])
    return pictures[:count], pictures[count:]


def kernel(deviation: float) -> np.ndarray:
    """Return the Gaussian that a blur of so many pixels multiplies by, as OpenCV cuts it off."""
    side = round(deviation * 6 + 1) | 1
    line = cv2.getGaussianKernel(side, deviation)
    return line @ line.T


def padded(work: Callable[[Picture], Picture]) -> Callable[[Picture], Picture]:
    """Return what works on each channel with its edges reflected, for peers that take them for periodic."""

    def restored(picture: Picture) -> Picture:
        wide = np.pad(picture, ((16, 16), (16, 16), (0, 0)), mode="reflect")
        channels = [work(wide[..., channel])[16:-16, 16:-16] for channel in range(3)]
        return np.stack(channels, axis=-1)

    return restored


def wiener(balance: float) -> Peer:
    """Return the deconvolution of Wiener and Hunt with the true kernel."""

    def peer(picture: Picture, known: Degraded) -> Picture:
        point = kernel(known.recipe["sigma_px"])
        return padded(lambda channel: classical.wiener(channel, point, balance, clip=False))(picture)

    return peer


def richardson_lucy(turns: int) -> Peer:
    """Return the deconvolution of Richardson and Lucy with the true kernel."""

    def peer(picture: Picture, known: Degraded) -> Picture:
        point = kernel(known.recipe["sigma_px"])
        return padded(lambda channel: classical.richardson_lucy(channel, point, turns, clip=False))(picture)

    return peer


def non_local_means(strength: float) -> Callable[[Picture, float], Picture]:
    """Return the non-local means, with the patches of scikit-image's example and a strength in deviations."""

    def peer(picture: Picture, deviation: float) -> Picture:
        return classical.denoise_nl_means(
            picture,
            patch_size=5,
            patch_distance=6,
            h=strength * deviation,
            sigma=deviation,
            fast_mode=True,
            channel_axis=-1,
        )

    return peer


def wavelets(picture: Picture, deviation: float) -> Picture:
    """Return the picture with small wavelets shrunk (BayesShrink)."""
    return classical.denoise_wavelet(picture, sigma=deviation, convert2ycbcr=True, rescale_sigma=True, channel_axis=-1)


def enlarged(by: int) -> Peer:
    """Return what enlarges the small picture, that of which the damaged one was made."""

    def peer(picture: Picture, known: Degraded) -> Picture:
        small = cv2.resize(
            known.recipe["truth"],
            None,
            fx=known.recipe["ratio"],
            fy=known.recipe["ratio"],
            interpolation=cv2.INTER_AREA,
        )
        return cv2.resize(small, picture.shape[1::-1], interpolation=by) / 255

    return peer


def with_mask(picture: Picture, known: Degraded) -> Picture:
    """Return the picture with scratches filled in, by one who is told where they are."""
    image = np.rint(picture * 255).astype(np.uint8)
    return Biharmonic().restore(image[None], known.missing[None])[0] / 255


def median(picture: Picture, known: Degraded) -> Picture:
    """Return medians of 3 x 3."""
    return cv2.medianBlur(np.rint(picture * 255).astype(np.uint8), 3) / 255


def peers_of(name: str, others: np.ndarray) -> dict[str, Peer]:
    """Return who is asked about a damage, with the settings that do best on other photographs."""
    kind = name.split()[0]
    if kind == "blur":
        return {
            "Wiener": best(name, [wiener(balance) for balance in (1e-5, 1e-4, 1e-3, 1e-2)], others),
            "Richardson-Lucy": best(name, [richardson_lucy(turns) for turns in (1, 3, 10, 30)], others),
        }
    if kind in {"half", "quarter"}:
        return {"bicubic": enlarged(cv2.INTER_CUBIC), "Lanczos": enlarged(cv2.INTER_LANCZOS4)}
    if kind == "scratches":
        return {"median": median, "biharmonic, told where": with_mask}
    deviations = JPEG_DEVIATIONS if kind == "JPEG" else (0.0,)
    denoisers = {"non-local means": [non_local_means(h) for h in (0.2, 0.4, 0.6, 0.9)], "wavelets": [wavelets]}
    peers = {
        who: best(name, [told(work, one) for work in works for one in deviations], others)
        for who, works in denoisers.items()
    }
    if bm3d is not None:  # it takes 2.4 s an image: with a deviation of JPEG's that is in the middle
        peers["BM3D"] = told(bm3d.bm3d_rgb, 0.03)
    return peers


def told(work: Callable[[Picture, float], Picture], otherwise: float) -> Peer:
    """Return what is told the noise's deviation, or another one where there is no noise."""
    return lambda picture, known: work(picture, known.recipe.get("sigma", otherwise))


def best(name: str, candidates: list[Peer], others: np.ndarray) -> Peer:
    """Return what errs least on other photographs with the same damage."""
    if len(candidates) == 1:
        return candidates[0]
    shown = damaged(name, others)
    errors = [((answers(one, shown) / 255.0 - others / 255.0) ** 2).mean() for one in candidates]
    return candidates[int(np.argmin(errors))]


def damaged(name: str, pictures: np.ndarray) -> list[Degraded]:
    """Return each picture with one damage, and what was done; the truth is kept for who enlarges the small one."""
    made = [DAMAGES[name].degrade(one, numpy_generator(SEED, name, row)) for row, one in enumerate(pictures)]
    for one, truth in zip(made, pictures, strict=True):
        one.recipe["truth"] = truth
    return made


def answers(peer: Peer, shown: list[Degraded]) -> np.ndarray:
    """Return what a peer makes of all pictures, as 8-bit ones."""
    made = [peer(img_as_float(one.image), one) for one in shown]
    return np.clip(np.rint(np.stack(made) * 255), 0, 255).astype(np.uint8)


def figures(restored: np.ndarray, truth: np.ndarray) -> str:
    """Return PSNR and SSIM with intervals in words."""
    scores = {
        one.name: one for one in restoration_scores(restored, truth, np.zeros(truth.shape[:3], bool), (), "bench")
    }
    psnr, ssim = scores["psnr_full"], scores["ssim_full"]
    return (
        f"{psnr.value:.2f} ({psnr.low:.2f} to {psnr.high:.2f}) | {ssim.value:.3f} ({ssim.low:.3f} to {ssim.high:.3f})"
    )


def rows(
    name: str, truth: np.ndarray, others: np.ndarray | None, ours: Callable[[np.ndarray], np.ndarray]
) -> Iterator[str]:
    """Yield the table's rows of one damage; without other photographs to choose their settings on, without peers."""
    shown = damaged(name, truth)
    pictures = np.stack([one.image for one in shown])
    ways = {"as it is": lambda: pictures, "**ours**": lambda: ours(pictures)}
    peers = {} if others is None else peers_of(name, others)
    ways |= {who: lambda peer=peer: answers(peer, shown) for who, peer in peers.items()}
    for who, way in ways.items():
        before = time.process_time()
        restored = way()
        spent = 1000 * (time.process_time() - before) / len(truth)
        yield f"| {name} | {who} | {figures(restored, truth)} | {spent:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="the restorer alone")
    parser.add_argument("--only", nargs="*", default=list(DAMAGES), help="which damages")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    producer = load_producer(asked.export)
    truth, others = held_out(asked.config, asked.photos, asked.images)
    print(f"{len(truth)} photographs of {truth.shape[1]} px, 95 % intervals over them")
    print("| damage | by | PSNR, dB | SSIM | ms an image |\n|---|---|---|---|---|")
    for name in asked.only:
        for row in rows(
            name, truth, others if asked.peers else None, lambda p: producer.restore(p, np.zeros(p.shape[:3], bool))
        ):
            print(row, flush=True)


if __name__ == "__main__":
    main()
