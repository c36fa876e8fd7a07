"""A real registry with a small inpainter and a small conditional GAN in service, untrained but stirred."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from components.champions.champion import Champion
from components.models.resnet import ResnetConfig
from components.recipes.export import ModelCard, export_digest, write_export
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER, RecipeSection
from components.tracking import registry, runs
from tests.examples import RECIPES

SIZE = 16
ZOO: dict[str, RecipeSection] = {
    "inpainter": InpainterConfig(network=ResnetConfig(width=8, blocks=1)),
    "restorer": InpainterConfig(network=ResnetConfig(width=8, blocks=1), restores="everything"),
    "gan": next(recipe for recipe in RECIPES.values() if recipe.interface.example.get("class")),
    "vae": next(recipe for name, recipe in RECIPES.items() if "vae" in name),
}
PHOTO = np.random.default_rng(5).integers(0, 256, (30, 41, 3), np.uint8)
HOLE = np.zeros((30, 41), np.bool_)
HOLE[10:20, 5:25] = True


def _register(folder: Path, name: str, recipe: RecipeSection, seed: int) -> None:
    network = recipe.build(SIZE, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    images = np.random.default_rng(0).integers(0, 256, (32, SIZE, SIZE, 3), np.uint8)
    export = folder / f"{name}-{seed}"
    export.mkdir(parents=True)
    write_export(export, recipe.finished(network, images, 1), ModelCard(size=SIZE, recipe=recipe, images=4))
    digest = export_digest(export)
    version = registry.register(
        f"zoo-{name}",
        registry.Export(export, digest, recipe.kind, recipe.interface),
        lineage={},
        run_id=runs.open_run("kintsugi", name, digest),
    )
    registry.promote(f"zoo-{name}", version, judged_against=registry.champion(f"zoo-{name}"))


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose registry has them; the inpainter in two versions, the second of which is in service."""
    home = tmp_path_factory.mktemp("registered")
    runs.configure(home)
    for name, recipe in ZOO.items():
        _register(home / "exports", name, recipe, 0)
    _register(home / "exports", "inpainter", ZOO["inpainter"], 1)
    return home


@pytest.fixture
def champion(registered: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Champion]:
    """`kintsugi.champion`, in that workspace."""
    from components.kintsugi import champion

    monkeypatch.setenv("KINTSUGI_HOME", str(registered))
    return champion
