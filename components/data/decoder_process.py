"""A process that prepares files and may die of one: its memory and its time for a file have limits.

Use: python -m components.data.decoder_process PREPARATION LIMITS, both JSON; `decoders.py` starts it. From standard
input it reads chunks: the number of files, their lengths, their bytes. Of each file it writes to standard output, as
soon as that is known: the length of a JSON text and of an image, then both. When the input ends, so does it.
"""

import json
import os
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from components.data.preparation import Preparation, Prepared
from components.data.sources import Problem
from components.section import Section

READY = b"ready"
"""Written once the process can be asked, so that one that cannot start is not taken for a file's doing."""
COUNT, LENGTH, ANSWER = struct.Struct("!I"), struct.Struct("!Q"), struct.Struct("!IQ")


class Limits(Section):
    """What one file may cost before its process is ended."""

    cpu_s: float = 30.0
    """Seconds of a core. The slowest formats decode the largest picture that is taken in a few."""
    wall_s: float = 900.0
    """Seconds in which it must be done, however busy the machine is."""
    bytes_per_pixel: int = 24
    """Memory by the dataset's largest picture: six copies of four channels."""
    fixed_bytes: int = 2**30
    """Memory beside it, among it the file itself."""


def main() -> None:
    """Serve until the input ends."""
    preparation, limits = Preparation.model_validate_json(sys.argv[1]), Limits.model_validate_json(sys.argv[2])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak between the answers
    _limit_memory(limits.fixed_bytes + limits.bytes_per_pixel * preparation.max_image_pixels)
    warnings.simplefilter("ignore")  # Pillow's, of odd files, on top of what is answered
    answers.write(READY)
    answers.flush()
    while head := requests.read(COUNT.size):
        for content in _contents(requests, COUNT.unpack(head)[0]):
            with _deadline(limits):
                made = preparation.prepare(content)
            _answer(answers, made)


def _contents(requests: BinaryIO, count: int) -> Iterator[bytes]:
    """Yield the files of one chunk, all of which is read first: who asks listens only when all is said."""
    lengths = [LENGTH.unpack(requests.read(LENGTH.size))[0] for _ in range(count)]
    contents = [requests.read(length) for length in lengths]
    while contents:
        yield contents.pop(0)


def _answer(answers: BinaryIO, made: Prepared | Problem) -> None:
    image = made.image if isinstance(made, Prepared) else b""
    if isinstance(made, Prepared):
        facts = {"key": made.key, "format": made.original_format, "size": made.original_size}
    else:
        facts = {"reason": made.reason, "found": made.found}
    text = json.dumps(facts).encode()
    answers.write(ANSWER.pack(len(text), len(image)) + text)
    answers.write(image)
    answers.flush()


@contextmanager
def _deadline(limits: Limits) -> Iterator[None]:
    """Let the kernel end this process (SIGPROF, SIGALRM) if the block takes too long; a decoder heeds nothing else."""
    signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory(more_bytes: int) -> None:
    """Let this process take so much more memory than it has now, and leave no core file when it dies."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # where there is no /proc, or a lower limit is set already
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
