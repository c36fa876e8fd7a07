"""Commands that use the champions: repair, generate, serve."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from components.workspace import Workspace
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
        Parameter(help="A picture of the same size that marks what is missing; needed if the model only fills."),
    ] = None,
    mask_is: Annotated[
        Literal["white", "black", "alpha"] | None,
        Parameter(help="What marks a missing pixel; by default the mask's own two colours, or its opacity, say."),
    ] = None,
    grow: Annotated[float, Parameter(help="By how many pixels the missing parts grow on all sides.")] = 0,
    output: Output,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
) -> None:
    """Mend a picture with the champion. Pixels that are not missing are kept, unless the model restores everything.

    The file is written in the format of its suffix, whole or not at all, over the picture itself if you wish, with the
    picture's grey, transparency, ICC profile, resolution, EXIF and XMP.
    """
    from flows.cli import files

    form = files.demand_target(output)

    from components.pictures.reading import read_mask, read_photo
    from components.recipes.photos import MaskMissingError, demand_usable, mended_file
    from components.recipes.recipe import Restorer
    from flows.cli import champions

    photo, hole = read_photo(files.read(image), str(image)), None
    if mask is not None:
        hole = read_mask(files.read(mask), str(mask), meaning=mask_is, grow_px=grow)
        demand_usable(photo, hole, str(mask))
    name, producer = champions.producer(model, version)
    if not isinstance(producer, Restorer):
        raise ValueError(f"{name} makes pictures and mends none; name one that mends with --model")  # noqa: TRY004 - the user chose it
    try:
        written = mended_file(producer, photo, hole, form, str(mask))
    except MaskMissingError as error:
        words = f"{name} only fills missing pixels; say with --mask which of {image} are missing"
        raise ValueError(words) from error
    files.save(written.content, output)
    share = "" if hole is None else f"{hole.mean():.1%} of the picture missing, "
    say(f"{output}: {share}{'whole picture restored' if producer.restores_known else 'mended'} by {name}")
    for note in written.remarks:
        say(f"  {note}")


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
    from PIL import Image

    from components.pictures import figures
    from components.pictures.encoding import png
    from components.pictures.formats import encoded, named
    from components.pictures.metadata import Metadata
    from components.recipes.recipe import ClassGenerator, Generator
    from flows.cli import champions, files

    form = files.demand_target(output) if output.suffix else named("PNG")
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
        sheet = pictures[0] if count == 1 else figures.grid(pictures, scale=1)
        files.save(encoded(Image.fromarray(sheet), form, Metadata()), output)
    else:
        files.make_folder(output)
        for number, picture in enumerate(pictures):
            files.save(png(picture), output / f"{seed}-{number:05d}.png")
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
