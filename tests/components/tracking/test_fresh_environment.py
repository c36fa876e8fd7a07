"""A registered model loads and works in a new environment that has what its requirements name, and not this project.

The environment has the project's code as a wheel, for a model brings none, installed without what the project needs.
PyTorch and the libraries for graphics cards below it are those of the environment that runs this test, for they take
7 GB; links name them one by one, so that nothing else of it can be seen.
"""

import base64
import json
import os
import subprocess
import sys
import venv
from importlib.metadata import distribution, distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from components.models.vae import ConvVaeConfig
from components.recipes.export import ModelCard, export_digest, write_export
from components.recipes.recipe import PRODUCER
from components.recipes.vae import VaeConfig
from components.tracking import registry, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_USE = """
import importlib.util, json, sys
from pathlib import Path
import mlflow, pandas as pd
folder = Path(sys.argv[1])
model = mlflow.pyfunc.load_model(str(folder))
example = json.loads((folder / "serving_input_example.json").read_text())["dataframe_split"]
answer = model.predict(pd.DataFrame(example["data"], columns=example["columns"]))
import components
there = [name for name in ("prefect", "boto3", "torchvision", "torch_fidelity") if importlib.util.find_spec(name)]
said = {"pictures": [one["image"] for one in answer], "code": components.__path__[0], "there": there}
print(json.dumps({**said, "asked": len(example["data"])}))
"""


def is_heavy(name: str) -> bool:
    return name == "torch" or (name.startswith(("triton", "cuda-", "nvidia-")) and name != "nvidia-ml-py")


def uv(*arguments: str) -> None:
    """Run uv's pip, as if no PYTHONPATH were set."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "uv", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def below_torch() -> list[str]:
    """Return what PyTorch requires besides what is shared."""
    wanted = [Requirement(line) for line in distribution("torch").requires or []]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [f"{one.name}{one.specifier}" for one in here if not is_heavy(one.name)]


@pytest.fixture
def delivered(store, tmp_path) -> Path:
    """The folder of a registered VAE, checked."""
    recipe = VaeConfig(network=ConvVaeConfig(latent=8, width=4))
    export = tmp_path / "vae"
    export.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    network = recipe.build(16, 1).networks[PRODUCER]
    write_export(export, recipe.finished(network, images, 1), ModelCard(size=16, recipe=recipe, images=128))
    digest = export_digest(export)
    run = runs.open_run("fresh", "vae", digest)
    version = registry.register(
        "fresh-vae", registry.Export(export, digest, "vae", recipe.interface), lineage={"shards": "abc"}, run_id=run
    )
    return registry.download("fresh-vae", version, tmp_path / "copy").model


@pytest.fixture
def fresh(tmp_path) -> Path:
    """The Python of a new environment that sees this one's PyTorch and nothing else of it."""
    place, shared = tmp_path / "fresh", tmp_path / "shared"
    venv.create(place, with_pip=False)
    shared.mkdir()
    for found in filter(lambda one: is_heavy(one.name), distributions()):
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            if not (shared / top).exists():
                (shared / top).symlink_to(str(found.locate_file(top)))
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"{shared}\n")
    return place / "bin" / "python"


def test_a_registered_model_works_in_a_new_environment(delivered, fresh, root, tmp_path):
    without_torch = tmp_path / "overrides.txt"
    without_torch.write_text('torch ; sys_platform == "none"\n')
    uv("build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "wheel"), str(root))
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    install = ("pip", "install", "--quiet", "--python", str(fresh))
    uv(*install, "--no-deps", str(wheel))
    named = ("--requirements", str(delivered / "requirements.txt"), "--overrides", str(without_torch))
    uv(*install, *named, *below_torch())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    blind = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # no network is needed
    done = subprocess.run(
        [str(fresh), "-I", "-c", _USE, str(delivered)],
        capture_output=True, text=True, check=False, timeout=300, cwd=elsewhere,
        env={"PATH": os.environ["PATH"], "HOME": str(elsewhere), **blind},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["pictures"]) == said["asked"] > 0
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in said["pictures"])
    assert said["code"].startswith(str(tmp_path / "fresh"))
    assert said["there"] == []
