"""Commands that use the champions: repair, generate, serve."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from components.workspace import Workspace
from flows.cli.progress import watched
from flows.cli.tables import say

if TYPE_CHECKING:
    from components.pictures.provenance import Maker, Provenance
    from components.recipes.recipe import Images, Restorer
    from flows.cli.batch import MaskReading

app = App()

Output = Annotated[Path, Parameter(name=["-o", "--output"], help="File to write, or folder if IMAGE is one.")]
Mark = Annotated[
    bool,
    Parameter(
        negative="--no-mark", help="Say in the file which model made or mended the picture; pixels do not change."
    ),
]
Version = Annotated[int | None, Parameter(help="A version instead of the champion.")]


@app.command
def repair(  # noqa: PLR0913 - a person's options
    image: Annotated[Path, Parameter(help="The picture, of any size, or a folder of pictures.")],
    *,
    mask: Annotated[
        Path | None,
        Parameter(
            name=["--mask", "--masks"],
            help="A picture of the same size that marks what is missing, or a folder with one of each picture's name; "
            "needed if the model only fills.",
        ),
    ] = None,
    mask_is: Annotated[
        Literal["white", "black", "alpha"] | None,
        Parameter(help="What marks a missing pixel; by default the mask's own two colours, or its opacity, say."),
    ] = None,
    grow: Annotated[float, Parameter(help="By how many pixels the missing parts grow on all sides.")] = 0,
    output: Output,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
    mark: Mark = True,
) -> None:
    """Mend a picture with the champion. Pixels that are not missing are kept, unless the model restores everything.

    The file is written in the format of its suffix, whole or not at all, over the picture itself if you wish, with the
    picture's grey, transparency, ICC profile, resolution, EXIF and XMP. A folder's pictures are mended one by one; the
    same command continues where it was ended.
    """
    if image.is_dir():
        from flows.cli.batch import MaskReading

        _repair_folder(image, MaskReading(mask, mask_is, grow), output, model, version, mark=mark)
        return
    from flows.cli import files

    form = files.demand_target(output)

    from components.pictures.reading import read_mask, read_photo
    from components.recipes.photos import MaskMissingError, demand_size, mended_file

    photo, hole = read_photo(files.read(image), str(image)), None
    if mask is not None:
        hole = read_mask(files.read(mask), str(mask), meaning=mask_is, grow_px=grow)
        demand_size(photo, hole, str(mask))
    called, restorer, maker = _restorer(model, version)
    try:
        written = mended_file(restorer, photo, hole, form, str(mask), maker if mark else None)
    except MaskMissingError as error:
        words = f"{called} only fills missing pixels; say with --mask which of {image} are missing"
        raise ValueError(words) from error
    files.save(written.content, output)
    share = "" if hole is None else f"{hole.mean():.1%} of the picture missing, "
    say(f"{output}: {share}{'whole picture restored' if restorer.restores_known else 'mended'} by {called}")
    for remark in written.remarks:
        say(f"  {remark}")


def _repair_folder(
    folder: Path, masks: "MaskReading", output: Path, model: str, version: int | None, *, mark: bool
) -> None:
    from flows.cli import batch, files

    if masks.folder is not None and not masks.folder.is_dir():
        raise ValueError(f"{masks.folder}: expected a folder of masks, as {folder} is a folder of pictures")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: expected a folder, as {folder} is one")
    called, restorer, maker = _restorer(model, version)
    if masks.folder is None and not restorer.restores_known:
        raise ValueError(f"{called} only fills missing pixels; say with --masks in which folder their masks are")
    files.make_folder(output)
    with watched():
        tally = batch.repair_all(folder, output, masks, batch.Mender(restorer, maker if mark else None))
    tally.report(output, f"mended by {called}")


def _restorer(model: str, version: int | None) -> "tuple[str, Restorer, Maker]":
    from components.recipes.recipe import Restorer
    from flows.cli import champions

    called, producer, maker = champions.loaded(model, version)
    if not isinstance(producer, Restorer):
        raise ValueError(f"{called} makes pictures and mends none; name one that mends with --model")  # noqa: TRY004 - the user chose it
    return called, producer, maker


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
    mark: Mark = True,
) -> None:
    """Make pictures with the champion. Into a folder, the same command continues where it was ended."""
    from flows.cli import files

    sheet = bool(output.suffix) and not output.is_dir()
    if sheet:
        files.demand_target(output)
    if count < 1:
        raise ValueError(f"-n {count}: expected at least 1")

    from components.recipes.recipe import ClassGenerator, Generator
    from flows.cli import batch, champions

    called, producer, maker = champions.loaded(model, version)
    if not isinstance(producer, Generator):
        raise ValueError(f"{called} mends pictures and makes none; name one that makes pictures with --model")  # noqa: TRY004
    if of is not None and not isinstance(producer, ClassGenerator):
        raise ValueError(f"{called} was trained without classes; leave --class out")

    def draw(samples: int, first: int) -> "Images":
        if of is None:
            return producer.generate(samples, seed, first)
        assert isinstance(producer, ClassGenerator)
        return producer.generate_class(of, samples, seed, first)

    def said(number: int | None) -> "Provenance | None":
        return maker.made(seed, number, of) if mark else None

    if sheet:
        files.save(batch.sheet(draw(count, 0), output, said(0 if count == 1 else None)), output)
        say(f"{output}: {count} pictures by {called}")
        return
    files.make_folder(output)
    with watched():
        tally = batch.generate_all(draw, [output / f"{seed}-{number:05d}.png" for number in range(count)], said)
    tally.report(output, f"made by {called}")


@app.command
def serve(
    *,
    model: Annotated[
        tuple[str, ...],
        Parameter(
            help="Model to load at the start: registered name, or its last part; may be repeated. The first is behind "
            "/invocations.",
            negative=(),
        ),
    ] = (),
    version: Annotated[int | None, Parameter(help="A version of the one --model instead of its champion.")] = None,
    host: Annotated[str, Parameter(help="Address to listen on; others than loopback need a password.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 5001,
    allowed_host: Annotated[
        tuple[str, ...], Parameter(help="Name by which others call this server; may be repeated.", negative=())
    ] = (),
    store: Annotated[str | None, Parameter(help="Artifact store that holds the pages.")] = None,
) -> None:
    """Serve a page to mend and draw with the champions, their API, and the pages of all runs, until Ctrl-C.

    KINTSUGI_SERVE_AUTH=user:password asks for that password, KINTSUGI_SERVE_TOKEN programs for that bearer token;
    KINTSUGI_SERVE_HOSTS adds to --allowed-host.
    """
    from components.serving.settings import AUTH, Settings

    settings = Settings.from_environment(host, port, allowed_host)
    if version is not None and len(model) != 1:
        raise ValueError(f"--version {version}: say with --model of which model, and name no other")

    from components.artifacts import Store
    from components.serving.app import create_app
    from components.serving.champions import Champions
    from components.serving.pages import Pages
    from components.serving.server import address_of, bind, run

    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    champions = Champions(workspace, {model[0]: version} if version is not None else {})
    service = create_app(settings, champions, Pages(artifacts, workspace.cache / "pages"), model)
    listening = bind(settings)
    access = f"for this machine only, without a password ({AUTH} sets one)"
    if not settings.is_open:
        access = "with a password" if settings.credentials else "with a token"
    say(f"kintsugi serve: {address_of(listening)}, {access}")
    try:
        run(service, listening, settings.limits)
    except KeyboardInterrupt:
        return
