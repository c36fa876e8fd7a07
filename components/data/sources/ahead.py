"""Ahead: items of a source fetched over a network, several at once, handed on in order and within a bound of memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from components.data.sources.item import Listed, RawItem

_AT_ONCE = 16
_MOST_BYTES = 64 * 2**20

Fetch = Callable[[Listed], RawItem]


def fetched_ahead(
    listed: Iterable[Listed], fetch: Fetch, size_of: Callable[[Listed], int], at_once: int = _AT_ONCE
) -> Iterator[RawItem]:
    """Yield what `fetch` makes of each file, in the order given.

    Args:
        listed: The files.
        fetch: Called in threads, for `at_once` files at a time.
        size_of: A file's bytes; together those on their way stay below 64 MiB, but for a single larger file.
        at_once: How many connections a server may see.
    """
    under_way: deque[tuple[int, Future[RawItem]]] = deque()
    waiting_bytes = 0
    pool = ThreadPoolExecutor(at_once)
    try:
        for one in listed:
            size = size_of(one)
            while under_way and (len(under_way) >= at_once or waiting_bytes + size > _MOST_BYTES):
                done, future = under_way.popleft()
                waiting_bytes -= done
                yield future.result()
            under_way.append((size, pool.submit(fetch, one)))
            waiting_bytes += size
        while under_way:
            yield under_way.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
