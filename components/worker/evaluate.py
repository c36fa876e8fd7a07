"""A rank's evaluation: from a job to scores and pictures."""

import json

import numpy as np

from components import distributed
from components.data import ShardSet, decoded_pixels, read_corruption_set
from components.data.frozen import CorruptionSet
from components.data.statistics import PixelStatistics
from components.evaluation.evidence import Evidence
from components.evaluation.protocol import ScoreTable
from components.pictures.encoding import png
from components.recipes.export import load_producer
from components.training.meter import Meter
from components.worker.jobs import COST, EvaluateJob

_CACHE_BYTES = 4 * 2**30


def run_evaluation(job: EvaluateJob, world: distributed.World) -> None:
    """Measure what the job names, over all ranks; the main rank writes the scores and what they were taken from."""
    meter = Meter(0, world.device)
    shards = ShardSet.read(job.shards)
    frozen_set = CorruptionSet.read(job.corruption_set) if job.corruption_set else None
    evidence = Evidence(
        shards=shards,
        training=decoded_pixels(shards, "train", job.cache, _CACHE_BYTES),
        frozen=read_corruption_set(frozen_set) if frozen_set else None,
        frozen_digest=frozen_set.digest if frozen_set else "",
        bins=frozen_set.bins if frozen_set else (),
        seed=job.seed,
        device=world.device,
        cache=job.cache,
        statistics=PixelStatistics.read(job.statistics).arrays() if job.statistics else None,
        images=job.images,
    )
    if job.export is None:
        measured = job.evaluation.measure_baselines(evidence)
    else:
        measured = job.evaluation.measure(load_producer(job.export, world.device), evidence)
    cost = meter.take(0)
    if not distributed.is_main():
        return
    (job.folder / COST).write_text(json.dumps(cost))
    ScoreTable(subject=job.subject, rows=measured.rows).write(job.folder / "scores.json")
    (job.folder / "pictures").mkdir()
    for name, picture in measured.pictures.items():
        (job.folder / "pictures" / f"{name}.png").write_bytes(png(picture, smallest=True))
    if measured.panels:
        np.savez_compressed(job.folder / "panels.npz", allow_pickle=False, **dict(measured.panels))
    if measured.strips:
        frames = {strip.title: np.stack(strip.frames) for strip in measured.strips}
        np.savez_compressed(job.folder / "strips.npz", allow_pickle=False, places=measured.strips[0].places, **frames)
