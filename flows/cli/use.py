"""Commands that use the champions: repair, generate, serve."""

import subprocess
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from components.recipes.export import load_producer
from components.recipes.recipe import Generator, Restorer
from components.recipes.repair import repair as mend
from components.report import figures
from components.tracking import registry, runs, scoring
from components.tracking.packaging import Delivery
from components.tracking.standing import ModelRecord
from components.workspace import Workspace
from flows.cli.tables import say

app = App()

Output = Annotated[Path, Parameter(name=["-o", "--output"], help="File to write.")]
Version = Annotated[int | None, Parameter(help="A version instead of the champion.")]


@app.command
def repair(
    image: Annotated[Path, Parameter(help="The picture, of any size.")],
    *,
    mask: Annotated[Path, Parameter(help="A picture of the same size, white where pixels are missing.")],
    output: Output,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
) -> None:
    """Mend a picture with the champion. Pixels that are not missing are kept untouched."""
    picture, holes = _read(image), _read_mask(mask)
    if holes.shape != picture.shape[:2]:
        raise ValueError(
            f"{mask}: {holes.shape[1]} x {holes.shape[0]} pixels, expected those of {image}, "
            f"{picture.shape[1]} x {picture.shape[0]}"
        )
    name, producer = _producer(model, version)
    if not isinstance(producer, Restorer):
        raise ValueError(f"{name} makes pictures and mends none; name an inpainter with --model")  # noqa: TRY004 - the user chose it
    _save(mend(producer, picture, holes), output)
    say(f"{output}: {holes.mean():.1%} of the picture mended by {name}")


@app.command
def generate(
    *,
    output: Annotated[
        Path, Parameter(name=["-o", "--output"], help="A file for one sheet, or a folder for single files.")
    ],
    model: Annotated[str, Parameter(help="Registered name, or its last part: gan, vae.")] = "gan",
    count: Annotated[int, Parameter(name=["-n", "--count"], help="How many pictures.")] = 16,
    seed: Annotated[int, Parameter(help="Equal seeds make equal pictures.")] = 0,
    version: Version = None,
) -> None:
    """Make pictures with the champion."""
    if count < 1:
        raise ValueError(f"-n {count}: expected at least 1")
    name, producer = _producer(model, version)
    if not isinstance(producer, Generator):
        raise ValueError(f"{name} mends pictures and makes none; name a gan or vae with --model")  # noqa: TRY004
    pictures = producer.generate(count, seed)
    if output.suffix:
        _save(pictures[0] if count == 1 else figures.grid(pictures, scale=1), output)
    else:
        _make_folder(output)
        for number, picture in enumerate(pictures):
            _save(picture, output / f"{seed}-{number:05d}.png")
    say(f"{output}: {count} pictures by {name}")


@app.command
def serve(
    *,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
    host: Annotated[str, Parameter(help="Address to listen on. The server asks nobody for a password.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = 5001,
) -> None:
    """Serve the champion over HTTP with MLflow's scoring server, until Ctrl-C."""
    record, delivery = _delivered(model, version)
    command, environment = scoring.scoring_command(delivery.model, host=host, port=port)
    say(f"{record.name} version {delivery.version} on http://{host}:{port}/invocations")
    raise SystemExit(subprocess.run(command, env=environment, check=False).returncode)


def _delivered(model: str, version: int | None) -> tuple[ModelRecord, Delivery]:
    workspace = Workspace.from_environment()
    runs.configure(workspace.home)
    record = _resolved(model)
    number = version if version is not None else record.champion
    if number is None:
        raise ValueError(f"{record.name} has no champion yet; kintsugi run CONFIG trains and promotes one")
    return record, registry.download(record.name, number, workspace.cache / "models" / f"{record.name}-{number}")


def _producer(model: str, version: int | None) -> tuple[str, Any]:
    record, delivery = _delivered(model, version)
    return f"{record.name} version {delivery.version}", load_producer(delivery.export)


def _resolved(model: str) -> ModelRecord:
    """Return the model of this name, or the only one whose name ends so."""
    records = registry.models()
    fitting = [record for record in records if record.name == model] or [
        record for record in records if record.name.endswith(f"-{model}")
    ]
    if len(fitting) != 1:
        known = ", ".join(record.name for record in fitting or records) or "none; kintsugi run CONFIG makes some"
        problem = "is the name of more than one model" if fitting else "is not registered"
        raise ValueError(f"--model {model} {problem}; there are: {known}")
    return fitting[0]


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not a picture in a known format") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(_opened(path).convert("RGB"))


def _read_mask(path: Path) -> NDArray[np.bool_]:
    return np.asarray(_opened(path).convert("L")) > 127


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be made a folder ({error.strerror})") from error


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    try:
        Image.fromarray(picture).save(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be written ({error})") from error
