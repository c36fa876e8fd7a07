"""Decoding: who prepares chunks of files: decoders of this process, or those of an executor's workers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from components.data.decoders import Decoders, Made
from components.data.preparation import Preparation
from components.executors import Answer, Crew, ExecutorConfig, LocalExecutor, Packed

_NOTHING: "Future[list[Made]]" = Future()
_NOTHING.set_result([])


@dataclass(frozen=True)
class Decoding:
    """Where chunks of files are sent to be prepared, and in which portions."""

    submit: Callable[[Sequence[bytes]], Answer[list[Made]]]
    at_once: Callable[[], int]
    """How many chunks to have under way."""
    chunk_bytes: int
    """A chunk is full when it has so many."""


@contextmanager
def decoding(preparation: Preparation, executor: ExecutorConfig, *, guarded: bool) -> Iterator[Decoding]:
    """Give what prepares chunks of files as long as the block runs.

    Args:
        preparation: What to make of each file.
        executor: Where.
        guarded: Whether a file may break its decoder, which then is a process of its own, wherever that is.
    """
    if isinstance(executor, LocalExecutor):
        with Decoders(preparation, executor.at_work, guarded=guarded) as decoders:
            yield Decoding(decoders.submit, lambda: executor.at_work + 1, 16 * 2**20)
        return
    with executor.open() as crew:
        # Smaller ones, for a scheduler holds all that are under way.
        yield Decoding(_sender(crew, preparation, guarded=guarded), lambda: crew.at_once, 4 * 2**20)


def _sender(crew: Crew, preparation: Preparation, *, guarded: bool) -> Callable[[Sequence[bytes]], Answer[list[Made]]]:
    def submit(chunk: Sequence[bytes]) -> Answer[list[Made]]:
        if not chunk:  # all of it is known
            return _NOTHING
        return crew.submit(prepared_here, preparation, Packed.of(chunk), guarded)

    return submit


class _Kept(threading.local):
    """A thread's decoder, from one chunk to the next: starting one takes as long as decoding a few files."""

    made_for: tuple[Preparation, bool] | None = None
    decoder: Decoders

    def decoder_for(self, preparation: Preparation, *, guarded: bool) -> Decoders:
        if self.made_for != (preparation, guarded):
            if self.made_for is not None:
                self.decoder.end()
            self.decoder = Decoders(preparation, 1, guarded=guarded)
            self.made_for = (preparation, guarded)
        return self.decoder


_KEPT = _Kept()


def prepared_here(preparation: Preparation, chunk: Packed, guarded: bool) -> list[Made]:  # noqa: FBT001 - handed over by place
    """Return what is made of each file of a chunk, in this thread of a worker.

    Its decoder stays for the next chunk, and ends with the worker or when that prepares for another dataset.
    """
    return _KEPT.decoder_for(preparation, guarded=guarded).prepared(list(chunk.pieces()))
