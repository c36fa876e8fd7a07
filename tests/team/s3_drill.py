"""The drill of the object store: random operations through a proxy that misbehaves, beside what must be true.

What was acknowledged is there with its bytes; of all who put one key where none was yet, one was told that it won, and
its bytes are there; what was read is what was written; a listing has all that is older than its lag, and nothing twice;
an artifact that is found is whole; records have numbers without gaps, each with what its writer was told.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faulty import FaultyProxy, hurried
from seaweed import BUCKET, Seaweed

from components.artifacts import Artifact, SharedStore
from components.artifacts.records import Records
from components.artifacts.storage import Storage, StorageError, open_storage
from components.servers import patience

_SIZES = (0, 1, 1000, 40_000)
_CONTESTED = 4
_WRONG = 0.5
"""Share of the requests that go wrong."""
_SHARES = {
    "put": 20,
    "contest": 15,
    "read": 20,
    "part": 8,
    "upload": 8,
    "download": 8,
    "delete": 8,
    "ask": 12,
    "list": 3,
    "append": 1,
    "artifact": 1,
    "large": 0.05,
}
_PART = 9 << 20  # over the size from which files go in parts


class Drawing(Artifact):
    """Something that is put together of files."""

    number: int


@dataclass
class Truth:
    """What was acknowledged, and who was told what."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    operations: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    """Operations that ended in an error, in words: nothing was acknowledged, and anything may have been done."""
    there: dict[str, bytes] = field(default_factory=dict)
    """Contents by key, of one writer each, whose writing was acknowledged."""
    gone: set[str] = field(default_factory=set)
    tried: dict[str, list[tuple[bytes, bool | None]]] = field(default_factory=lambda: defaultdict(list))
    """By contested key: what was put, and whether its writer was told that it won; None if it was told nothing."""
    records: dict[int, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Actor:
    """One thread of the drill."""

    def __init__(self, number: int, truth: Truth, storage: Storage, folder: Path, seed: int) -> None:
        self.number, self.truth, self.storage, self.folder = number, truth, storage, folder
        self.draw = random.Random(f"{seed} {number}")
        self.mine: list[str] = []
        self.made = 0
        self.stores = [SharedStore(storage, folder / f"machine-{one}") for one in range(2)]
        self.records = Records(storage, "records/drill")
        folder.mkdir()

    def act(self) -> None:
        """Do one operation at random, and see that its answer can be true."""
        does = self.draw.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
        try:
            getattr(self, does)()
        except StorageError as error:
            words = str(error)
            with self.truth.lock:
                self.truth.given_up[
                    "expired" if "Expired" in words else "other bytes" if "bytes" in words else words
                ] += 1
        except Exception as error:  # the drill goes on, and tells of it
            self._wrong(f"{does} ended with what is no word of a store: {''.join(traceback.format_exception(error))}")
        with self.truth.lock:
            self.truth.operations[does] += 1

    def put(self) -> None:
        """Write what nobody else writes."""
        key, content = self._new(), self.draw.randbytes(self.draw.choice(_SIZES))
        if not self.storage.put_if_absent(key, content):
            self._wrong(f"{key}: its only writer was told that it is taken")
        self._acknowledge(key, content)

    def contest(self) -> None:
        """Write what others write, too."""
        with self.truth.lock:
            key = f"contested/{len(self.truth.tried):06d}"
            if self.truth.tried and self.draw.random() < 1 - 1 / _CONTESTED:
                key = f"contested/{len(self.truth.tried) - 1:06d}"
            place = len(self.truth.tried[key])
            content = f"{self.number} {place}".encode()
            self.truth.tried[key].append((content, None))
        won = self.storage.put_if_absent(key, content)
        with self.truth.lock:
            self.truth.tried[key][place] = (content, won)

    def read(self) -> None:
        """Read all of what was acknowledged."""
        for key, content in self._some():
            if self.storage.read_bytes(key) != content:
                self._wrong(f"{key}: other bytes were read than were acknowledged")

    def part(self) -> None:
        """Read a part of it."""
        for key, content in self._some():
            start = self.draw.randrange(len(content) + 1)
            end = self.draw.randrange(start, len(content) + 1)
            if self.storage.read_bytes(key, start, end) != content[start:end]:
                self._wrong(f"{key}: other bytes were read from {start} to {end} than were acknowledged")

    def upload(self, size: int | None = None) -> None:
        """Copy a file in."""
        key, content = self._new(), self.draw.randbytes(self.draw.choice(_SIZES) if size is None else size)
        (self.folder / "in").write_bytes(content)
        self.storage.upload_file(self.folder / "in", key)
        self._acknowledge(key, content)

    def large(self) -> None:
        """Copy a file in that goes in parts, and out again."""
        self.upload(_PART)
        key = self.mine.pop()
        content = self.truth.there[key]
        self.storage.download_file(key, self.folder / "out")
        if (self.folder / "out").read_bytes() != content:
            self._wrong(f"{key}: other bytes came out than went in")
        self.storage.delete(key)
        with self.truth.lock:
            del self.truth.there[key]
            self.truth.gone.add(key)

    def download(self) -> None:
        """Copy out to a file."""
        for key, content in self._some():
            self.storage.download_file(key, self.folder / "out")
            if (self.folder / "out").read_bytes() != content:
                self._wrong(f"{key}: other bytes came out than went in")

    def delete(self) -> None:
        """Remove something of one's own."""
        if self.mine:
            key = self.mine.pop(self.draw.randrange(len(self.mine)))
            with self.truth.lock:
                del self.truth.there[key]
            self.storage.delete(key)
            with self.truth.lock:
                self.truth.gone.add(key)

    def ask(self) -> None:
        """Ask for what is there, and for what is not."""
        for key, content in self._some():
            there = self.storage.stat(key)
            if there is None or there.size != len(content):
                self._wrong(f"{key}: acknowledged, but it is {there}")
        if self.storage.exists(f"never/{self.number}"):
            self._wrong("what was never written is said to be there")

    def list(self) -> None:
        """List one's own keys, of which only the newest may be missing."""
        old = set(self.mine[:-20])
        found = list(self.storage.list(f"own/{self.number:03d}/"))
        if found != sorted(set(found)):
            self._wrong("a listing is not in order, or has something twice")
        recent = time.monotonic() - self.began_listing if hasattr(self, "began_listing") else 0
        self.began_listing = time.monotonic()
        if recent > 2 and not old <= set(found):
            self._wrong(f"a listing lacks {sorted(old - set(found))[:3]}, which are not new")

    def append(self) -> None:
        """Add a record to a list that all add to."""
        what = f"{self.number} {self.draw.random()}"
        number = self.records.append({"what": what})
        with self.truth.lock:
            if number in self.truth.records:
                self._wrong(f"record {number} was given to two writers")
            self.truth.records[number] = what

    def artifact(self) -> None:
        """Make an artifact on one machine, and find it on the other, where it must be whole."""
        self.made += 1
        inputs = {"of": self.number, "number": self.made}

        def write(draft: Path) -> dict[str, int]:
            for name in "abc":
                (draft / name).write_bytes(self.draw.randbytes(2000))
            return {"number": self.made}

        first, second = self.stores
        if (early := second.find(Drawing, inputs)) is not None:
            self._wrong(f"{early.digest} was found before it was made")
        made = first.materialise(Drawing, inputs, write)
        found = second.find(Drawing, inputs)
        if found is None or found.number != made.number:
            self._wrong(f"{made.digest} was made, and is not found elsewhere")
            return
        found.verify()

    def _new(self) -> str:
        self.made += 1
        return f"own/{self.number:03d}/{self.made:06d}"

    def _acknowledge(self, key: str, content: bytes) -> None:
        with self.truth.lock:
            self.truth.there[key] = content
        self.mine.append(key)
        if len(self.mine) > 200:
            self.mine.pop(0)  # it stays there, and is looked at in the end

    def _some(self) -> Iterator[tuple[str, bytes]]:
        if self.mine:
            key = self.draw.choice(self.mine)
            yield key, self.truth.there[key]

    def _wrong(self, words: str) -> None:
        self.truth.wrong.append(words)


