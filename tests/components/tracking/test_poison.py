"""Whoever may edit files, tags, aliases and runs in MLflow still gets nothing of his loaded, and is named by verify."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.exceptions import MlflowException

from components.recipes.export import export_digest
from components.recipes.interface import generating
from components.tracking import registry, runs
from components.tracking.inspection import objection
from components.tracking.ledger import LedgerError
from components.tracking.packaging import AlteredModelError
from components.tracking.seals import UnsealedError
from flows.cli import command_line

Register = Callable[..., int]
LOADER = "tiny_serving"
FILES = "kintsugi.files"
DIGEST = "kintsugi.export_digest"


def folder_of(store: Path, version: int) -> Path:
    """The stored files of a version."""
    model_id = str(MlflowClient().get_model_version("gan", str(version)).source).removeprefix("models:/")
    return next(path.parent for path in store.rglob("MLmodel") if model_id in str(path))


def set_tag(version: int, key: str, value: str) -> None:
    MlflowClient().set_model_version_tag("gan", str(version), key, value)


def tag(version: int, key: str) -> str:
    return str(MlflowClient().get_model_version("gan", str(version)).tags[key])


def say_the_files_are_so(store: Path, version: int) -> None:
    """Alter the tag to what the files are now, as one who may edit the registered model can."""
    folder = folder_of(store, version)
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    set_tag(version, FILES, json.dumps(files))


def add_code(folder: Path, canary: Path, *, loader: str = "evilloader") -> None:
    """Make the package run code of its own when it is loaded."""
    (folder / "code").mkdir()
    (folder / "code" / "evilloader.py").write_text(f"open({str(canary)!r}, 'w').close()\n_load_pyfunc = print\n")
    description = yaml.safe_load((folder / "MLmodel").read_text())
    description["flavors"]["python_function"] |= {"loader_module": loader, "code": "code"}
    (folder / "MLmodel").write_text(yaml.safe_dump(description))


def problems() -> str:
    return "\n".join(registry.verify("gan", loader_module=LOADER))


def served(to: Path) -> None:
    delivery = registry.download("gan", "champion", to, loader_module=LOADER)
    mlflow.pyfunc.load_model(str(delivery.model)).predict(pd.DataFrame({"seed": [1]}))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is there when foreign code ran."""
    return tmp_path / "canary"


@pytest.fixture
def champion(store: Path, registered: Register) -> int:
    version = registered(1)
    registry.promote("gan", version, judged_against=None)
    return version


def test_an_untouched_champion_is_served(champion: int, tmp_path: Path) -> None:
    served(tmp_path / "served")
    assert problems() == ""


def test_code_in_the_files_is_not_run_with_the_tag_altered_too(
    store: Path, champion: int, tmp_path: Path, canary: Path
) -> None:
    add_code(folder_of(store, champion), canary)
    with pytest.raises(AlteredModelError, match=r"code/evilloader\.py was not registered"):
        served(tmp_path / "served")
    say_the_files_are_so(store, champion)
    with pytest.raises(AlteredModelError, match="the digests of its files are not those that the ledger sealed"):
        served(tmp_path / "served")
    assert "gan 1: the digests of its files are not those that the ledger sealed" in problems()
    assert not canary.exists()
    assert not (tmp_path / "served").exists()


def test_altered_weights_are_not_loaded_with_the_tag_altered_too(store: Path, champion: int, tmp_path: Path) -> None:
    (folder_of(store, champion) / "data" / "export" / "model.safetensors").write_bytes(b"other")
    say_the_files_are_so(store, champion)
    with pytest.raises(AlteredModelError, match="the ledger sealed"):
        served(tmp_path / "served")
    assert "the ledger sealed" in problems()


def test_tags_swapped_between_two_versions_are_named(registered: Register, champion: int, tmp_path: Path) -> None:
    registered(2)
    for key in (DIGEST, FILES):
        one, other = tag(1, key), tag(2, key)
        set_tag(1, key, other)
        set_tag(2, key, one)
    with pytest.raises(AlteredModelError, match=r"gan 1: its tags name the export export-2, the ledger promoted"):
        served(tmp_path / "served")
    with pytest.raises(AlteredModelError, match="gan 2: its tags name the export export-1, the ledger sealed it as"):
        registry.promote("gan", 2, judged_against=1)
    assert "gan 1: its tags name the export export-2" in problems()
    assert "gan 2: its tags name the export export-1" in problems()


def test_an_altered_lineage_is_named(champion: int) -> None:
    set_tag(1, "lineage.shards", "other")
    assert "gan 1: its lineage is not the one that the ledger sealed" in problems()


