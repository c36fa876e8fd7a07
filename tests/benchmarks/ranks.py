"""What each process of `bench_scaling` does: `ranks.py IMAGES_PER_PROCESS FOLDER` trains and notes the time it took."""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from trainer import Trainer, loader

from components import distributed
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.recipes import GanConfig
from components.seeding import numpy_generator
from components.training.config import TrainingConfig

_ROWS = 32


def main() -> None:
    """Take a few steps untimed, then train on so many images per process."""
    torch.set_num_threads(1)
    each, folder = int(sys.argv[1]), Path(sys.argv[2])
    with distributed.process_group() as world, tempfile.TemporaryDirectory() as own:
        game = GanConfig(
            generator=DcganGeneratorConfig(latent=64, width=32, normalisation="none"),
            discriminator=DcganDiscriminatorConfig(width=32),
        )
        batch = _ROWS * world.processes
        training = TrainingConfig(images=batch, batch=batch, flip=False)
        noise = numpy_generator(1, "benchmark").integers(0, 256, (1280, 32, 32, 3), np.uint8)
        trainer = Trainer(game.build(32, seed=1), loader(noise, batch), training, Path(own))
        trainer.run(2 * batch)
        distributed.barrier()
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.run(each * world.processes)
        found = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        (folder / f"{world.rank}.json").write_text(json.dumps({**found, "images": trainer.state.images}))


if __name__ == "__main__":
    main()
