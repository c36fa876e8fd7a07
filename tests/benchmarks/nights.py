"""A year of nights on growing data, collected each night: how large the store is beside what is in use, at all times.

Artifacts are small, their kinds and all that collects them are the real ones; time is set by the times of files. Which
artifacts are in use is worked out apart, by what the nights remember.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.artifacts import Artifact, Store
from components.artifacts.collecting import Retention, collect
from components.artifacts.reach import survey
from components.artifacts.storage import FolderStorage
from components.stages.candidate import Checkpoint, Scores
from components.stages.outcome import Page

DAY_S = 86_400.0
RETENTION = Retention(keep_days=30, grace_hours=24)
_FIRST, _MORE, _MODEL, _SMALL = 400_000, 8_000, 60_000, 4_000
_GROWS, _PROMOTED, _HELD, _KILLED = 0.8, 0.1, 0.1, 0.1


class Pile(Artifact):
    """A version of the data: its own shard, and the versions that hold the others."""

    stands_on: tuple[str, ...]


class KilledError(RuntimeError):
    """The collector ends here."""


class Mortal(FolderStorage):
    """A folder whose user is killed at the n-th change; 0 lets it live."""

    left = 0

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write, or be killed."""
        self._step()
        return super().put_if_absent(key, content)

    def delete(self, key: str) -> None:
        """Remove, or be killed."""
        self._step()
        super().delete(key)

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


class MortalStore(Store):
    """A store in such a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.kept_in = Mortal(root)

    @property
    def storage(self) -> Mortal:
        """What keeps all."""
        return self.kept_in


@dataclass(frozen=True)
class Night:
    """What one night made."""

    number: int
    pile: str
    piles: tuple[str, ...]
    """All data versions that hold its images."""
    checkpoint: str
    scores: str
    page: str

    @property
    def made(self) -> set[str]:
        """All that cannot be missing while the night's model is in use."""
        return {*self.piles, self.checkpoint, self.scores, self.page}


@dataclass
class Year:
    """What is remembered of the nights so far."""

    store: MortalStore
    draw: random.Random
    began: float
    nights: list[Night] = field(default_factory=list)
    pinned: Night | None = None
    champions: list[Night] = field(default_factory=list)
    held: list[Night] = field(default_factory=list)
    kills: int = 0

    def at(self, number: int) -> float:
        """Return when a night is, in seconds since 1970."""
        return self.began + number * DAY_S

    def work(self, number: int) -> None:
        """Make what a night makes, and decide on its model."""
        last = self.nights[-1] if self.nights else None
        if last is None or self.draw.random() < _GROWS:
            stands_on = () if last is None else last.piles
            size = _FIRST if last is None else _MORE
            pile = self._make(Pile, {"night": number}, {"stands_on": list(stands_on)}, size)
            piles = (*stands_on, pile)
        else:
            pile, piles = last.pile, last.piles
        export = f"{number:020x}"
        about = {"family": "vae", "images": 1, "export": export}
        checkpoint = self._make(Checkpoint, {"shards": pile, "night": number}, about, _MODEL)
        scores = self._make(Scores, {"subject": export, "shards": pile}, {"subject": export}, _SMALL)
        told = {"models": {"vae": {"checkpoint": checkpoint, "scores": scores}}}
        page = self._make(Page, told, {"name": "year"}, _SMALL)
        night = Night(number, pile, piles, checkpoint, scores, page)
        self.nights.append(night)
        self.pinned = self.pinned or night
        luck = self.draw.random()
        if last is None or luck < _PROMOTED:
            self.champions.append(night)
            self.held.clear()  # judged against another champion, they wait for nobody
        elif luck < _PROMOTED + _HELD:
            self.held.append(night)
        self._be_of(number)

    def collect(self, number: int) -> None:
        """Collect as that night's flow does; some nights it is killed on the way."""
        self.store.storage.left = self.draw.randrange(1, 40) if self.draw.random() < _KILLED else 0
        try:
            for _ in collect(self.store, self.roots, RETENTION, delete=True, now=self.at(number)):
                pass
        except KilledError:
            self.kills += 1
        self.store.storage.left = 0
        self._be_of(number)

    def roots(self) -> dict[str, str]:
        """Return what registry and records would name."""
        used = [*self.champions[-2:], *self.held]
        named = {
            digest: "a version in use" for night in used for digest in (night.checkpoint, night.scores, night.pile)
        }
        assert self.pinned is not None
        return named | {self.pinned.pile: "a pinned evaluation set", self.nights[-1].pile: "the newest data"}

    def live(self, number: int) -> set[str]:
        """Return the digests of all that is in use on a night, by what is remembered."""
        recent = [night for night in self.nights if number - night.number < RETENTION.keep_days]
        assert self.pinned is not None
        used = [*recent, *self.champions[-2:], *self.held]
        return {digest for night in used for digest in night.made} | set(self.pinned.piles)

    def _make(self, kind: type[Artifact], inputs: dict[str, Any], fields: dict[str, Any], size: int) -> str:
        def write(draft: Path) -> dict[str, Any]:
            (draft / "content").write_bytes(self.draw.randbytes(size))
            return fields

        return self.store.materialise(kind, inputs, write).digest

    def _be_of(self, number: int) -> None:
        """Let all that was written since be of that night."""
        for path in self.store.root.rglob("*"):
            if path.is_file() and path.stat().st_mtime > self.at(number):
                os.utime(path, (self.at(number), self.at(number)))


@dataclass(frozen=True)
class Size:
    """How large the store is on a night, in bytes."""

    night: int
    before: int
    """Just before the night's collection."""
    after: int
    live: int
    """What is in use."""


def nights(count: int, folder: Path, seed: int, said: Callable[[str], None] = lambda words: None) -> Iterator[Size]:
    """Yield the sizes night by night; all that is in use is checked whole at the end, and every thirtieth night."""
    year = Year(MortalStore(folder), random.Random(seed), time.time() - (count + 1) * DAY_S)
    for number in range(count):
        year.work(number)
        before = survey(year.store)
        year.collect(number)
        after, live = survey(year.store), year.live(number)
        assert live <= after.keys(), f"night {number}: lost {sorted(live - after.keys())}"
        if number % 30 == 0 or number == count - 1:
            for digest in live:
                Artifact(path=year.store.root / after[digest].folder / digest, digest=digest).verify()
        yield Size(
            number,
            sum(one.bytes for one in before.values()),
            sum(one.bytes for one in after.values()),
            sum(after[digest].bytes for digest in live),
        )
    said(f"{year.kills} collections were killed on the way, {len(year.champions)} champions, {len(year.held)} held")


def main() -> None:
    """Print the table of a year."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        sizes = list(nights(arguments.nights, Path(folder), arguments.seed, print))
    print("| night | before collecting, MB | after, MB | in use, MB | largest ratio so far |")
    print("|---|---|---|---|---|")
    worst = 0.0
    for one in sizes:
        worst = max(worst, one.before / one.live)
        if one.night % 30 == 0 or one.night == len(sizes) - 1:
            mb = [f"{size / 1e6:.2f}" for size in (one.before, one.after, one.live)]
            print(f"| {one.night} | {' | '.join(mb)} | {worst:.3f} |")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
