"""An image is forgotten by real commands where all that is made of it lies in a bucket, also when they are killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.artifacts import Store
from components.artifacts.storage import open_storage
from components.config import RunConfig, load
from components.data import ShapesSource, ShardReader, ShardSet, write_shards
from components.data.forgetting import remains
from components.data.versions import versions
from components.stages import forget
from components.stages.candidate import Checkpoint
from components.tracking import registry, runs
from components.workspace import Workspace
from tests.team.conftest import Proxy
from tests.team.seaweed import BUCKET, settings
from tests.team.unattended import Pile, write_config

pytestmark = [pytest.mark.team, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1_200)]

COMMAND = str(Path(sys.executable).with_name("kintsugi"))
MODEL = "nights-vae"
REASON = "its owner asked"
LONG_AGO_S = 1_000_000_000
KILLED_AFTER = {
    "the request is recorded": rb"PUT \S+/records/forgotten/",
    "a tar of the data without it is sent": rb"PUT \S+/shardset/\S+\.tar",
    "the data without it is whole": rb"PUT \S+/shardset/\S+/manifest\.json",
    "the first manifest is deleted": rb"DELETE \S+/manifest\.json",
    "a tar that holds it is deleted": rb"DELETE \S+\.tar",
}
"""What a command has done when it is killed, by the request that its store has just answered."""


@dataclass
class People:
    """A pile, the bucket where what is made of it lies, and a machine with a model in service that learnt from it."""

    config: Path
    home: Path
    place: str
    twin: Path
    """A machine where nobody is killed, whose store is a folder."""

    @property
    def run(self) -> RunConfig:
        return load(self.config)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.home).create()

    @property
    def store(self) -> Store:
        return Store.open(self.place, self.workspace.cache)

    @property
    def newest(self) -> ShardSet:
        return self.store.get(ShardSet, list(versions(self.run.dataset, self.store))[-1]["shards"])

    def start(self, *words: str, **more: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KINTSUGI_"))}
        return subprocess.Popen(
            [COMMAND, *words],
            env={**kept, "KINTSUGI_HOME": str(self.home), "KINTSUGI_STORE": self.place, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *words: str) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
        return out

    def forget(self, key: str) -> tuple[str, ...]:
        """Return the words that forget an image."""
        return "data", "forget", str(self.config), key, "--yes", "--reason", REASON

    def forgotten_by_the_twin(self, key: str) -> ShardSet:
        """Return the data without the image, as the twin makes it."""
        workspace = Workspace(self.twin).create()
        store = Store(workspace.store)
        return forget.forget(forget.trace([key], self.run, store, workspace), self.run, store, workspace, REASON)

    def expect_none_left(self) -> None:
        """Expect no file in the bucket of an artifact that is not finished, and no forgotten image in one that is."""
        keys = list(open_storage(self.place).list())
        artifacts = {key.rpartition("/")[0] for key in keys if key.endswith("/manifest.json")}
        assert {"/".join(key.split("/")[:2]) for key in keys if key.startswith(("shardset", "corruption"))} <= artifacts
        assert not list(remains(self.store))


@pytest.fixture(scope="module")
def people(s3_server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("people")
    pile = folder / "pile"
    pile.mkdir()
    for number, item in enumerate(ShapesSource(images=200, raster_px=16).items()):
        (pile / f"{number:03d}.png").write_bytes(item.content)
        os.utime(pile / f"{number:03d}.png", (LONG_AGO_S,) * 2)
    config = write_config(folder / "nights.yaml", Pile(pile), images=9_600)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(s3_server).items():
            patch.setenv(name, value)
        found = People(config, folder / "home", f"s3://{BUCKET}/{uuid.uuid4().hex}", folder / "twin")
        found.call("run", str(config))
        write_shards(found.run.dataset, Store(Workspace(found.twin).create().store))
        runs.configure(found.home)
        yield found


def said_of(version: int) -> str:
    return registry.facts(MODEL, version).get("saw_forgotten", "")


def newest_version() -> int:
    state = registry.state(MODEL)
    assert state is not None
    return max(map(int, state.versions))


def test_an_image_is_gone_from_the_bucket_and_a_model_is_trained_that_never_saw_it(people: People) -> None:
    before, version = people.newest, newest_version()
    key = ShardReader(before, "train").keys[0]
    told = people.call(*people.forget(key), "--retrain")
    assert f"registered models that learnt from them: {MODEL} version" in told
    assert "Trained without them; page: file://" in told
    assert f"{key}: {REASON}" in said_of(version)
    state = registry.state(MODEL)
    assert state is not None
    trained = state.version(newest_version())
    assert newest_version() == version + 1
    assert "saw_forgotten" not in trained.facts
    assert "start" not in trained.lineage
    shards = people.store.get(ShardSet, trained.lineage["shards"])
    assert shards.accepted == before.accepted - 1
    assert all(key not in ShardReader(shards, split).keys for split in shards.splits)
    checkpoint = people.store.by_digest(Checkpoint, trained.lineage["checkpoint"])
    assert checkpoint is not None
    assert checkpoint.images_before == 0
    assert people.forgotten_by_the_twin(key).digest == shards.digest
    assert "forgotten images: none is left" in people.call("data", "verify", str(people.config), "--forgotten")
    people.expect_none_left()


def killed_after(people: People, request: bytes, s3_server: int, words: tuple[str, ...]) -> None:
    """Start a command, and kill it as soon as its store has answered such a request."""
    process: subprocess.Popen[str] | None = None
    wanted, between = re.compile(request), Proxy(s3_server)

    def kill(head: bytes, reply: bytes) -> bytes:
        if wanted.match(head) and process is not None:
            process.kill()
        return reply

    between.faults.append(kill)
    threading.Thread(target=between.serve, daemon=True).start()
    try:
        process = people.start(*words, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{between.port}")
        said = process.communicate(timeout=400)
        assert process.returncode == -signal.SIGKILL, said
    finally:
        between.close()


def test_killed_on_the_way_the_same_command_ends_as_if_it_had_not_been(people: People, s3_server: int) -> None:
    version = newest_version()
    for when, request in KILLED_AFTER.items():
        before = people.newest
        key = ShardReader(before, "train").keys[0]
        killed_after(people, request, s3_server, people.forget(key))
        told = json.loads(people.call(*people.forget(key), "--json"))
        now = people.store.get(ShardSet, told["now"])
        assert now.digest == people.forgotten_by_the_twin(key).digest, when
        assert now.accepted == before.accepted - 1, when
        assert f"{key}: {REASON}" in said_of(version), when
        assert said_of(version).count(key) == 1, when
        people.expect_none_left()


def test_killed_while_it_trains_anew_the_same_command_trains_to_the_end(people: People) -> None:
    before, known = newest_version(), set(people.home.glob("training/*"))
    key = ShardReader(people.newest, "train").keys[0]
    process = people.start(*people.forget(key), "--retrain")
    expect(lambda: begun(people.home, known) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert newest_version() == before
    assert "Trained without them" in people.call(*people.forget(key), "--retrain")
    assert newest_version() == before + 1
    state = registry.state(MODEL)
    assert state is not None
    shards = people.store.get(ShardSet, state.version(before + 1).lineage["shards"])
    assert key not in ShardReader(shards, "train").keys
    people.expect_none_left()


def begun(home: Path, known: set[Path]) -> bool:
    """Return whether a training that was not there has left a checkpoint."""
    return any(one.parents[1] not in known for one in home.glob("training/*/checkpoints/[0-9]*"))


def expect(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