def final(truth: Truth, storage: Storage) -> Iterator[str]:
    """Yield what is not as it must be, now that nothing misbehaves."""
    listed = set(storage.list())
    with ThreadPoolExecutor(8) as pool:
        for (key, content), found in zip(
            truth.there.items(), pool.map(lambda key: _read(storage, key), truth.there), strict=True
        ):
            if found != content:
                yield f"{key}: acknowledged, and now {'missing' if found is None else 'other bytes'}"
    yield from (f"{key}: acknowledged, and not listed" for key in truth.there.keys() - listed)
    yield from (f"{key}: deleted, and still there" for key in truth.gone & listed)
    for key, tries in truth.tried.items():
        winners, found = [content for content, won in tries if won], _read(storage, key)
        if len(winners) > 1:
            yield f"{key}: {len(winners)} writers were told that they won"
        elif winners and found != winners[0]:
            yield f"{key}: holds {found!r}, and {winners[0]!r} won"
        elif not winners and found not in {None, *(content for content, won in tries if won is None)}:
            yield f"{key}: holds what nobody may have won with"
        elif found is None and any(won is False for _, won in tries):
            yield f"{key}: nobody won, and some were told that it is taken"
    known = Records(storage, "records/drill").all()
    for number, what in truth.records.items():
        if number > len(known) or known[number - 1]["what"] != what:
            yield f"record {number} is not what its writer was told"
    yield from _artifacts(storage)


