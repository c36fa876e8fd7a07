"""What is verified and compared is what the shared store holds, not a copy of it on this machine."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from components.artifacts import MANIFEST, Store
from components.artifacts.audit import audit
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards
from components.recipes.interface import generating
from components.report.content import ModelPage, PageContent, RunFacts
from components.stages.outcome import Page
from components.tracking import registry, runs
from flows.cli import command_line

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call a command; return its exit code, or 2 and the message, and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            command_line()(list(arguments), exit_on_error=False, result_action="return_value")
        except SystemExit as end:
            code = int(str(end.code))
        except ValueError as error:
            return 2, str(error)
        return code, capsys.readouterr().out

    return call


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Go to another machine: a home of its own, the same servers."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def to(name: str) -> Path:
        home = tmp_path / name
        monkeypatch.setenv("KINTSUGI_HOME", str(home))
        runs.configure(home)
        return home

    return to


@pytest.fixture
def shards(s3: str, move: Callable[[str], Path]) -> ShardSet:
    """A champion's shards in the shared store, made on the machine "first"."""
    home = move("first")
    source = ShapesSource(images=40, raster_px=16)
    made = write_shards(DatasetConfig(source=source, size=16), Store.open(s3, home / "cache"))
    export = home / "export"
    export.mkdir()
    (export / "model.json").write_text("{}")
    (export / "model.safetensors").write_bytes(b"weights")
    version = registry.register(
        "team-vae",
        registry.Export(export, "e1", "vae", generating()),
        lineage={"shards": made.digest},
        run_id=runs.open_run("team", "vae", "digest"),
    )
    registry.promote("team-vae", version, judged_against=None)
    return made


def object_of(s3: str, shards: ShardSet, ending: str) -> dict[str, str]:
    """Bucket and key of one of the shards' objects."""
    bucket, prefix = s3.removeprefix("s3://").split("/", 1)
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/shardset/{shards.digest}/")["Contents"]
    return {"Bucket": bucket, "Key": next(item["Key"] for item in found if item["Key"].endswith(ending))}


def alter(place: dict[str, str]) -> None:
    """Change the last byte of an object, and nothing of what the store says of it."""
    client = boto3.client("s3")
    kept = client.get_object(**place)
    content = bytearray(kept["Body"].read())
    content[-1] ^= 1
    client.put_object(**place, Body=bytes(content), Metadata=kept["Metadata"])


def test_another_machine_with_nothing_verifies_and_fetches_nothing(
    s3: str, shards: ShardSet, move: Callable[[str], Path], command: Command
) -> None:
    home = move("second")
    assert command("verify", "--store", s3) == (0, "team-vae: whole\n")
    assert command("verify", "--store", s3, "--deep", "--json") == (
        0,
        json.dumps({"team-vae": [], s3: []}, indent=1) + "\n",
    )
    assert not list((home / "cache").rglob("*.tar"))
    os.environ["KINTSUGI_STORE"] = s3
    try:
        assert command("verify") == (0, "team-vae: whole\n")
    finally:
        del os.environ["KINTSUGI_STORE"]


def test_a_byte_altered_in_the_bucket_is_found_where_the_local_copy_is_whole(
    s3: str, shards: ShardSet, move: Callable[[str], Path], command: Command
) -> None:
    place = object_of(s3, shards, ".tar")
    alter(place)
    assert command("verify", "team-vae", "--store", s3) == (0, "team-vae: whole\n")  # length and digest as recorded
    for home in ("first", "second"):
        move(home)
        code, said = command("verify", "team-vae", "--store", s3, "--deep")
        assert code == 1
        assert f"s3://{place['Bucket']}/{place['Key']}: its bytes were altered" in said


def test_a_missing_object_is_found_without_reading_any(
    s3: str, shards: ShardSet, move: Callable[[str], Path], command: Command
) -> None:
    place = object_of(s3, shards, ".tar")
    boto3.client("s3").delete_object(**place)
    move("second")
    code, said = command("verify", "--store", s3)
    assert code == 1
    assert f"shards: s3://{place['Bucket']}/{place['Key']}: missing" in said


def test_another_length_or_recorded_digest_is_found_without_reading_any(
    s3: str, shards: ShardSet, command: Command
) -> None:
    place = object_of(s3, shards, ".tar")
    client = boto3.client("s3")
    content = client.get_object(**place)["Body"].read()
    client.put_object(**place, Body=content[:-1])
    assert "the manifest says" in command("verify", "--store", s3)[1]
    client.put_object(**place, Body=content, Metadata={"sha256": "0" * 64})
    assert "the sha256 recorded with it is not the one in the manifest" in command("verify", "--store", s3)[1]


