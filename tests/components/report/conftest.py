"""A realistic page made of drawn pictures."""

from datetime import UTC, datetime

import numpy as np
import pytest

from components.evaluation.gate import Decision
from components.evaluation.protocol import Protocol, Score
from components.pictures import figures
from components.report import restoration
from components.report.content import (
    AreaBin,
    CorruptionCard,
    CurvePlot,
    DataCard,
    Fact,
    FreshScores,
    Ground,
    Line,
    LineageStep,
    Link,
    ModelPage,
    PageContent,
    Picture,
    PictureStrip,
    RejectedFile,
    RunFacts,
    Snapshot,
    StripFrame,
    Subject,
)
from components.report.costs import StageCost
from components.report.findings import Compared, DriftCard, OddImages, QualityCard


def drawings(count: int, size: int, seed: int) -> figures.Pictures:
    """Return discs and bars in flat colours on white, the same for equal seeds."""
    rng = np.random.Generator(np.random.Philox(seed))
    y, x = np.mgrid[:size, :size] / size
    images = np.full((count, size, size, 3), 255, dtype=np.uint8)
    for image in images:
        for _ in range(3):
            (cx, cy), radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.1, 0.3)
            shape = np.hypot(x - cx, y - cy) < radius
            if rng.random() < 0.4:
                shape = (abs(x - cx) < radius) & (abs(y - cy) < radius / 3)
            image[shape] = rng.integers(30, 235, 3)
    return images


def noisy(images: figures.Pictures, amount: float, seed: int) -> figures.Pictures:
    rng = np.random.Generator(np.random.Philox(seed))
    return np.clip(images + rng.normal(0, amount, images.shape), 0, 255).astype(np.uint8)


