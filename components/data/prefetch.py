"""Prefetch: the tars of the window that batches come from, and of the next one, fetched beside the training."""

import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from components.artifacts.held import HeldFile
from components.data.batch import Batch
from components.data.cache import StreamedPixels
from components.data.chosen import ChosenPixels
from components.data.loader import Loader
from components.data.opened import StreamedTars
from components.data.order import Order, Samples, Share
from components.servers.patience import until

_AT_ONCE = 2
"""Tars on their way; each large one comes in several pieces at a time."""
_UNTIL_ROOM_S = 1.0
_END_WITHIN_S = 5.0
_log = logging.getLogger(__name__)


class PrefetchingLoader:
    """A loader whose tars lie in a shared store: they are here, as far as there is room, before batches need them."""

    def __init__(self, loader: Loader, order: Order, tars: StreamedTars) -> None:
        self._loader, self._order, self._tars = loader, order, tars

    def batches(self, first_image: int) -> Generator[Batch, None, None]:
        """Yield the batches that begin with image number `first_image`, without end."""
        with _fetching(self._tars) as tars:
            tars.want(self._order.tars(first_image))
            with closing(self._loader.batches(first_image)) as batches:
                for batch in batches:
                    tars.want(self._order.tars(batch.first_image))
                    yield batch


def prefetching(loader: Loader, samples: Samples, share: Share, seed: int) -> Loader | PrefetchingLoader:
    """Return the loader, with its tars fetched ahead where they lie in a shared store and the order allows it."""
    pixels = samples.pixels.whole if isinstance(samples.pixels, ChosenPixels) else samples.pixels
    if samples.windows is None or not isinstance(pixels, StreamedPixels) or not isinstance(pixels.tars, StreamedTars):
        return loader
    return PrefetchingLoader(loader, Order(samples, share, seed=seed), pixels.tars)


class _Wanted:
    """The tars that are wanted now, and those of them that are held."""

    def __init__(self, tars: StreamedTars) -> None:
        self._tars = tars
        self._change, self.ended = threading.Condition(), threading.Event()
        self._wanted: list[int] = []
        self._under_way: set[int] = set()
        self._held: dict[int, HeldFile] = {}

    def want(self, windows: tuple[Sequence[int], Sequence[int]]) -> None:
        """Want the tars of these windows, the first one's before the second one's, and none besides."""
        wanted = list(dict.fromkeys((*windows[0], *windows[1])))
        if wanted == self._wanted:
            return
        with self._change:
            self._wanted = wanted
            for number in self._held.keys() - set(wanted):
                self._held.pop(number).release()
            self._change.notify_all()

    def end(self) -> None:
        """Want none any more."""
        self.ended.set()
        self.want(((), ()))

    def fetch(self) -> None:
        """Fetch what is wanted until there is an end; what cannot be had is for those to complain of who need it."""
        with until(self.ended):
            try:
                while (number := self._next()) is not None:
                    self._keep(number, self._tars.hold(number))
            except OSError as error:
                if not self.ended.is_set():
                    _log.warning("tars are not fetched ahead any more: %s", error)

    def _next(self) -> int | None:
        with self._change:
            while not self.ended.is_set():
                for number in self._wanted:
                    if number not in self._held and number not in self._under_way:
                        self._under_way.add(number)
                        return number
                self._change.wait()
            return None

    def _keep(self, number: int, held: HeldFile | None) -> None:
        with self._change:
            self._under_way.discard(number)
            if held is None:
                self._change.wait(_UNTIL_ROOM_S)
            elif number in self._wanted:
                self._held[number] = held
            else:
                held.release()


@contextmanager
def _fetching(tars: StreamedTars) -> Iterator[_Wanted]:
    wanted = _Wanted(tars)
    threads = [threading.Thread(target=wanted.fetch, name="prefetch", daemon=True) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield wanted
    finally:
        wanted.end()
        for thread in threads:
            thread.join(_END_WITHIN_S)
