"""What each rank of test_fidelity_over_processes runs: evaluations of a small GAN and VAE, and of the baselines."""

import sys
from pathlib import Path

import numpy as np
import torch

from components import distributed
from components.data import ShardSet
from components.evaluation.evidence import Evidence
from components.evaluation.generation import GenerationEvaluation
from components.evaluation.protocol import ScoreTable
from components.launch import Reporting
from components.models.dcgan import DcganGeneratorConfig
from components.models.vae import ConvVaeConfig
from components.objectives.reconstruction import FixedSigma
from components.recipes.gan import GanProducer
from components.recipes.vae import CodedVae, VaeProducer
from components.seeding import initialising, numpy_generator

SIZE = 16
EVALUATION = GenerationEvaluation.model_validate(
    {
        "samples": 50,
        "fidelity": {
            "extractor": {"kind": "efficientnet_lite0", "resolution": 32},
            "batch": 16,
            "interval_groups": 5,
            "kid_subsets": 5,
        },
    }
)


class Known(Evidence):
    """Evidence whose images need no shards."""

    test = numpy_generator(0, "test").integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
    test_digest = "test"
    training_digest = "train"


def tables(cache):
    """Return the tables of scores and the pictures behind them."""
    shards = ShardSet.model_construct(size=SIZE)  # scores ask for no more of it
    evidence = Known(shards, Known.test, None, "", (), seed=3, device=torch.device("cpu"), cache=cache)
    with initialising(0, "networks"):
        gan = GanProducer(DcganGeneratorConfig(latent=8, width=4).build(SIZE), 8, 1.0)
        vae = VaeProducer(CodedVae(ConvVaeConfig(latent=8, width=4).build(SIZE), FixedSigma()))
    return {
        "gan": EVALUATION.measure(gan, evidence),
        "vae": EVALUATION.measure(vae, evidence),
        "baselines": EVALUATION.measure_baselines(evidence),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Reporting(), distributed.process_group():
        for name, measured in tables(folder / "cache").items():
            if distributed.is_main():
                ScoreTable(subject=name, rows=measured.rows).write(folder / f"{name}.json")
                np.savez(folder / f"{name}.npz", **measured.pictures)