def holes(count: int, size: int) -> np.ndarray:
    missing = np.zeros((count, size, size), dtype=bool)
    for place in range(count):
        start = size // 8 + place * size // 40
        missing[place, start : start + size // 3, size // 4 : size // 4 + size // 2] = True
    return missing


def scores(shift: float, *, reference: str = "c41a90be23f7d15508ee") -> tuple[Score, ...]:
    """Return restoration scores that get worse as `shift` grows."""
    protocol = Protocol(
        metric="mean over pictures", implementation="kintsugi restoration 1", reference=reference, samples=512,
        settings={"draws": 2_000},
    )  # fmt: skip
    table = (
        ("psnr_hole", 24.31 - shift, 0.28, "higher"),
        ("psnr_composite", 31.94 - shift, 0.31, "higher"),
        ("ssim_hole", 0.871 - shift / 40, 0.0062, "higher"),
        ("l1_hole", 0.0412 + shift / 120, 0.0011, "lower"),
    )
    return tuple(
        Score(name=name, value=value, low=value - half, high=value + half, better=better, protocol=protocol)
        for name, value, half, better in table
    )


def falling(name: str, start: float, rate: float, seed: int, points: int = 60) -> Line:
    rng = np.random.Generator(np.random.Philox(seed))
    images = np.linspace(2_000, 400_000, points)
    values = start * np.exp(-images / rate) + 0.04 + rng.normal(0, 0.004, points)
    return Line(name=name, points=tuple(zip(images.tolist(), np.abs(values).tolist(), strict=True)))


def picture_of(images: figures.Pictures, alt: str, caption: str = "", columns: int | None = None) -> Picture:
    return Picture(content=figures.encode_within(figures.grid(images, columns)), alt=alt, caption=caption)


def inpainter(quality: float = 14.0, name: str = "inpainter", rows: int = 6, size: int = 64) -> ModelPage:
    truth, missing = drawings(rows, size, 1), holes(rows, size)
    corrupted = np.where(missing[..., None], np.uint8(127), truth)
    restored = noisy(truth, quality, 2)
    mended = np.where(missing[..., None], restored, corrupted)
    baselines = (("telea", 2.1), ("harmonic", 2.6), ("biharmonic", 3.4), ("mean_fill", 8.7))
    return ModelPage(
        name=name,
        version="7",
        decision=Decision(
            verdict="promote",
            reasons=(
                "psnr_hole 24.31 dB is above the champion's 23.60 dB by 0.71 dB; the rule asks for 0.20 dB",
                "better than every baseline on psnr_hole",
            ),
        ),
        facts=(
            Fact(label="Network", value="gated_unet, width 32"),
            Fact(label="Parameters", value="3.1 million"),
            Fact(label="Images seen", value="400,000"),
            Fact(label="Training time", value="18 min 4 s"),
        ),
        subjects=(
            Subject(name="inpainter", role="model", scores=scores(quality / 100)),
            Subject(name="version 6", role="champion", scores=scores(0.71)),
            *(Subject(name=title, role="baseline", scores=scores(shift)) for title, shift in baselines),
        ),
        ground=Ground(
            name="evaluation set 2",
            facts="512 damaged, of 620 held-out images of 64 px, pinned 2026-11-03 by ann",
            is_pinned=True,
        ),
        fresh=FreshScores(
            ground=Ground(
                name="today's data",
                facts="512 damaged, of 811 held-out images of 64 px, of the night's own data",
                is_pinned=False,
            ),
            subjects=(
                Subject(name="inpainter", role="model", scores=scores(quality / 100 - 0.3, reference=f"{name}-fresh")),
                Subject(name="version 6", role="champion", scores=scores(0.44, reference=f"{name}-fresh")),
            ),
        ),
        charted=("psnr_hole", "l1_hole"),
        costs=(
            StageCost(
                stage="train",
                wall_s=5400,
                core_s=16_200,
                card_s=10_800,
                images=400_000,
                data_wait=0.125,
                peak_bytes=3.2e9,
                peak_card_bytes=11e9,
                written_bytes=52_000_000,
            ),
            StageCost(stage="evaluate", wall_s=90, core_s=180, card_s=0, peak_bytes=8e8, written_bytes=900_000),
        ),
        panels=restoration.panels_of(
            [
                ("Truth", truth),
                ("Corrupted", corrupted),
                ("Restored", restored),
                ("Composite", mended),
                ("Error ×4", figures.difference(truth, mended)),
            ],
            [f"1F{600 + place:03X}" for place in range(rows)],
        ),
        plots=(
            CurvePlot(
                title="Loss", unit="L1", log=True, curves=(falling("hole", 0.5, 6e4, 3), falling("known", 0.2, 4e4, 4))
            ),
            CurvePlot(title="Adversarial loss", curves=(falling("adversarial", 0.9, 9e4, 5),)),
        ),
    )


def gan() -> ModelPage:
    images = drawings(16, 32, 8)
    protocol = Protocol(
        metric="Fréchet distance of pooled features",
        implementation="torch-fidelity 0.4.0",
        reference="test",
        samples=401,
    )
    score = Score(name="fd_efficientnet_lite0", value=61.2, low=60.1, high=62.4, better="lower", protocol=protocol)
    champion = score.model_copy(update={"value": 60.4, "low": 59.3, "high": 61.6})
    other = score.model_copy(update={"value": 318.0, "low": 312.0, "high": 323.0})
    return ModelPage(
        name="gan",
        decision=Decision(
            verdict="reject",
            reasons=("fd_efficientnet_lite0 61.2 is not below the champion's 60.4 by the margin of 2.0",),
        ),
        subjects=(
            Subject(name="gan", role="model", scores=(score,)),
            Subject(name="version 3", role="champion", scores=(champion,)),
            Subject(name="random", role="baseline", scores=(other,)),
        ),
        samples=(
            picture_of(
                noisy(images, 8, 1), "Sixteen drawings by the generator, with averaged weights", "Averaged weights"
            ),
            picture_of(
                noisy(images, 20, 2), "Sixteen drawings by the generator, with the last weights", "Last weights"
            ),
        ),
        plots=(
            CurvePlot(
                title="Losses", curves=(falling("generator", 0.9, 9e4, 5), falling("discriminator", 0.5, 8e4, 6))
            ),
            CurvePlot(
                title="fd_efficientnet_lite0",
                protocol=protocol.digest,
                curves=(falling("fd_efficientnet_lite0", 200, 9e4, 7, points=9),),
            ),
        ),
        strips=tuple(
            PictureStrip(
                title=f"Direction {number}",
                frames=tuple(
                    StripFrame(label=label, picture=picture_of(noisy(images, 9 * place, number), label))
                    for place, label in enumerate(("-2 deviations", "as drawn", "+2 deviations"))
                ),
            )
            for number in (1, 2)
        ),
        progress=tuple(
            Snapshot(
                images=seen,
                picture=picture_of(noisy(images, 90 - 20 * place, 3), f"Samples after {seen} images"),
            )
            for place, seen in enumerate((2_000, 50_000, 150_000, 400_000))
        ),
    )


def data_card() -> DataCard:
    return DataCard(
        source="OpenMoji 17.0.0, colour drawings",
        licence="CC BY-SA 4.0",
        digest="9b1f6c2ad0e84475bc31",
        size_px=64,
        found=4_292,
        accepted=4_011,
        duplicates=268,
        rejected={"not an image": 9, "too small": 4},
        splits={"train": 3_209, "validation": 401, "test": 401},
        examples=picture_of(drawings(24, 64, 11), "Twenty-four accepted training images", columns=8),
        rejected_files=(
            RejectedFile(name="color/618x618/1F9FF.png", reason="not an image: cannot identify image file"),
            RejectedFile(name="color/618x618/empty.png", reason="too small: 12 × 12 px, at least 32 × 32 px is needed"),
        ),
    )


def quality_card() -> QualityCard:
    shown = picture_of(drawings(6, 64, 13), "Images that are near-copies", columns=6)
    return QualityCard(
        digest="5494aa107e629b8fe236",
        images=4_011,
        odd=(
            OddImages(name="blank", images=0, words="the deviation of luma is below 0.02 of its range"),
            OddImages(name="near-copies", images=612, words="of another image", examples=shown),
        ),
        left_out=70,
        classes={"animals": {"train": 1_900, "test": 240}, "people": {"train": 1_309, "test": 161}},
    )


def drift_card() -> DriftCard:
    far = Compared(name="features", new=0.41, known=0.0, usual=(-0.01, 0.012), chance=0.002)
    return DriftCard(
        models=("openmoji-gan",),
        known="9b1f6c2ad0e84475bc31",
        verdict="drifted",
        reasons=("features: 0.41 of new images, 0 of those learnt from",),
        new_images=812,
        images=500,
        measures=(far, Compared(name="brightness", new=0.7, known=0.71, usual=(0.69, 0.73), chance=0.8)),
        classes=(far.model_copy(update={"name": "animals"}),),
        formats={"PNG": (0.4, 1.0), "JPEG": (0.6, 0.0)},
        file_px=(512, 618),
    )


@pytest.fixture(scope="session")
def content() -> PageContent:
    size = 64
    truth = drawings(8, size, 12)
    holed = np.where(holes(8, size)[..., None], np.uint8(127), truth)
    return PageContent(
        run=RunFacts(
            name="openmoji-64, weekly",
            finished=datetime(2026, 3, 1, 14, 5, tzinfo=UTC),
            config_digest="4f0c5b1e2d3a49876abc",
            command="kintsugi run configs/quickstart.yaml --set dataset.size=64",
            environment=(
                Fact(label="Commit", value="928e7bd6c1"),
                Fact(label="Python", value="3.11.7"),
                Fact(label="torch", value="2.13.0, CPU"),
                Fact(label="Hardware", value="2 cores, 8 GB"),
            ),
            config="name: openmoji-64\ndataset:\n  size: 64\n  source: {kind: openmoji}\n",
        ),
        models=(inpainter(), gan(), ModelPage(name="vae", facts=(Fact(label="Images seen", value="400,000"),))),
        data=data_card(),
        quality=quality_card(),
        drift=(drift_card(),),
        corruption=CorruptionCard(
            digest="c41a90be23f7d15508ee",
            seed=7,
            bins=(
                AreaBin(low=0.01, high=0.1, samples=128),
                AreaBin(low=0.1, high=0.2, samples=128),
                AreaBin(low=0.2, high=0.35, samples=128),
                AreaBin(low=0.35, high=0.5, samples=128),
            ),
            kinds={"boxes": 104, "strokes": 198, "walk": 110, "scatter": 100},
            examples=picture_of(holed, "Eight corrupted test images", columns=8),
        ),
        lineage=(
            LineageStep(kind="ShardSet", digest="9b1f6c2ad0e84475bc31", note="4,011 images of 64 px"),
            LineageStep(kind="CorruptionSet", digest="c41a90be23f7d15508ee", note="512 samples"),
            LineageStep(kind="Checkpoint", digest="0d77e0a25be14c9f8861", note="inpainter, 400,000 images"),
            LineageStep(kind="Scores", digest="ee18c2f09a7b4d5c6e10"),
        ),
        links=(
            Link(label="MLflow run", url="http://127.0.0.1:5000/#/experiments/1/runs/ab12"),
            Link(label="Checkpoint folder", url="../checkpoint/0d77e0a25be14c9f8861"),
        ),
    )
