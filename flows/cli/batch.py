"""Batches: many pictures mended or made by one command, one after the other in memory, continued where it was ended."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from components.champions import files
from components.champions.champion import Champion
from components.champions.damaged import Damaged, damaged
from components.champions.making import is_there
from components.data.sources.item import is_junk
from components.pictures.formats import format_of
from components.pictures.masks import Meaning
from flows.cli.tables import say
from flows.watching import watcher

_MASK_ENDINGS = ("", "_mask", "-mask")


class Wishes(NamedTuple):
    """How all pictures of a folder are to be mended."""

    masks: Path | None
    """The folder of their masks."""
    meaning: Meaning | None
    """What marks a missing pixel; None finds out."""
    grow_px: float
    size: int | None
    """At which size the network sees wide holes; None: from coarse to fine."""
    mark: bool
    """Whether files say which model mended them."""


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


def repair_all(folder: Path, output: Path, wishes: Wishes, mender: Champion) -> Tally:
    """Mend all pictures below a folder, to the same names below another, or the same one; refuse single ones.

    What an earlier command mended by the same model, of the same picture with the same mask, is left as it is, which
    the marks in files tell.

    Raises:
        UnwritableError: A file cannot be written; further ones could not either.
        ValueError: There are no pictures.
    """
    tally, progress = Tally(), watcher.get()
    output = folder if output.resolve() == folder.resolve() else output
    pictures = list(_pictures(folder, [place for place in (output, wishes.masks) if place not in {None, folder}]))
    if not pictures:
        raise ValueError(f"{folder}: there is no picture in it")
    for number, path in enumerate(pictures):
        progress("repair", number, len(pictures), path.name)
        try:
            mask = _mask_of(path, folder, wishes.masks)
            harm = damaged(path, mask, wishes.meaning, wishes.grow_px)
            tally.count(fresh=_repair(harm, _target(path, folder, output), mender, wishes))
        except files.UnwritableError:
            raise
        except ValueError as error:
            tally.refused.append(str(error))
    progress("repair", len(pictures), len(pictures))
    return tally


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


def _repair(harm: Damaged, target: Path, mender: Champion, wishes: Wishes) -> bool:
    """Mend one picture; return False if that was done before."""
    wanted = mender.maker.mended(harm.photo.sha256, harm.hole) if wishes.mark else None
    if is_there(target, wanted, in_place=str(target) == harm.name):
        return False
    written = mender.mended(harm, wishes.size).written(format_of(target), mender.maker if wishes.mark else None)
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
