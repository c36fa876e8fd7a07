"""Champion: a version of a model, in memory, that mends and makes pictures."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from components.champions import files
from components.champions.damaged import Damaged, Pictured, damaged
from components.champions.loading import loaded
from components.champions.making import Draw
from components.pictures.formats import named
from components.pictures.masks import Meaning
from components.pictures.provenance import Maker
from components.recipes.photos import MaskMissingError, Mended, mended_photo
from components.recipes.recipe import ClassGenerator, Generator, Producer, Restorer


def champion(name: str, version: int | None = None) -> "Champion":
    """Return the version of a model that is in service, or another one, ready to be used.

    Its files are copied into the workspace at KINTSUGI_HOME once, and checked against the ledger. It works on a GPU
    where there is one.

    Args:
        name: Registered name, or its last part if that fits one model only: "inpainter" for "quickstart-inpainter".
        version: A version instead of the champion.

    Raises:
        ValueError: There is no such model or version, or it has no champion.
    """
    return Champion(*loaded(name, version))


@dataclass(frozen=True, repr=False)
class Champion:
    """A version of a model; `champion` returns the one in service."""

    name: str
    """Its registered name."""
    version: int
    """Its number in the registry."""
    producer: Producer
    """Its network."""
    maker: Maker
    """What its pictures say of where they come from."""

    def __repr__(self) -> str:
        return f"<{self.called}>"

    @property
    def called(self) -> str:
        """Name and version, in words."""
        return f"{self.name} version {self.version}"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of which a picture can be asked for; none, unless it was trained with some."""
        return tuple(self.producer.classes) if isinstance(self.producer, ClassGenerator) else ()

    @property
    def restores_known(self) -> bool:
        """Whether it restores whole pictures, so that it needs no mask."""
        return self._restorer().restores_known

    def repair(  # noqa: PLR0913 - a person's options
        self,
        image: Pictured,
        mask: Pictured | None = None,
        *,
        mask_is: Meaning | None = None,
        grow: float = 0,
        size: int | None = None,
        enlarge: int = 1,
        to: str | Path | None = None,
        mark: bool = True,
    ) -> Image.Image:
        """Return a mended picture of the same size, if not enlarged, and mode, as `kintsugi repair` makes it.

        Pixels that are not missing are the picture's own, unless the model restores everything. It comes upright, as
        its EXIF asks. Only modes that cannot hold what networks make become others: a palette L or RGB, grey of 1 or
        16 bits L.

        Args:
            image: A picture of any size: a path, one of Pillow's, or an array of uint8 levels, (height, width) or
                (height, width, channels).
            mask: A picture of the same size that marks what is missing, by a colour or by opacity; or an array of
                bool, True where missing. None, if the model restores everything.
            mask_is: What marks a missing pixel; None finds out.
            grow: By how many pixels the missing parts grow on all sides.
            size: Show the network each wide hole whole, in a copy of its surroundings whose longer side has at most so
                many pixels; None mends holes from coarse to fine, a rim at a time.
            enlarge: So many times the sides, for models that learnt to restore enlarged pictures among all else.
            to: A file to write as well, in the format of its suffix, whole or not at all; over the picture itself, if
                you wish. It keeps what the picture's own file says beside pixels.
            mark: Say in that file which model mended it.

        Raises:
            ValueError: The model mends nothing, a picture cannot be read or written, or a mask can be read in two ways;
                in the words of the command line.
        """
        target = None if to is None else Path(to)
        form = None if target is None else files.demand_target(target)
        mended = self.mended(self.enlarged(damaged(image, mask, mask_is, grow), enlarge), size)
        if target is not None and form is not None:
            files.save(mended.written(form, self.maker if mark else None).content, target)
        return mended.image

    def enlarged(self, harm: Damaged, factor: int) -> Damaged:
        """Return what this model is to restore in a size of its own: the picture, enlarged by cubic interpolation.

        Raises:
            ValueError: The model restores no known pixels, the factor is none, or the picture would be too large.
        """
        if factor != 1 and not self.restores_known:
            raise ValueError(f"{self.called} only fills missing pixels; one that restores everything can enlarge")
        return harm.enlarged(factor)

    def mended(self, harm: Damaged, size: int | None = None) -> Mended:
        """Return a picture, mended, and still with all that its file says; `size` is that of `repair`.

        Raises:
            MaskMissingError: The model only fills missing pixels, and nobody says which those are.
            ValueError: It mends nothing, or the mask marks nothing, or everything.
        """
        try:
            return mended_photo(self._restorer(), harm.photo, harm.hole, harm.mask, size)
        except MaskMissingError as error:
            words = f"{self.called} only fills missing pixels; say with a mask which of {harm.name} are missing"
            raise MaskMissingError(words) from error

    def generate(
        self, n: int = 1, seed: int = 0, *, of: str | None = None, to: str | Path | None = None, mark: bool = True
    ) -> list[Image.Image]:
        """Return the first pictures of a draw, as `kintsugi generate` makes them. More pictures extend fewer.

        Args:
            n: How many.
            seed: Which draw: equal seeds make equal pictures.
            of: Class, for a model with `classes`; None: any.
            to: A folder to write them to as well, as PNG files; it is made if it is not there.
            mark: Say in the files which model made them.

        Raises:
            ValueError: The model makes nothing or knows no such class, fewer than 1 is asked for, or the folder cannot
                be written to; in the words of the command line.
        """
        draw = self.draw(seed, of, mark=mark)
        if n < 1:
            raise ValueError(f"{n} pictures were asked for, expected at least 1")
        folder = None if to is None else Path(to)
        if folder is not None:
            files.make_folder(folder)
        made = []
        for number, picture in draw.numbered(range(n)):
            made.append(Image.fromarray(picture))
            if folder is not None:
                files.save(draw.file(picture[None], named("PNG"), number), draw.place(folder, number))
        return made

    def draw(self, seed: int, of: str | None = None, *, mark: bool = True) -> Draw:
        """Return the pictures of a seed, as many as will be asked for.

        Args:
            seed: Which draw.
            of: Class; None: any.
            mark: Whether their files say which model made them.

        Raises:
            ValueError: The model makes nothing, or knows no such class.
        """
        if not isinstance(self.producer, Generator):
            words = f"{self.called} mends pictures and makes none; name one that makes pictures"
            raise ValueError(words)  # noqa: TRY004 - the user chose it
        if of is not None and not self.classes:
            raise ValueError(f"{self.called} was trained without classes")
        if of is not None and of not in self.classes:
            raise ValueError(f"class {of!r}: expected one of {', '.join(self.classes)}")
        return Draw(self.producer, self.maker if mark else None, seed, of)

    def _restorer(self) -> Restorer:
        if not isinstance(self.producer, Restorer):
            words = f"{self.called} makes pictures and mends none; name one that mends"
            raise ValueError(words)  # noqa: TRY004 - the user chose it
        return self.producer
