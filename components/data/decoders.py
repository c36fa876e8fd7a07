"""Decoders: what turns files into prepared pictures, several at once, in processes that a file may break."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

from components.data.decoder_process import ANSWER, COUNT, LENGTH, READY, Limits
from components.data.preparation import Preparation, Prepared
from components.data.sources import Problem
from components.launch.forkserver import can_fork, kept

Made = Prepared | Problem
"""What became of one file."""

_PROCESS, _ITS_IMPORTS = "components.data.decoder_process", ("components.data.preparation",)
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_OVER_TIME = {signal.SIGPROF, signal.SIGALRM}
_ENDING_S = 5.0
_USUAL = Limits()


class Decoders:
    """Prepares chunks of files; what is made of them does not depend on the number of workers.

    Guarded, each worker is a process of its own: a file that crashes it, or costs more time or memory than `limits`
    say, is refused, and the next one goes to a new process. Otherwise each is a thread, which costs nothing to start;
    that is for pictures which this program has encoded itself.
    """

    def __init__(self, preparation: Preparation, workers: int, *, guarded: bool, limits: Limits = _USUAL) -> None:
        """Start nothing yet.

        Args:
            preparation: What to make of each file.
            workers: How many are at work at once.
            guarded: Whether a file may break its worker.
            limits: What one file may cost where it may.
        """
        self._pool = ThreadPoolExecutor(workers)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(workers):
            self._idle.put(_Guarded(preparation, limits) if guarded else _Unguarded(preparation))

    def submit(self, chunk: Sequence[bytes]) -> "Future[list[Made]]":
        """Return what will have been made of each file of a chunk, in its order.

        The future raises RuntimeError where no process can be started.
        """
        return self._pool.submit(self.prepared, list(chunk))

    def prepared(self, chunk: list[bytes]) -> list[Made]:
        """Return what is made of each file of a chunk, in its order, waiting for a worker that is idle."""
        worker = self._idle.get()
        try:
            return worker.prepared(chunk)
        finally:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def end(self) -> None:
        """End what was started."""
        self._pool.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().end()


class _Worker(Protocol):
    def prepared(self, chunk: list[bytes]) -> list[Made]: ...

    def end(self) -> None: ...


class _Unguarded:
    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation

    def prepared(self, chunk: list[bytes]) -> list[Made]:
        return [self._preparation.prepare(content) for content in chunk]

    def end(self) -> None:
        """Leave nothing behind, as there is nothing."""


class _Guarded:
    """A process, and a new one whenever it has died."""

    def __init__(self, preparation: Preparation, limits: Limits) -> None:
        self._limits = limits
        self._arguments = (preparation.model_dump_json(), limits.model_dump_json())
        self._process: _Process | None = None
        self._status, self._words = 0, ""

    def prepared(self, chunk: list[bytes]) -> list[Made]:
        made = self._tried(chunk)
        while len(made) < len(chunk):
            killer = chunk[len(made)]
            # A signal may have come from outside, as when the machine ran out of memory: so one is not enough.
            by_signal = self._status < 0 and -self._status not in _OVER_TIME
            made += (self._tried([killer]) if by_signal else []) or [self._refused()]
            made += self._tried(chunk[len(made) :])
        return made

    def end(self) -> None:
        if self._process is not None:
            self._status, self._words = self._process.end()
            self._process = None

    def _tried(self, chunk: list[bytes]) -> list[Made]:
        """Return what was made before the process died, if it did, of which `_status` and `_words` then tell."""
        if not chunk:
            return []
        self._process = self._process or _Process(self._arguments)
        made = self._process.prepared(chunk)
        if len(made) < len(chunk):
            self.end()
        return made

    def _refused(self) -> Problem:
        if -self._status == signal.SIGPROF:
            return Problem("took_too_long", f"not decoded after {self._limits.cpu_s:g} s of a core")
        if -self._status == signal.SIGALRM:
            return Problem("took_too_long", f"not decoded after {self._limits.wall_s:g} s")
        how = signal.Signals(-self._status).name if self._status < 0 else self._words or f"exit code {self._status}"
        return Problem("crashed_the_decoder", f"it ended with {how}")


class _Process:
    """One process of `decoder_process.py`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            _command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words,
            start_new_session=True,  # Ctrl-C is for who asks, and then closes the input
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        if self._answers.read(len(READY)) != READY:
            status, words = self.end()
            raise RuntimeError(f"a process that decodes images did not start (exit code {status}): {words}")

    def prepared(self, chunk: list[bytes]) -> list[Made]:
        """Return what is made of the files of a chunk, or of the first ones if the process dies of the next."""
        try:
            self._requests.write(COUNT.pack(len(chunk)) + b"".join(LENGTH.pack(len(content)) for content in chunk))
            for content in chunk:
                self._requests.write(content)
            self._requests.flush()
        except BrokenPipeError:
            return []
        made: list[Made] = []
        while len(made) < len(chunk) and (answer := self._answer()):
            made.append(answer)
        return made

    def end(self) -> tuple[int, str]:
        """End the process, if it has not ended, and return its exit status and the last line of what it said."""
        try:
            self._process.communicate(timeout=_ENDING_S)  # closes its input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        with self._words as said:
            said.seek(0)
            lines = said.read().decode("utf-8", "backslashreplace").split("\n")
        return self._process.returncode, next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _answer(self) -> Made | None:
        """Return the next answer, or None where the process died before it had said it all."""
        head = self._answers.read(ANSWER.size)
        if len(head) < ANSWER.size:
            return None
        lengths = ANSWER.unpack(head)
        text, image = (self._answers.read(length) for length in lengths)
        if (len(text), len(image)) != lengths:
            return None
        facts = json.loads(text)
        if "reason" in facts:
            return Problem(facts["reason"], facts["found"])
        width, height = facts["size"]
        return Prepared(facts["key"], image, facts["format"], (width, height))


def _command(arguments: Sequence[str]) -> list[str]:
    if not can_fork():
        return [sys.executable, "-m", _PROCESS, *arguments]
    return kept(_ITS_IMPORTS, {**os.environ, **_ALONE}, Path(os.devnull)).command(_PROCESS, arguments)
