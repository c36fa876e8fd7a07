"""Commands that use the champions: repair, generate, serve."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.progress import watched
from flows.cli.tables import say
from flows.watching import watcher

if TYPE_CHECKING:
    from flows.cli.batch import Wishes

Output = Annotated[Path, Parameter(name=["-o", "--output"], help="File to write, or folder if IMAGE is one.")]
Mark = Annotated[
    bool,
    Parameter(
        negative="--no-mark", help="Say in the file which model made or mended the picture; pixels do not change."
    ),
]
Version = Annotated[int | None, Parameter(help="A version instead of the champion.")]


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
    size: Annotated[
        int | None,
        Parameter(
            help="Side in pixels at which the network sees each wide hole whole, amid its surroundings; by default "
            "wide holes are mended from coarse to fine, a rim at a time."
        ),
    ] = None,
    enlarge: Annotated[
        int,
        Parameter(help="So many times the sides, with a model that restores everything and has learnt low resolution."),
    ] = 1,
    output: Output,
    model: Annotated[str, Parameter(help="Registered name, or its last part.")] = "inpainter",
    version: Version = None,
    mark: Mark = True,
) -> None:
    """Mend a picture with the champion. Pixels that are not missing are kept, unless the model restores everything.

    Tiles of 512 pixels are mended, only where there are holes, on a GPU where there is one.

    The file is written in the format of its suffix, whole or not at all, over the picture itself if you wish, with the
    picture's grey, transparency, ICC profile, resolution, EXIF and XMP. A folder's pictures are mended one by one; the
    same command continues where it was ended.
    """
    if image.is_dir():
        from flows.cli.batch import Wishes

        if enlarge != 1:
            raise ValueError(f"--enlarge {enlarge}: expected a single picture, {image} is a folder")
        _repair_folder(image, Wishes(mask, mask_is, grow, size, mark), output, model, version)
        return
    from components.champions import files

    form = files.demand_target(output)

    from components.champions.champion import champion
    from components.champions.damaged import damaged
    from components.recipes.photos import MaskMissingError

    harm = damaged(image, mask, mask_is, grow)
    mender = champion(model, version)
    harm = mender.enlarged(harm, enlarge)
    try:
        mended = mender.mended(harm, size)
    except MaskMissingError as error:
        words = f"{mender.called} only fills missing pixels; say with --mask which of {image} are missing"
        raise ValueError(words) from error
    written = mended.written(form, mender.maker if mark else None)
    files.save(written.content, output)
    share = "" if harm.hole is None else f"{harm.hole.mean():.1%} of the picture missing, "
    say(f"{output}: {share}{'whole picture restored' if mender.restores_known else 'mended'} by {mender.called}")
    for remark in written.remarks:
        say(f"  {remark}")


def _repair_folder(folder: Path, wishes: "Wishes", output: Path, model: str, version: int | None) -> None:
    from components.champions import files
    from components.champions.champion import champion
    from flows.cli import batch

    if wishes.masks is not None and not wishes.masks.is_dir():
        raise ValueError(f"{wishes.masks}: expected a folder of masks, as {folder} is a folder of pictures")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: expected a folder, as {folder} is one")
    mender = champion(model, version)
    if wishes.masks is None and not mender.restores_known:
        raise ValueError(f"{mender.called} only fills missing pixels; say with --masks in which folder their masks are")
    files.make_folder(output)
    with watched():
        tally = batch.repair_all(folder, output, wishes, mender)
    tally.report(output, f"mended by {mender.called}")


def generate(  # noqa: PLR0913 - a person's options
    *,
    output: Annotated[
        Path, Parameter(name=["-o", "--output"], help="A file for one sheet, or a folder for single files.")
    ],
    model: Annotated[str, Parameter(help="Registered name, or its last part: gan, vae.")] = "gan",
    count: Annotated[int, Parameter(name=["-n", "--count"], help="How many pictures.")] = 16,
    seed: Annotated[int, Parameter(help="Equal seeds make equal pictures.")] = 0,
    of: Annotated[str | None, Parameter(name="--class", help="Class, for a conditional gan; none: any.")] = None,
    per_tar: Annotated[
        int | None,
        Parameter(
            help="Into tars of so many pictures each, as WebDataset and dataset.source {kind: webdataset} read them, "
            "instead of single files."
        ),
    ] = None,
    version: Version = None,
    mark: Mark = True,
) -> None:
    """Make pictures with the champion. Into a folder, the same command continues where it was ended."""
    from components.champions import files

    sheet = files.demand_target(output) if output.suffix and not output.is_dir() else None
    if count < 1:
        raise ValueError(f"-n {count}: expected at least 1")
    if per_tar is not None and (per_tar < 1 or sheet):
        raise ValueError(f"--per-tar {per_tar} -o {output}: expected at least 1, and a folder for the tars")

    from components.champions import making, tars
    from components.champions.champion import champion

    maker = champion(model, version)
    draw = maker.draw(seed, of, mark=mark)
    if sheet is not None:
        files.save(draw.file(draw.pictures(count), sheet, 0 if count == 1 else None), output)
        say(f"{output}: {count} pictures by {maker.called}")
        return

    from flows.cli.batch import Tally

    files.make_folder(output)
    with watched():
        progress = partial(watcher.get(), "generate")
        if per_tar is None:
            made = making.make_files(draw, count, output, progress)
        else:
            made = tars.make_tars(draw, count, per_tar, output, progress)
    Tally(made.fresh, made.there).report(output, f"made by {maker.called}")


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
    """Serve a page to mend and draw with the champions, their API, and all runs' pages, until Ctrl-C.

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
    from components.serving.pipeline import Pipeline
    from components.serving.server import address_of, bind, run
    from flows.cli.waiting import runs_by_state

    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    champions = Champions(workspace, {model[0]: version} if version is not None else {})
    pipeline = Pipeline(champions.measures.registry, workspace, runs_by_state)
    service = create_app(settings, champions, Pages(artifacts, workspace.cache / "pages"), model, pipeline)
    listening = bind(settings)
    access = f"for this machine only, without a password ({AUTH} sets one)"
    if not settings.is_open:
        access = "with a password" if settings.credentials else "with a token"
    say(f"kintsugi serve: {address_of(listening)}, {access}")
    try:
        run(service, listening, settings.limits)
    except KeyboardInterrupt:
        return
