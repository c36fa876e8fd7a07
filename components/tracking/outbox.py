"""Outbox: what a training wants in MLflow, kept in its folder before it is sent, so that it stands there once."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from components.tracking.journal import Entry, Journal


class Point(NamedTuple):
    """One number of one metric."""

    name: str
    value: float
    time_ms: int
    """Milliseconds since 1970, UTC."""
    images: int
    """Images seen: MLflow's step."""


class Picture(NamedTuple):
    """One picture of a grid that shows a name over time."""

    name: str
    file: Path
    time_ms: int
    """Milliseconds since 1970, UTC."""
    images: int
    """Images seen: MLflow's step."""


class Outbox:
    """Two journals in one folder: `points.jsonl` and `pictures.jsonl`.

    A resumed training reports again what came after its checkpoint. What has a point or a picture of that name at that
    number of images keeps the first one.
    """

    def __init__(self, folder: Path, since: int = 0) -> None:
        """Open the outbox in `folder`, to which nothing will be added before `since` images; then images never fall."""
        self.folder = folder
        self._points = Journal(folder / "points.jsonl")
        self._pictures = Journal(folder / "pictures.jsonl")
        self._lock = threading.Lock()
        self._known: dict[int, set[str]] = {}
        for entry in self._points.entries():
            self._note(entry["images"], entry["values"], since)
        for entry in self._pictures.entries():
            self._note(entry["images"], [_picture_key(entry["name"])], since)

    def add_points(self, values: Mapping[str, float], images: int) -> None:
        """Keep finite numbers by name, but for those that stand at `images` already.

        Raises:
            OSError: The disk is full.
        """
        with self._lock:
            new = {name: value for name, value in values.items() if name not in self._known.get(images, ())}
            if new:
                self._points.append({"at": _now_ms(), "images": images, "values": new})
                self._note(images, new, images)

    def add_picture(self, name: str, file: Path, images: int) -> None:
        """Keep a picture that lies in a file under the outbox's parent folder, unless one stands at `images` already.

        Raises:
            OSError: The disk is full.
        """
        with self._lock:
            if _picture_key(name) not in self._known.get(images, ()):
                place = str(file.relative_to(self.folder.parent))
                self._pictures.append({"at": _now_ms(), "images": images, "name": name, "file": place})
                self._note(images, [_picture_key(name)], images)

    def sync(self) -> None:
        """Make durable what was added: before the checkpoint is, from which a resumed training does not report it."""
        self._points.sync()
        self._pictures.sync()

    def points(self, most: int) -> Iterator[tuple[list[Point], int]]:
        """Yield the points that were not sent yet, about `most` at a time, with what `points_sent` takes."""
        batch: list[Point] = []
        place = 0
        for entry, after in self._points.unsent():
            points = [Point(name, value, entry["at"], entry["images"]) for name, value in entry["values"].items()]
            if batch and len(batch) + len(points) > most:
                yield batch, place
                batch = []
            batch, place = batch + points, after
        if batch:
            yield batch, place

    def points_sent(self, place: int) -> None:
        """Remember that MLflow has the points up to `place`."""
        self._points.mark_sent(place)

    def pictures(self) -> Iterator[tuple[Picture, int]]:
        """Yield the pictures that were not sent yet, with what `pictures_sent` takes."""
        for entry, place in self._pictures.unsent():
            yield _picture(entry, self.folder.parent), place

    def pictures_sent(self, place: int) -> None:
        """Remember that MLflow has the pictures up to `place`."""
        self._pictures.mark_sent(place)

    def waiting(self) -> int:
        """Return how many points and pictures were not sent yet."""
        points = sum(len(entry["values"]) for entry, _ in self._points.unsent())
        return points + sum(1 for _ in self._pictures.unsent())

    def close(self) -> None:
        """Let go of the files."""
        self._points.close()
        self._pictures.close()

    def _note(self, images: int, names: Iterable[str], since: int) -> None:
        """Remember the names that stand at `images`; those before `since` are not asked for any more."""
        if images >= since:
            self._known.setdefault(images, set()).update(names)
        for place in [place for place in self._known if place < since]:
            del self._known[place]


def _picture(entry: Entry, parent: Path) -> Picture:
    return Picture(entry["name"], parent / entry["file"], entry["at"], entry["images"])


def _picture_key(name: str) -> str:
    return f"picture {name}"


def _now_ms() -> int:
    return int(time.time() * 1000)
