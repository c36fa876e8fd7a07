"""A real registry with tiny models, a store with pages, and the service on a free port of loopback."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from components.artifacts import Store
from components.evaluation.gate import Decision
from components.evaluation.protocol import Protocol, Score
from components.models.r3net import R3DiscriminatorConfig, R3GeneratorConfig
from components.models.resnet import ResnetConfig
from components.models.vae import ConvVaeConfig
from components.pictures import figures
from components.pictures.encoding import png
from components.recipes.export import ModelCard, export_digest, write_export
from components.recipes.gan import GanConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.recipes.vae import VaeConfig
from components.report.content import ModelPage, PageContent, Picture, RunFacts, Subject
from components.report.page import write_page
from components.serving.app import create_app
from components.serving.champions import Champions
from components.serving.pages import Pages
from components.serving.pipeline import Pipeline, Queue
from components.serving.server import bind, server_of
from components.serving.settings import Limits, Settings
from components.stages.outcome import Page
from components.tracking import registry, runs
from components.workspace import Workspace

SIZE = 16
FAMILIES = {
    "vae": VaeConfig(network=ConvVaeConfig(latent=8, width=4)),
    "gan": GanConfig(
        generator=R3GeneratorConfig(latent=8, width=8, blocks=1),
        discriminator=R3DiscriminatorConfig(width=8, blocks=1),
        conditional=True,
        classes={"cat": 3, "dog": 1},
    ),
    "inpainter": InpainterConfig(network=ResnetConfig(width=8, blocks=1)),
}


@pytest.fixture
def workspace(home: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A configured home with an empty registry."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KINTSUGI_DEFAULT_TRACKING_URI", raising=False)
    workspace = Workspace.from_environment()
    shutil.copy(migrated, home / "mlflow.db")
    runs.configure(home)
    yield workspace
    monkeypatch.delenv("KINTSUGI_DEFAULT_TRACKING_URI", raising=False)


@pytest.fixture
def register(workspace: Workspace, tmp_path: Path) -> Callable[..., int]:
    """Register an untrained but stirred network, whose pictures follow from the seed, and promote it."""

    def registered(family: str, seed: int = 0, name: str | None = None, *, promoted: bool = True) -> int:
        recipe = FAMILIES[family]
        network = recipe.build(SIZE, 1).networks[PRODUCER]
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        images = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
        export = tmp_path / f"{family}-{seed}"
        export.mkdir()
        write_export(export, recipe.finished(network, images, 1), ModelCard(size=SIZE, recipe=recipe, images=128))
        name = name or f"team-{family}"
        digest = export_digest(export)
        run = runs.open_run("serving", family, digest)
        scores = {"psnr_hole": 17.5} if family == "inpainter" else {"fd_efficientnet_lite0": 418.2}
        version = registry.register(
            name,
            registry.Export(export, digest, family, recipe.interface),
            lineage={"shards": "abc"},
            run_id=run,
            scores=registry.VersionScores(scores),
        )
        if promoted:
            registry.promote(name, version, judged_against=registry.champion(name))
        return version

    return registered


def said(name: str, days: int = 0, model: str = "inpainter", shade: int = 60) -> PageContent:
    """Return what a small page says."""
    picture = np.full((4, 16, 16, 3), shade, np.uint8)
    protocol = Protocol(metric="PSNR", implementation="test", reference="5d1e0c77", samples=4)
    score = Score(name="psnr_hole", value=17.5 + days, low=17, high=19 + days, better="higher", protocol=protocol)
    return PageContent(
        run=RunFacts(
            name=name,
            finished=datetime(2026, 11, 20, 3, tzinfo=UTC) + timedelta(days=days),
            config_digest=f"c0ffee{days:02d}",
            command=f"kintsugi run configs/{name}.yaml",
        ),
        models=(
            ModelPage(
                name=model,
                version=str(days + 1),
                decision=Decision(verdict="promote", reasons=("better than the champion by 0.9 dB",)),
                subjects=(Subject(name=model, role="model", scores=(score,)),),
                samples=(Picture(content=png(figures.grid(picture)), alt="Four samples"),),
            ),
        ),
    )


def published(store: Store, content: PageContent) -> Page:
    """Put a page into a store, as the stage does."""

    def write(draft: Path) -> dict[str, str]:
        write_page(content, draft / "page.html")
        (draft / "page.json").write_text(content.model_dump_json())
        return {"name": content.run.name}

    return store.materialise(Page, {"content": content.model_dump_json()}, write)


@pytest.fixture(scope="session")
def told() -> Callable[..., PageContent]:
    """What a small page says."""
    return said


@pytest.fixture(scope="session")
def publish() -> Callable[[Store, PageContent], Page]:
    """Put a page into a store, as the stage does."""
    return published


@dataclass
class Service:
    """The service, running in a thread of the test."""

    client: httpx.Client
    champions: Champions
    pages: Pages
    port: int
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def serve(workspace: Workspace) -> Iterator[Callable[..., Service]]:
    """Start the service on a free port; it ends with the test."""
    running = []

    def begin(
        store: Store | None = None,
        model: str | None = None,
        limits: Limits | None = None,
        watches: Queue | None = None,
        **settings: object,
    ) -> Service:
        chosen = Settings.from_environment("127.0.0.1", 0)
        chosen = Settings(**{**vars(chosen), "limits": limits or Limits(), **settings})
        champions = Champions(workspace)
        pages = Pages(store or Store(workspace.store), workspace.cache / "pages")
        listening = bind(chosen)
        pipeline = None if watches is None else Pipeline(champions.measures.registry, workspace, watches)
        app = create_app(chosen, champions, pages, (model,) if model else (), pipeline)
        server = server_of(app, chosen.limits)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        port = listening.getsockname()[1]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        running.append((server, thread, client))
        return Service(client, champions, pages, port)

    yield begin
    for server, thread, client in running:
        client.close()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
