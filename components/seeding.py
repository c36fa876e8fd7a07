"""Named, independent random streams from one seed: the only place where generators are made."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream_key(seed: int, *names: str | int) -> int:
    """Return the 128-bit key of the stream `names` under `seed`; equal names give equal keys on any machine."""
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return NumPy's counter-based Philox generator of the stream `names`, e.g. ("mask", sample_key, pass)."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, *names)))


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator of the stream `names`; draw on the CPU and move, so that no device changes the numbers."""
    generator = torch.Generator(device="cpu")
    generator.manual_seed(stream_key(seed, *names) % 2**63)
    return generator


def seed_step(seed: int, *names: str | int) -> None:
    """Seed torch's global generator for one training step.

    Only for layers such as dropout that take no generator. Derived, never stored: a resumed run draws what an
    uninterrupted one would have drawn.
    """
    torch.manual_seed(stream_key(seed, *names) % 2**63)


@contextmanager
def initialising(seed: int, *names: str | int) -> Iterator[None]:
    """Make the networks built inside the block start from weights that depend on the stream `names` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(seed, *names) % 2**63)
        yield