def test_an_alias_moved_by_hand_is_not_believed(registered: Register, champion: int, tmp_path: Path) -> None:
    registered(2)
    MlflowClient().set_registered_model_alias("gan", "champion", "2")
    assert registry.download("gan", "champion", tmp_path / "served", loader_module=LOADER).version == 1
    assert "the alias champion points to 2, the ledger says 1" in problems()


def test_a_seal_cannot_be_written_twice(store: Path, champion: int) -> None:
    ledger = MlflowClient().get_registered_model("gan").tags["kintsugi.ledger"]
    params = MlflowClient().get_run(ledger).data.params
    for key in ("e/export-1", "v/1", "p/000001"):
        with pytest.raises(MlflowException, match="already logged"):
            MlflowClient().log_param(ledger, key, "other")
        with pytest.raises(MlflowException, match="already logged"):
            MlflowClient().log_batch(ledger, params=[Param(key, "other")])
    assert MlflowClient().get_run(ledger).data.params == params


def test_a_ledger_that_was_deleted_or_put_in_the_place_of_another_is_named(champion: int, tmp_path: Path) -> None:
    client = MlflowClient()
    own = client.get_registered_model("gan").tags["kintsugi.ledger"]
    experiment = client.get_run(own).info.experiment_id
    for place in (experiment, client.create_experiment("elsewhere")):
        false = client.create_run(place, tags={"kintsugi.ledger_for": "gan"}).info.run_id
        client.set_registered_model_tag("gan", "kintsugi.ledger", false)
        with pytest.raises(
            LedgerError, match=r"two ledgers with entries|is not in the experiment 'kintsugi-promotions'"
        ):
            served(tmp_path / "served")
        assert "ledger" in problems()
        client.delete_run(false)
    client.set_registered_model_tag("gan", "kintsugi.ledger", own)
    assert problems() == ""
    client.delete_run(own)
    with pytest.raises(LedgerError, match="mlflow runs restore"):
        served(tmp_path / "served")
    assert "mlflow runs restore" in problems()


def test_a_version_registered_by_hand_is_named_and_used_by_nobody(registered: Register, champion: int) -> None:
    client = MlflowClient()
    client.create_model_version("gan", source=client.get_model_version("gan", "1").source)
    assert problems() == "gan: version 2 was not registered by kintsugi, and is not used"
    with pytest.raises(ValueError, match="gan version 2 was not registered by kintsugi"):
        registry.rollback("gan", to=2)
    with pytest.raises(ValueError, match="gan version 2 was not registered by kintsugi"):
        registry.rollback("gan", to=2, override=True, by="ada", reason="it is mine")
    assert registered(3) == 3
    assert registry.models()[0].challenger == 3


def test_a_champion_robbed_of_its_tags_is_named(champion: int, tmp_path: Path) -> None:
    MlflowClient().delete_model_version_tag("gan", "1", FILES)
    with pytest.raises(ValueError, match="gan version 1 was not registered by kintsugi"):
        served(tmp_path / "served")
    assert "gan: version 1 lost the tags it was registered with" in problems()
    with pytest.raises(LedgerError, match="lost the tags it was registered with"):
        registry.reconcile("gan")


@pytest.mark.parametrize("text", ["{", "[]", '{"MLmodel": 1}'])
def test_an_unreadable_tag_is_named(champion: int, tmp_path: Path, text: str) -> None:
    set_tag(1, FILES, text)
    with pytest.raises(AlteredModelError, match=r"gan 1: its tag kintsugi\.files is not readable"):
        served(tmp_path / "served")
    assert "its tag kintsugi.files is not readable" in problems()


def unsealed(registered: Register, monkeypatch: pytest.MonkeyPatch) -> int:
    """Register and promote as an earlier release did, without seals."""
    with monkeypatch.context() as patch:
        patch.setattr("components.tracking.seals.seal_export", lambda _client, _ledger, _digest, package: package)
        patch.setattr("components.tracking.seals.seal_version", lambda *_: None)
        patch.setattr("components.tracking.seals.demand_sealed", lambda *_: None)
        version = registered(1)
        registry.promote("gan", version, judged_against=None)
    return version


