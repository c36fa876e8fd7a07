"""What nothing needs goes, in two steps, and never what is in use: not by a kill at any step, and not by a race."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Artifact, SharedStore, Store, trash
from components.artifacts.collecting import Fate, Retention, Roots, collect
from components.artifacts.reach import survey
from components.artifacts.storage import FolderStorage
from components.servers.patience import PATIENCE

DAY_S = 86_400.0
RETENTION = Retention(keep_days=2, grace_hours=24)


class Clay(Artifact):
    """What others are made of."""


class Bowl(Artifact):
    """Needs its clay."""


class Label(Artifact):
    """Tells of a bowl, and needs nothing."""

    @classmethod
    def needs(cls, manifest: Any) -> frozenset[str]:
        return frozenset()

    @classmethod
    def belongs_to(cls, manifest: Any) -> frozenset[str]:
        return frozenset({manifest["inputs"]["bowl"]})


def write(folder: Path) -> dict[str, object]:
    (folder / "a.txt").write_text("a")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.bin").write_bytes(bytes(1000))
    return {}


def fill(store: Store, *, labels: bool = True) -> dict[str, str]:
    """Put two bowls, each with its clay and label, into a store; return the digests by name."""
    made: dict[str, str] = {}
    for name in ("used", "old"):
        clay = store.materialise(Clay, {"pit": name}, write)
        bowl = store.materialise(Bowl, {"clay": [{"of": clay.digest}]}, write)
        made |= {f"{name} clay": clay.digest, f"{name} bowl": bowl.digest}
        if labels:
            made[f"{name} label"] = store.materialise(Label, {"bowl": bowl.digest}, write).digest
    return made


def collected(store: Store, roots: Roots, days: float, *, delete: bool = True) -> list[Fate]:
    """Collect as if it were so many days later, and let the marks that this sets be of that day."""
    began, now = time.time(), time.time() + days * DAY_S
    fates = list(collect(store, roots, RETENTION, delete=delete, now=now))
    for one in store.storage.entries("trash/"):
        if began - 5 < one.at < began + 600:
            with suppress(FileNotFoundError):  # taken off meanwhile
                os.utime(Path(store.storage.url) / one.key, (now, now))
    return fates


def gone(fates: list[Fate]) -> set[str]:
    return {fate.name for fate in fates if fate.becomes == "deleted"}


@pytest.fixture(params=["folder", "shared"])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "store")
    return SharedStore(FolderStorage(tmp_path / "remote"), tmp_path / "cache")


@pytest.fixture
def run(store) -> Callable[..., list[Fate]]:
    """Collect with the bowl called "used" in use, so many days after everything was made."""
    made = fill(store)

    def collecting(days: float, *, delete: bool = True, roots: tuple[str, ...] = ("used bowl",)) -> list[Fate]:
        used = {made[name]: "in service" for name in roots}
        return collected(store, lambda: used, days, delete=delete)

    collecting.made = made  # type: ignore[attr-defined]
    return collecting


def test_a_dry_run_says_what_would_go_and_why_the_rest_stays_and_changes_nothing(store, run):
    before = [(one.key, one.at) for one in store.storage.entries()]
    fates = {fate.name: fate for fate in run(3, delete=False)}
    told = {name: (fates[digest].becomes, fates[digest].why) for name, digest in run.made.items()}
    assert told == {
        "used bowl": ("kept", "in service"),
        "used clay": ("kept", "needed by a bowl"),
        "used label": ("kept", "tells of in service"),
        "old bowl": ("unneeded", "nothing needs it"),
        "old clay": ("unneeded", "nothing needs it"),
        "old label": ("unneeded", "nothing needs it"),
    }
    assert all(fate.bytes > 1000 for fate in fates.values())
    assert [(one.key, one.at) for one in store.storage.entries()] == before


def test_what_is_young_stays_with_all_that_it_needs(run):
    assert {fate.becomes for fate in run(1)} == {"kept"}
    assert {fate.why for fate in run(1)} == {"in service", "made in these days"}


def test_what_nothing_needs_is_marked_and_goes_a_day_later(store, run):
    assert gone(run(3)) == set()
    assert len(survey(store)) == 6
    assert gone(run(3.5)) == set()
    assert gone(run(5)) == {digest for name, digest in run.made.items() if name.startswith("old")}
    assert set(survey(store)) == {digest for name, digest in run.made.items() if name.startswith("used")}
    assert list(store.storage.list("trash/")) == []
    assert all(fate.becomes == "kept" for fate in run(6))


def test_what_is_used_after_it_was_marked_stays(store, run):
    run(3)
    assert store.get(Bowl, run.made["old bowl"]) is not None
    deleted = gone(run(5))
    if isinstance(store, SharedStore):  # a copy on this machine is used without asking the store
        assert run.made["old bowl"] in deleted
    else:
        assert run.made["old bowl"] not in deleted
        store.get(Bowl, run.made["old bowl"]).verify()


def test_another_machine_that_fetches_what_is_marked_keeps_it(tmp_path):
    remote = FolderStorage(tmp_path / "remote")
    here, there = (SharedStore(remote, tmp_path / name) for name in ("here", "there"))
    made = fill(here)
    collected(here, dict, 3)
    there.get(Bowl, made["old bowl"]).verify()
    fates = collected(here, dict, 5)
    assert gone(fates) == set(made.values()) - {made["old bowl"]}
    SharedStore(remote, tmp_path / "third").get(Bowl, made["old bowl"]).verify()


def test_what_comes_into_use_again_loses_its_mark(store, run):
    run(3)
    everything = tuple(run.made)
    assert all(fate.becomes == "kept" for fate in run(4, roots=everything))
    assert gone(run(5)) == set()
    assert gone(run(7)) != set()


def test_needs_are_asked_for_again_before_anything_goes(store, run):
    run(3)
    old = run.made["old bowl"]
    asked = []

    def roots() -> dict[str, str]:
        asked.append(None)
        return {} if len(asked) == 1 else {old: "a run that began meanwhile"}

    fates = collected(store, roots, 5)
    assert not {old, run.made["old clay"], run.made["old label"]} & gone(fates)
    assert run.made["used bowl"] not in {fate.name for fate in fates if fate.becomes == "deleted"}
    store.get(Bowl, old).verify()


def test_what_was_deleted_is_made_again_as_if_it_had_never_been(store, run):
    run(3)
    run(5)
    again = store.materialise(Clay, {"pit": "old"}, write)
    assert again.digest == run.made["old clay"]
    again.verify()


def test_a_manifest_that_cannot_be_read_keeps_its_artifact(tmp_path):
    store = Store(tmp_path)
    made = fill(store)
    (store.root / "bowl" / made["old bowl"] / "manifest.json").write_text("{")
    fates = {one.name: one for one in collected(store, dict, 3, delete=False)}
    assert fates[made["old bowl"]].why.startswith("not readable: ")
    assert fates[made["old bowl"]].becomes == "kept"


class Killed(BaseException):
    """The process ends here."""


class Killing(FolderStorage):
    """A storage whose process dies at its n-th change, before or after the change."""

    def __init__(self, root: Path, at: int, *, after: bool) -> None:
        super().__init__(root)
        self.left, self.after = at, after

    def _step(self, change: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self.after):
            raise Killed
        result = change()
        if self.left == 0:
            raise Killed
        return result

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return bool(self._step(lambda: super(Killing, self).put_if_absent(key, content)))

    def delete(self, key: str) -> None:
        self._step(lambda: super(Killing, self).delete(key))


def is_sound(store: Store, made: dict[str, str]) -> None:
    """See that what is in use is whole, and what is not is whole or not there."""
    for name, digest in made.items():
        kind = {"clay": Clay, "bowl": Bowl, "label": Label}[name.split()[1]]
        found = store.by_digest(kind, digest)
        assert found is not None or name.startswith("old")
        if found is not None:
            found.verify()


def finish(store: Store, made: dict[str, str]) -> None:
    """Collect as a later night does, until nothing is left to do, and see what is left."""
    used = {made["used bowl"]: "in service"}
    for days in (10, 20, 30):
        collected(store, lambda: used, days)
    assert set(survey(store)) == {digest for name, digest in made.items() if name.startswith("used")}
    assert list(store.storage.list("trash/")) == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_change_of_a_shared_store_leaves_it_sound_and_the_next_call_finishes(
    tmp_path, after, monkeypatch
):
    monkeypatch.setattr(trash, "_LEASE_S", 0.0)
    monkeypatch.setenv(PATIENCE, "0")
    for at in range(1, 200):
        root, was_killed = tmp_path / str(at), 0
        made = fill(SharedStore(FolderStorage(root), tmp_path / f"maker-{at}"), labels=False)
        dying = SharedStore(Killing(root, at, after=after), tmp_path / f"collector-{at}")
        try:
            for days in (3, 5):
                used = {made["used bowl"]: "in service"}
                collected(dying, lambda: used, days)  # noqa: B023
        except Killed:
            was_killed = 1
        is_sound(SharedStore(FolderStorage(root), tmp_path / f"reader-{at}"), made)
        finish(SharedStore(FolderStorage(root), tmp_path / f"finisher-{at}"), made)
        if not was_killed:
            break
    assert at > 10, "so many changes that each was one to die at"


@pytest.fixture
def dying(monkeypatch) -> Iterator[Callable[[int], None]]:
    """Let this process 'die' at the n-th change of a file or folder; 0 lets it live."""
    left = [0]

    def deadly(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if left[0]:
                left[0] -= 1
                if left[0] == 0:
                    left[0] = -1
            if left[0] < 0:
                raise Killed
            return change(*arguments, **options)

        return step

    for name in ("rename", "replace", "unlink", "rmdir", "link", "mkdir"):
        monkeypatch.setattr(os, name, deadly(getattr(os, name)))
    yield lambda at: left.__setitem__(0, at)
    left[0] = 0


@pytest.mark.slow
def test_a_kill_at_any_change_of_a_folder_leaves_it_sound_and_the_next_call_finishes(tmp_path, dying, monkeypatch):
    monkeypatch.setattr(trash, "_LEASE_S", 0.0)
    monkeypatch.setenv(PATIENCE, "0")
    for at in range(1, 300):
        store, was_killed = Store(tmp_path / str(at)), 0
        made = fill(store, labels=False)
        used = {made["used bowl"]: "in service"}
        dying(at)
        try:
            for days in (3, 5):
                collected(store, lambda: used, days)  # noqa: B023
        except Killed:
            was_killed = 1
        dying(0)
        is_sound(store, made)
        finish(store, made)
        assert not list(store.root.rglob("*.part")), "drafts, too, are gone"
        if not was_killed:
            break
    assert at > 10


@pytest.mark.slow
def test_of_a_collector_and_a_user_who_meet_one_is_first_and_both_know_who(store, monkeypatch):
    monkeypatch.setenv(PATIENCE, "30")
    for number in range(60):
        clay = store.materialise(Clay, {"pit": number}, write)
        collected(store, dict, 3)
        fresh = store
        if isinstance(store, SharedStore):
            fresh = SharedStore(store.remote, store.root.with_name(f"other-{number}"))
        together = threading.Barrier(2)

        def use(fresh: Store = fresh, digest: str = clay.digest) -> Artifact | None:
            together.wait()  # noqa: B023
            return fresh.by_digest(Clay, digest)

        def remove(digest: str = clay.digest) -> set[str]:
            together.wait()  # noqa: B023
            return gone(collected(store, dict, 5)) & {digest}

        with ThreadPoolExecutor(2) as pool:
            found, removed = pool.submit(use), pool.submit(remove)
            assert (found.result() is None) == bool(removed.result())
        if found.result() is not None:
            found.result().verify()
            for one in survey(store).values():
                store.discard(one.name)
