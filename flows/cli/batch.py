"""Batches: many pictures mended or made by one command, one after the other in memory, continued where it was ended."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from components.data.sources.item import is_junk
from components.pictures import figures
from components.pictures.decoding import DAMAGE
from components.pictures.formats import encoded, format_of
from components.pictures.masks import Meaning
from components.pictures.metadata import Metadata
from components.pictures.provenance import Maker, Provenance, marked, provenance_of
from components.pictures.reading import read_mask, read_photo
from components.recipes.photos import demand_size, mended_file
from components.recipes.recipe import Images, Restorer
from flows.cli import files
from flows.cli.tables import say
from flows.watching import watcher

_AT_ONCE = 64
_MASK_ENDINGS = ("", "_mask", "-mask")


class MaskReading(NamedTuple):
    """Where masks are, and how they are meant."""

    folder: Path | None
    meaning: Meaning | None
    grow_px: float


class Mender(NamedTuple):
    """A model that mends, and what its pictures say of it: nothing, if None."""

    restorer: Restorer
    maker: Maker | None


@dataclass
class Tally:
    """What became of the pictures of a batch."""

    done: int = 0
    there: int = 0
    """Done by an earlier command."""
    refused: list[str] = field(default_factory=list)
    """Why each of the others was not, in words."""

    def count(self, *, fresh: bool) -> None:
        """Count a picture that is where it should be."""
        self.done, self.there = self.done + fresh, self.there + (not fresh)

    def report(self, output: Path, done: str) -> None:
        """Say it; what was refused ends the command with exit code 2."""
        there = f", {self.there} were there already" if self.there else ""
        refused = f", {len(self.refused)} refused" if self.refused else ""
        say(f"{output}: {self.done} pictures {done}{there}{refused}")
        sys.stderr.writelines(f"error: {words}\n" for words in self.refused)
        if self.refused:
            raise SystemExit(2)


def repair_all(folder: Path, output: Path, masks: MaskReading, mender: Mender) -> Tally:
    """Mend all pictures below a folder, to the same names below another, or the same one; refuse single ones.

    What an earlier command mended by the same model, of the same picture with the same mask, is left as it is, which
    the marks in files tell.

    Raises:
        UnwritableError: A file cannot be written; further ones could not either.
        ValueError: There are no pictures.
    """
    tally, progress = Tally(), watcher.get()
    output = folder if output.resolve() == folder.resolve() else output
    pictures = list(_pictures(folder, [place for place in (output, masks.folder) if place not in {None, folder}]))
    if not pictures:
        raise ValueError(f"{folder}: there is no picture in it")
    for number, path in enumerate(pictures):
        progress("repair", number, len(pictures), path.name)
        try:
            mask = _mask_of(path, folder, masks.folder)
            tally.count(fresh=_repair(path, _target(path, folder, output), masks, mender, mask))
        except files.UnwritableError:
            raise
        except ValueError as error:
            tally.refused.append(str(error))
    progress("repair", len(pictures), len(pictures))
    return tally


def generate_all(
    draw: Callable[[int, int], Images], targets: Sequence[Path], said: Callable[[int], Provenance | None]
) -> Tally:
    """Write the first pictures of a draw, but for those that an earlier command wrote and marked.

    Args:
        draw: Given how many and the number of the first, returns pictures of the draw.
        targets: Where each goes.
        said: Given its number, returns what the file is to say of a picture.

    Raises:
        UnwritableError: A file cannot be written.
    """
    tally, progress = Tally(), watcher.get()
    for first in range(0, len(targets), _AT_ONCE):
        some = targets[first : first + _AT_ONCE]
        wanted = [place for place, path in enumerate(some) if not _is_there(path, said(first + place))]
        pictures = draw(len(some), first) if wanted else None
        for place, path in enumerate(some):
            if pictures is not None and place in wanted:
                files.save(sheet(pictures[place : place + 1], path, said(first + place)), path)
            tally.count(fresh=place in wanted)
        progress("generate", first + len(some), len(targets))
    return tally


def sheet(pictures: Images, path: Path, said: Provenance | None) -> bytes:
    """Return the file of one picture, or of a grid of several, in the format that a path names."""
    image = Image.fromarray(pictures[0] if len(pictures) == 1 else figures.grid(pictures, scale=1))
    form = format_of(path)
    kept = Metadata() if said is None else marked(Metadata(), said).within(form.keeps, form.most_bytes, form.name)
    return encoded(image, form, kept)


def _pictures(folder: Path, without: Sequence[Path | None]) -> Iterator[Path]:
    """Yield the files below a folder in order, but for other folders and what systems leave in all of them."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") or is_junk(part) for part in path.relative_to(folder).parts)
        elsewhere = any(place is not None and path.resolve().is_relative_to(place.resolve()) for place in without)
        if path.is_file() and not hidden and not elsewhere:
            yield path


def _target(path: Path, folder: Path, output: Path) -> Path:
    """Return where the mended copy goes: its own place, or its name elsewhere, with .png behind one not written."""
    target = output / path.relative_to(folder)
    if target == path:
        return target
    try:
        format_of(target)
    except ValueError:
        return target.with_name(f"{target.name}.png")
    return target


def _repair(path: Path, target: Path, masks: MaskReading, mender: Mender, mask: Path | None) -> bool:
    """Mend one picture; return False if that was done before."""
    photo, hole = read_photo(files.read(path), str(path)), None
    if mask is not None:
        hole = read_mask(files.read(mask), str(mask), meaning=masks.meaning, grow_px=masks.grow_px)
        demand_size(photo, hole, str(mask))
    wanted = None if mender.maker is None else mender.maker.mended(photo.sha256, hole)
    if _is_there(target, wanted, in_place=target == path):
        return False
    written = mended_file(mender.restorer, photo, hole, format_of(target), str(mask), mender.maker)
    files.make_folder(target.parent)
    files.save(written.content, target)
    return True


def _mask_of(path: Path, folder: Path, masks: Path | None) -> Path | None:
    """Return the mask of a picture: the file of its name, with any suffix, perhaps with _mask before it.

    Raises:
        ValueError: There is none, or there are several.
    """
    if masks is None:
        return None
    place = masks / path.relative_to(folder).parent
    stems = {path.stem + ending for ending in _MASK_ENDINGS}
    found = [one for one in sorted(place.glob("*")) if one.stem in stems and one.is_file()]
    exact = [one for one in found if one.name == path.name]
    if len(exact or found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise ValueError(f"{path}: expected one mask called {path.stem} in {place}, found {names}")
    return (exact or found)[0]


def _is_there(target: Path, wanted: Provenance | None, *, in_place: bool = False) -> bool:
    """Return whether a file says that it is the same work, of the same picture unless it has taken its place."""
    if wanted is None:
        return False
    try:
        with Image.open(target) as image:
            said = provenance_of(image)
    except DAMAGE:
        return False
    if said is not None and in_place:
        wanted = wanted.model_copy(update={"source": said.source})
    return said is not None and said.is_of_the_same_work(wanted)
