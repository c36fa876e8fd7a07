"""Drawing: the damage of batches to come, in this process or in others, which spares the training Python's lock."""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from components.corruption.drawing_process import LENGTH, READY
from components.corruption.mix import CorruptionMix
from components.launch.forkserver import can_fork, kept

Pictures = UInt8[np.ndarray, "images side side 3"]
Damaged = tuple[UInt8[np.ndarray, "images side side 3"], Bool[np.ndarray, "images side side"]]
"""What is shown, and where it is missing."""
Drawing = Callable[[Pictures, Sequence[str], Sequence[int]], Damaged]
"""Damages images, given their keys and how often each was seen before; may be called by several threads."""

_PROCESS, _ITS_IMPORTS = "components.corruption.drawing_process", ("components.corruption.mix",)
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_ENDING_S = 5.0


@contextmanager
def drawing(mix: CorruptionMix | None, seed: int, processes: int) -> Iterator[Drawing | None]:
    """Yield what damages images; which damage one gets depends on seed, pass and key alone, wherever it is drawn.

    Args:
        mix: What may happen to an image; None: nothing, and None is yielded.
        seed: Seed of the run.
        processes: How many draw, which end with the block or with this process; none: the thread that asks does.
    """
    if mix is None:
        yield None
    elif not processes:
        yield lambda images, keys, passes: mix.corrupt_batch(images, keys, passes, seed)
    else:
        drawers = _Drawers((mix.model_dump_json(), str(seed)), processes)
        try:
            yield drawers.damaged
        finally:
            drawers.end()


class _Drawers:
    """Processes, and a new one wherever one is lost: what it drew is drawn again."""

    def __init__(self, arguments: Sequence[str], count: int) -> None:
        self._arguments = arguments
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(_Process(arguments))

    def damaged(self, images: Pictures, keys: Sequence[str], passes: Sequence[int]) -> Damaged:
        """Return what is shown of each image, and where it is missing.

        Raises:
            RuntimeError: No process can be started, or a new one was lost, too.
        """
        process = self._idle.get()
        try:
            with suppress(EOFError, BrokenPipeError):
                return process.damaged(images, keys, passes)
            process.end()
            process = _Process(self._arguments)
            return process.damaged(images, keys, passes)
        except (EOFError, BrokenPipeError) as error:
            raise RuntimeError(f"a process that draws damage was lost twice: {process.end()}") from error
        finally:
            self._idle.put(process)

    def end(self) -> None:
        while not self._idle.empty():
            self._idle.get().end()


class _Process:
    """One process of `drawing_process.py`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            _command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the training, which then closes the input
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._is_ready = False

    def damaged(self, images: Pictures, keys: Sequence[str], passes: Sequence[int]) -> Damaged:
        """Return what is made of the images.

        Raises:
            EOFError, BrokenPipeError: The process has ended.
        """
        if not self._is_ready and self._answers.read(len(READY)) != READY:
            raise EOFError
        self._is_ready = True
        asked = json.dumps({"shape": images.shape, "keys": list(keys), "passes": list(passes)}).encode()
        self._requests.write(LENGTH.pack(len(asked)) + asked)
        self._requests.write(np.ascontiguousarray(images).data)
        self._requests.flush()
        return self._answer(images.shape, np.uint8), self._answer(images.shape[:3], np.bool_)

    def end(self) -> str:
        """End the process, if it has not ended, and say how it ended."""
        with suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        return f"exit code {self._process.returncode}"

    def _answer(self, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
        content = bytearray(self._answers.read(int(np.prod(shape))))
        if len(content) < np.prod(shape):
            raise EOFError
        return np.frombuffer(content, kind).reshape(shape)


def _command(arguments: Sequence[str]) -> list[str]:
    if not can_fork():
        return [sys.executable, "-m", _PROCESS, *arguments]
    server = kept(_ITS_IMPORTS, {**os.environ, **_ALONE}, Path(os.devnull))
    return server.command(_PROCESS, arguments, tied=True)
