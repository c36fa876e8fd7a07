"""Processors: what a launch has for itself on this host, so that a night and a person's command do not share a card.

The rule, for all accounts and workspaces of a host. KINTSUGI_PROCESSORS says whether work is done `alone` or `shared`;
left out, it is alone where there are NVIDIA cards.

- Alone, on graphics cards: a launch holds as many cards as it has processes, one lock file a card, and sees no others.
  It takes all of them at once or none, so that two launches that need several never wait for each other. The locks are
  the pool: models of one run, and runs, go side by side as far as the cards reach.
- Alone, without cards: a run holds the host. Its own launches may go side by side, those of other processes wait.
- Shared: nobody holds anything or waits, and launches see all that this process sees.

The kernel lets go for who is killed.
"""

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from components.workspace import WorkspaceError, exclusive

_NVIDIA = Path("/proc/driver/nvidia/version")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_EVERY_S = 1.0
_PLAIN = re.compile(r"[^\w-]")


@contextmanager
def processors(purpose: str, wanted: int, waiting: Callable[[str], None]) -> Iterator[Mapping[str, str]]:
    """Hold what a launch of `wanted` processes computes on, and yield the variables that show it no more than that.

    Args:
        purpose: What is to be done, for those who wait.
        wanted: Graphics cards, where there are any; more than there are, as one for all.
        waiting: Called every second with who is in the way; what it raises ends the wait.

    Raises:
        WorkspaceError: KINTSUGI_PROCESSORS says something else.
    """
    with ExitStack() as held:
        if not _is_alone():
            yield {}
        elif known := cards():
            names = _once_free(lambda: _take_cards(held, known, min(wanted, len(known)), purpose), waiting)
            yield {} if len(names) == len(known) else {_VISIBLE: ",".join(names)}
        else:
            _once_free(lambda: _HOST.join(held, purpose), waiting)
            yield {}


def cards_to_hold() -> int:
    """Return how many graphics cards launches may hold one by one: none where work is shared."""
    return len(cards()) if _is_alone() else 0


def cards() -> dict[str, str]:
    """Return the graphics cards that this process sees: what CUDA_VISIBLE_DEVICES calls each, and its own name.

    They are counted by the driver's management library, for a CUDA context would stay as long as this process.
    """
    known = _uuids()
    stated = os.environ.get(_VISIBLE)
    if stated is None or not known:
        return {uuid: uuid for uuid in known}
    seen: dict[str, str] = {}
    for name in (part.strip() for part in stated.split(",")):
        if name.isdecimal() and int(name) < len(known):
            seen[name] = known[int(name)]  # in the order of the bus; cards of several kinds may be counted otherwise
        elif name.startswith("MIG-") or (name and any(uuid.startswith(name) for uuid in known)):
            seen[name] = next((uuid for uuid in known if uuid.startswith(name)), name)
        else:
            break  # as CUDA does: what follows a name it does not know is not seen
    return seen


def _uuids() -> list[str]:
    import pynvml  # here, for a command that launches nothing needs none

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []


def _is_alone() -> bool:
    stated = os.environ.get("KINTSUGI_PROCESSORS") or ("alone" if _NVIDIA.exists() else "shared")
    if stated not in {"alone", "shared"}:
        raise WorkspaceError(f"KINTSUGI_PROCESSORS is {stated!r}, expected alone or shared")
    return stated == "alone"


def _once_free(take: Callable[[], list[str]], waiting: Callable[[str], None]) -> list[str]:
    """Return what `take` took, as soon as nobody is in the way."""
    while True:
        try:
            return take()
        except WorkspaceError as error:
            waiting(str(error))
            time.sleep(_LOOK_EVERY_S)


def _take_cards(held: ExitStack, known: Mapping[str, str], wanted: int, purpose: str) -> list[str]:
    """Hold that many cards and return their names.

    Raises:
        WorkspaceError: Fewer are free; none is held.
    """
    busy: WorkspaceError | None = None
    with ExitStack() as taken:
        names: list[str] = []
        for name, card in known.items():
            try:
                taken.enter_context(exclusive(_locks() / f"card-{_PLAIN.sub('-', card)}.lock", purpose))
            except WorkspaceError as error:
                busy = error
                continue
            names.append(name)
            if len(names) == wanted:
                held.enter_context(taken.pop_all())
                return names
    raise busy or WorkspaceError(f"{purpose}: {wanted} graphics cards are not there")


class _Host:
    """The host as a whole: held for the first launch of this process, given back by the last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._launches = 0
        self._lock = ExitStack()

    def join(self, held: ExitStack, purpose: str) -> list[str]:
        """Hold the host until `held` is closed.

        Raises:
            WorkspaceError: Another process holds it.
        """
        with self._guard:
            if not self._launches:
                self._lock.enter_context(exclusive(_locks() / "processors.lock", purpose))
            self._launches += 1
        held.callback(self._leave)
        return []

    def _leave(self) -> None:
        with self._guard:
            self._launches -= 1
            if not self._launches:
                self._lock.close()


_HOST = _Host()


def _locks() -> Path:
    """Return a folder that all accounts of this host write to."""
    folder = Path(tempfile.gettempdir()) / "kintsugi-locks"
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o777)
    return folder
