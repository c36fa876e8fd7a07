"""A registered conditional GAN makes pictures of the class asked for: by `kintsugi generate`, and served by MLflow.

In this process and without a Prefect server: neither command nor service needs one.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.recipes.export import ModelCard, export_digest, load_producer, read_card, write_export
from components.recipes.gan import GanConfig
from components.recipes.recipe import PRODUCER
from components.recipes.serving import decode_png
from components.tracking import registry, runs
from flows import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),  # `main` reads sys.argv, as meant
]

SIZE = 16
MODELS = {"zoo-gan": {"cat": 3, "dog": 1}, "plain-gan": {}}
"""Registered names, with how many training images each class had."""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models."""
    folders = {}
    for name, classes in MODELS.items():
        recipe = GanConfig(
            generator=DcganGeneratorConfig(latent=8, width=4),
            discriminator=DcganDiscriminatorConfig(width=4),
            conditional=bool(classes),
            classes=classes,
        )
        folders[name] = tmp_path_factory.mktemp(name)
        network = recipe.build(SIZE, 1).networks[PRODUCER]
        write_export(folders[name], network, ModelCard(size=SIZE, recipe=recipe, images=4))
    return folders


@pytest.fixture(scope="module")
def in_service(exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose registry has both as champions."""
    home = tmp_path_factory.mktemp("registered")
    runs.configure(home)
    for name, export in exports.items():
        run_id = runs.open_run("kintsugi", name, name)
        version = registry.register(
            name,
            registry.Export(export, export_digest(export), "gan", read_card(export).recipe.interface),
            lineage={},
            run_id=run_id,
            scores=registry.VersionScores({}, "{}"),
        )
        registry.promote(name, version, judged_against=None)
    return home


@pytest.fixture
def generate(in_service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call `kintsugi generate` with these arguments and return its exit code."""

    def call(*arguments: str) -> int:
        monkeypatch.setenv("KINTSUGI_HOME", str(in_service))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["kintsugi", "generate", *arguments])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


def test_pictures_are_of_the_class_that_was_named(generate, exports, tmp_path):
    assert generate("--model", "zoo-gan", "--class", "dog", "-n", "2", "--seed", "7", "-o", "dogs") == 0
    found = [np.asarray(Image.open(tmp_path / "dogs" / f"7-0000{number}.png")) for number in range(2)]
    producer = load_producer(exports["zoo-gan"])
    dogs, cats = (producer.generate_class(name, 2, 7) for name in ("dog", "cat"))
    assert np.array_equal(found, dogs)
    assert not np.array_equal(dogs, cats)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("zoo-gan", "class 'emu': expected one of cat, dog"),
        ("plain-gan", "plain-gan version 1 was trained without classes"),
    ],
)
def test_a_class_that_a_model_does_not_know_ends_with_code_2_and_leaves_no_file(
    model, words, generate, capfd, tmp_path
):
    assert generate("--model", model, "--class", "emu", "-o", "emu.png") == 2
    assert words in capfd.readouterr().err
    assert not (tmp_path / "emu.png").exists()


@pytest.fixture(scope="module")
def served(in_service: Path) -> Callable[[str], mlflow.pyfunc.PyFuncModel]:
    """Load a champion as MLflow's scoring server does, which checks the columns it is sent."""

    def load(name: str) -> mlflow.pyfunc.PyFuncModel:
        runs.configure(in_service)
        delivery = registry.download(name, "champion", in_service / "cache" / "models" / f"{name}-1")
        return mlflow.pyfunc.load_model(str(delivery.model))

    return load


def test_a_served_model_takes_a_class_in_each_row_or_in_none(served, exports):
    model, producer = served("zoo-gan"), load_producer(exports["zoo-gan"])
    rows = pd.DataFrame({"seed": [5, 5, 5], "class": ["cat", "dog", None]})
    pictures = [decode_png(answer["image"]) for answer in model.predict(rows)]
    expected = [producer.generate_class(name, 1, 5)[0] for name in ("cat", "dog")] + [producer.generate(1, 5)[0]]
    assert np.array_equal(pictures, expected)
    (any_class,) = model.predict(pd.DataFrame({"seed": [5]}))
    assert np.array_equal(decode_png(any_class["image"]), expected[2])


@pytest.mark.parametrize(
    ("name", "words"),
    [("zoo-gan", "class 'emu': expected one of cat, dog"), ("plain-gan", "this model was trained without classes")],
)
def test_a_served_model_refuses_a_class_it_does_not_know(name, words, served):
    with pytest.raises(ValueError, match=words):
        served(name).predict(pd.DataFrame({"seed": [1], "class": ["emu"]}))


def test_a_folder_is_filled_by_a_command_that_continues_and_extends_it(generate, exports, tmp_path, monkeypatch):
    monkeypatch.setattr("components.champions.making.AT_ONCE", 4)
    assert generate("--model", "zoo-gan", "-n", "7", "--seed", "3", "-o", "many") == 0
    whole = load_producer(exports["zoo-gan"]).generate(10, 3)

    def look() -> dict[int, int]:
        return {int(one.stem[2:]): one.stat().st_mtime_ns for one in (tmp_path / "many").iterdir()}

    before = look()
    (tmp_path / "many" / "3-00002.png").unlink()
    assert generate("--model", "zoo-gan", "-n", "10", "--seed", "3", "-o", "many") == 0
    after = look()
    assert {number for number in after if after[number] != before.get(number)} == {2, 7, 8, 9}
    for number in range(10):
        found = np.asarray(Image.open(tmp_path / "many" / f"3-{number:05d}.png"))
        assert np.abs(found.astype(int) - whole[number]).max() <= 1
    assert generate("--model", "zoo-gan", "-n", "4", "--seed", "3", "--class", "dog", "-o", "many") == 0
    assert {number for number, moment in look().items() if moment != after[number]} == {0, 1, 2, 3}