def _artifacts(storage: Storage) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for one in SharedStore(storage, Path(folder)).all(Drawing):
            try:
                SharedStore(storage, Path(folder)).get(Drawing, one.digest).verify()
            except (RuntimeError, OSError) as error:
                yield f"an artifact is listed and not whole: {error}"


def _read(storage: Storage, key: str) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return storage.read_bytes(key)
    return None


def drill(
    upstream: int, folder: Path, *, faults: int, seconds: float, threads: int, seed: int
) -> tuple[Truth, Counter[str]]:
    """Let threads work through a proxy until so many requests went wrong, or so much time is over.

    Returns:
        What must be true, with what was found wrong, and the requests by what was done to them.
    """
    proxy, truth, prefix = FaultyProxy(upstream, _WRONG, seed).start(), Truth(), f"s3://{BUCKET}/drill"
    os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{proxy.port}"
    storage, until = open_storage(prefix), time.monotonic() + seconds

    def work(number: int) -> None:
        actor = Actor(number, truth, storage, folder / str(number), seed)
        while time.monotonic() < until and proxy.done.total() - proxy.done[""] < faults:
            actor.act()

    with patience.patient_run(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    proxy.close()
    os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{upstream}"
    truth.wrong += final(truth, open_storage(prefix))
    return truth, proxy.done


def table(truth: Truth, requests: Counter[str], took_s: float) -> str:
    """Return what was done, and what came of it, as Markdown."""
    wrong = requests.total() - requests[""]
    lines = [
        f"{truth.operations.total():,} operations, {requests.total():,} requests, of which {wrong:,} went wrong; "
        f"{took_s / 60:.0f} min. **{len(truth.wrong)} broken promises.**",
        "",
        "| operation | times |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in truth.operations.most_common()),
        "",
        "| fault | requests |",
        "|---|---|",
        *(f"| {name or 'none'} | {count:,} |" for name, count in sorted(requests.items())),
        "",
        "| given up with an error | operations |",
        "|---|---|",
        *(f"| {words} | {count:,} |" for words, count in truth.given_up.most_common()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the drill against a SeaweedFS of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="devadmin", AWS_SECRET_ACCESS_KEY="devadminsecret", AWS_REGION="us-east-1")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, hurried():
        (Path(folder) / "weed").mkdir()
        server = Seaweed(Path(folder) / "weed")
        try:
            server.start()
            truth, requests = drill(
                server.port,
                Path(folder),
                faults=arguments.faults,
                seconds=arguments.seconds,
                threads=arguments.threads,
                seed=arguments.seed,
            )
        finally:
            server.stop()
    print(table(truth, requests, time.monotonic() - began))
    print(*truth.wrong[:50], sep="\n")
    sys.exit(bool(truth.wrong))


if __name__ == "__main__":
    main()