def test_a_version_of_an_earlier_release_is_refused_until_a_person_adopts_it(
    registered: Register, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unsealed(registered, monkeypatch)
    assert registered(1) == 1  # the next night finds it, and does not seal what nobody looked at
    with pytest.raises(UnsealedError, match="look at it, then: kintsugi verify gan --adopt"):
        served(tmp_path / "served")
    assert "kintsugi verify gan --adopt" in problems()
    adoption = registry.adopt("gan", lambda _: "export-1", loader_module=LOADER)
    assert (adoption.adopted, adoption.refused) == ((1,), ())
    assert problems() == ""
    served(tmp_path / "served")
    assert registry.adopt("gan", lambda _: "export-1", loader_module=LOADER).adopted == ()


def test_nothing_poisoned_is_adopted(
    store: Path, registered: Register, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canary: Path
) -> None:
    version = unsealed(registered, monkeypatch)
    (refusal,) = registry.adopt("gan", lambda _: "export-7", loader_module=LOADER).refused
    assert refusal == "gan 1: its files are the export export-7, its tags name export-1"
    add_code(folder_of(store, version), canary)
    say_the_files_are_so(store, version)
    (refusal,) = registry.adopt("gan", lambda _: "export-1", loader_module=LOADER).refused
    assert "no code that comes with a model is ever run" in refusal
    with pytest.raises(UnsealedError):
        served(tmp_path / "served")
    assert not canary.exists()


def test_the_command_adopts_what_is_whole_and_says_so(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KINTSUGI_HOME", str(store))
    (tmp_path / "export").mkdir()
    for file in ("model.json", "model.safetensors"):
        (tmp_path / "export" / file).write_text("{}")
    digest = export_digest(tmp_path / "export")
    run_id = runs.open_run("kintsugi", "training", "digest")
    export = registry.Export(tmp_path / "export", digest, "gan", generating())
    registry.register("gan", export, lineage={}, run_id=run_id)

    def verify(*arguments: str) -> str:
        with contextlib.suppress(SystemExit):
            command_line()(["verify", "gan", *arguments], exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    with monkeypatch.context() as patch:
        patch.setattr("components.tracking.seals.is_sealed", lambda *_: False)
        assert "kintsugi verify gan --adopt" in verify()
        assert verify("--adopt").startswith("gan: sealed version 1\n")
    assert verify() == "gan: whole\n"


def test_a_package_sealed_with_another_loader_is_refused(champion: int, tmp_path: Path) -> None:
    """What the caller did not name is not imported, not even if it was registered so."""
    with pytest.raises(AlteredModelError, match=r"'tiny_serving', expected components\.recipes\.serving"):
        registry.download("gan", "champion", tmp_path / "served")
    assert "loader module 'tiny_serving'" in "\n".join(registry.verify("gan"))


Edit = Callable[[Path], object]


def described(change: Callable[[dict], object]) -> Edit:
    def edit(folder: Path) -> None:
        description = yaml.safe_load((folder / "MLmodel").read_text())
        change(description)
        (folder / "MLmodel").write_text(yaml.safe_dump(description))

    return edit


EDITS: list[tuple[Edit, str]] = [
    (lambda folder: (folder / "evil.py").write_text(""), "evil.py has no place in a model"),
    (lambda folder: (folder / "data" / "export" / "x.pkl").write_bytes(b""), "x.pkl has no place"),
    (lambda folder: (folder / "data" / "x.so").write_bytes(b""), "x.so has no place"),
    (lambda folder: (folder / "data" / "export" / "x.json").symlink_to("/etc/hostname"), "is a link"),
    (lambda folder: (folder / "MLmodel").write_text("- !!python/object/apply:os.getcwd []"), "is not that of a"),
    (lambda folder: (folder / "MLmodel").unlink(), "is not that of a"),
    (lambda folder: (folder / "requirements.txt").write_text("--index-url http://evil.example"), "asks for"),
    (lambda folder: (folder / "requirements.txt").write_text("evil@git+https://evil.example"), "asks for"),
    (lambda folder: (folder / "conda.yaml").write_text("dependencies: [pip: [-e /tmp/evil]]"), "asks for"),
    (described(lambda top: top["flavors"].update(sklearn={"pickled_model": "m"})), "a python_function alone"),
    (described(lambda top: top["flavors"]["python_function"].update(code="data")), "says code: 'data'"),
    (described(lambda top: top["flavors"]["python_function"].update(model_code_path="x")), "says model_code_path"),
    (described(lambda top: top["flavors"]["python_function"].update(data="../..")), "says data"),
    (described(lambda top: top["flavors"]["python_function"].update(loader_module="os")), "loader module 'os'"),
    (described(lambda top: top["flavors"]["python_function"].update(env={"conda": "/tmp/x"})), "says env"),
    (described(lambda top: top.update(is_signature_from_type_hint=True)), "type hints"),
]


def test_what_could_run_code_is_objected_to(registered: Register, tmp_path: Path, champion: int) -> None:
    folder = registry.download("gan", 1, tmp_path / "copy", loader_module=LOADER).model
    assert objection(folder, LOADER) is None
    for number, (edit, message) in enumerate(EDITS):
        edited = tmp_path / str(number)
        shutil.copytree(folder, edited)
        edit(edited)
        assert message in (objection(edited, LOADER) or "")