def test_an_altered_local_copy_is_told_from_an_altered_store(s3: str, shards: ShardSet, command: Command) -> None:
    (tar, *_) = shards.path.rglob("*.tar")
    content = bytearray(tar.read_bytes())
    content[-1] ^= 1
    tar.write_bytes(content)
    code, said = command("verify", "--store", s3)
    assert code == 1
    assert f"the local copy: {tar}: its sha256 is not the one in the manifest; delete {shards.path}" in said


def test_deep_without_a_name_looks_at_every_artifact(
    s3: str, shards: ShardSet, tmp_path: Path, command: Command
) -> None:
    store = Store.open(s3, tmp_path / "cache")
    other = write_shards(
        DatasetConfig(source=ShapesSource(images=40, raster_px=16), size=16, split={"test": 0.3}), store
    )
    alter(object_of(s3, other, ".tar"))
    assert command("verify", "--store", s3)[0] == 0
    assert command("verify", "team-vae", "--store", s3, "--deep")[0] == 0
    code, said = command("verify", "--store", s3, "--deep")
    assert code == 1
    assert f"{s3}:\n  shardset/{other.digest}: " in said


def test_a_manifest_that_was_altered_is_found(s3: str, shards: ShardSet, tmp_path: Path, command: Command) -> None:
    place = object_of(s3, shards, MANIFEST)
    client = boto3.client("s3")
    manifest = json.loads(client.get_object(**place)["Body"].read())
    manifest["inputs"]["code"] = "another"
    client.put_object(**place, Body=json.dumps(manifest).encode())
    assert "it does not fit the seal in it" in command("verify", "--store", s3)[1]
    del manifest["seal"]  # as manifests of earlier releases, and as whoever means harm would
    client.put_object(**place, Body=json.dumps(manifest).encode())
    assert "the inputs in its manifest are not those that it is named by" in command("verify", "--store", s3)[1]
    client.put_object(**place, Body=b"{")
    assert "not a readable manifest" in command("verify", "--store", s3)[1]
    client.delete_object(**place)
    code, said = command("verify", "--store", s3)
    assert code == 1
    assert "there is no such object" in said


def test_a_folder_is_audited_in_the_same_words(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = write_shards(DatasetConfig(source=ShapesSource(images=40, raster_px=16), size=16), store)
    looked: list[tuple[str, int, int | None]] = []
    assert list(audit(store, "shardset", made.digest, deep=False, progress=lambda *state: looked.append(state))) == []
    (tar, *_) = made.path.rglob("*.tar")
    tar.unlink()
    (problem,) = audit(store, "shardset", made.digest, deep=False, progress=lambda *state: looked.append(state))
    assert problem == f"{tar}: missing"
    assert [*store.folders(), *store.digests("shardset")] == ["shardset", made.digest]


def page(store: Store, name: str, day: int) -> Page:
    """Publish a page that says little."""
    finished = datetime(2026, 3, day, tzinfo=UTC)
    content = PageContent(
        run=RunFacts(name=name, finished=finished, config_digest="c", command="kintsugi run x.yaml"),
        models=(ModelPage(name="vae"),),
    )

    def write(draft: Path) -> dict[str, str]:
        (draft / "page.html").write_text("<p>page</p>")
        (draft / "page.json").write_text(content.model_dump_json())
        return {"name": name}

    return store.materialise(Page, {"name": name, "day": day}, write)


def test_runs_of_others_are_compared_from_an_empty_home(
    s3: str, tmp_path: Path, move: Callable[[str], Path], command: Command
) -> None:
    store = Store.open(s3, move("first") / "cache")
    old, new, other = page(store, "alpha", 1), page(store, "alpha", 2), page(store, "beta", 3)
    home = move("second")
    output = tmp_path / "comparison.html"
    code, said = command("compare", "alpha", "beta", "--store", s3, "-o", str(output))
    assert (code, said) == (0, f"{output.as_uri()}\n")
    assert new.digest in output.read_text()  # the newer of two, linked where it was fetched to
    fetched = {path.parent.name for path in (home / "cache").rglob("page.json")}
    assert fetched == {old.digest, new.digest, other.digest}
    code, said = command("compare", f"alpha-{old.digest[:8]}", "gamma", "--store", s3)
    assert code == 2
    assert said == (
        f"no page of a run 'gamma' in {s3}; there are: "
        + ", ".join(sorted(f"{one.name}-{one.digest[:8]}" for one in (old, new, other)))
    )
