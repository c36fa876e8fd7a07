"""Commands that use the champions: repair, generate, serve."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from components.workspace import Workspace
from flows.cli.tables import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    import numpy as np

    from components.pictures.reading import read_mask, read_picture
    from components.recipes.recipe import Restorer
    from components.recipes.repair import repair as mend
    from flows.cli import champions

    picture = read_picture(_read(image), str(image))
    holes = np.zeros(picture.shape[:2], np.bool_) if mask is None else read_mask(_read(mask), str(mask))
    if holes.shape != picture.shape[:2]:
        raise ValueError(
            f"{mask}: {holes.shape[1]} x {holes.shape[0]} pixels, expected those of {image}, "
            f"{picture.shape[1]} x {picture.shape[0]}"
        )
    name, producer = champions.producer(model, version)
    if not isinstance(producer, Restorer):
        raise ValueError(f"{name} makes pictures and mends none; name one that mends with --model")  # noqa: TRY004 - the user chose it
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
    from components.pictures import figures
    from components.recipes.recipe import ClassGenerator, Generator
    from flows.cli import champions

    if count < 1:
        raise ValueError(f"-n {count}: expected at least 1")
    name, producer = champions.producer(model, version)
    if not isinstance(producer, Generator):
        raise ValueError(f"{name} mends pictures and makes none; name one that makes pictures with --model")  # noqa: TRY004
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
    model: Annotated[
        str | None, Parameter(help="Model behind /invocations: registered name, or its last part.")
    ] = None,
    version: Annotated[int | None, Parameter(help="A version of --model instead of its champion.")] = None,
    host: Annotated[str, Parameter(help="Address to listen on; others than loopback need a password.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 5001,
    allowed_host: Annotated[
        tuple[str, ...], Parameter(help="Name by which others call this server; may be repeated.", negative=())
    ] = (),
    store: Annotated[str | None, Parameter(help="Artifact store that holds the pages.")] = None,
) -> None:
    """Serve the champions and the pages of all runs over HTTP, until Ctrl-C.

    KINTSUGI_SERVE_AUTH=user:password asks for that password; KINTSUGI_SERVE_HOSTS adds to --allowed-host.
    """
    from components.serving.settings import AUTH, Settings

    settings = Settings.from_environment(host, port, allowed_host)
    if version is not None and model is None:
        raise ValueError(f"--version {version}: say with --model of which model")

    from components.artifacts import Store
    from components.serving.app import create_app
    from components.serving.champions import Champions
    from components.serving.pages import Pages
    from components.serving.server import address_of, bind, run

    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    champions = Champions(workspace, {model: version} if model is not None and version is not None else {})
    service = create_app(settings, champions, Pages(artifacts, workspace.cache / "pages"), model)
    listening = bind(settings)
    access = (
        "with a password" if settings.credentials else f"for this machine only, without a password ({AUTH} sets one)"
    )
    say(f"kintsugi serve: {address_of(listening)}, {access}")
    try:
        run(service, listening, settings.limits)
    except KeyboardInterrupt:
        return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be made a folder ({error.strerror})") from error


def _save(picture: "NDArray[np.uint8]", path: Path) -> None:
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be written ({error})") from error
