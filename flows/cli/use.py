"""Commands that use the champions: repair, generate, serve."""

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flows.cli import servers
from flows.cli.tables import say

app = App()

Output = Annotated[Path, Parameter(name=["-o", "--output"], help="File to write.")]
Version = Annotated[int | None, Parameter(help="A version instead of the champion.")]


@app.command
def repair(
    image: Annotated[Path, Parameter(help="The picture, of any size.")],
    *,
    mask: Annotated[
        Path | None,
        Parameter(help="A picture of the same size, white where pixels are missing; needed if the model only fills."),
    ] = None,
    output: Output,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
) -> None:
    """Mend a picture with the champion. Pixels that are not missing are kept, unless the model restores everything."""
    from components.recipes.recipe import Restorer
    from components.recipes.repair import repair as mend
    from flows.cli import champions

    picture = _read(image)
    holes = np.zeros(picture.shape[:2], np.bool_) if mask is None else _read_mask(mask)
    if holes.shape != picture.shape[:2]:
        raise ValueError(
            f"{mask}: {holes.shape[1]} x {holes.shape[0]} pixels, expected those of {image}, "
            f"{picture.shape[1]} x {picture.shape[0]}"
        )
    name, producer = champions.producer(model, version)
    if not isinstance(producer, Restorer):
        raise ValueError(f"{name} makes pictures and mends none; name an inpainter with --model")  # noqa: TRY004 - the user chose it
    if mask is None and not producer.restores_known:
        raise ValueError(f"{name} only fills missing pixels; say with --mask which of {image} are missing")
    _save(mend(producer, picture, holes), output)
    done = "whole picture restored" if producer.restores_known else f"{holes.mean():.1%} of the picture mended"
    say(f"{output}: {done} by {name}")


@app.command
def generate(
    *,
    output: Annotated[
        Path, Parameter(name=["-o", "--output"], help="A file for one sheet, or a folder for single files.")
    ],
    model: Annotated[str, Parameter(help="Registered name, or its last part: gan, vae.")] = "gan",
    count: Annotated[int, Parameter(name=["-n", "--count"], help="How many pictures.")] = 16,
    seed: Annotated[int, Parameter(help="Equal seeds make equal pictures.")] = 0,
    of: Annotated[str | None, Parameter(name="--class", help="Class, for a conditional gan; none: any.")] = None,
    version: Version = None,
) -> None:
    """Make pictures with the champion."""
    from components.recipes.recipe import ClassGenerator, Generator
    from components.report import figures
    from flows.cli import champions

    if count < 1:
        raise ValueError(f"-n {count}: expected at least 1")
    name, producer = champions.producer(model, version)
    if not isinstance(producer, Generator):
        raise ValueError(f"{name} mends pictures and makes none; name a gan or vae with --model")  # noqa: TRY004
    if of is None:
        pictures = producer.generate(count, seed)
    elif isinstance(producer, ClassGenerator):
        pictures = producer.generate_class(of, count, seed)
    else:
        raise ValueError(f"{name} was trained without classes; leave --class out")
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
    from components.tracking import scoring
    from flows.cli import champions

    record, delivery = champions.delivered(model, version)
    command, environment = scoring.scoring_command(delivery.model, host=host, port=port)
    say(f"{record.name} version {delivery.version} on http://{host}:{port}/invocations")
    servers.serve([command], environment)


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
