"""Tars: the pictures of one draw in WebDataset tars, each of which is whole or not there, and always the same bytes."""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from components.artifacts.files import remove_drafts
from components.champions.files import drafted
from components.champions.making import Count, Draw, Progress
from components.data.tars import Sample, members, write_tar
from components.pictures.formats import named
from components.pictures.provenance import Provenance


def make_tars(draw: Draw, count: int, per_tar: int, folder: Path, progress: Progress) -> Count:
    """Write the first pictures of a draw to tars, but for tars that an earlier command finished and marked.

    A sample is a PNG file, what it says of where it comes from as JSON, and the number of its class where one was asked
    for. Nothing says when it was made, so that equal work gives equal bytes.

    Args:
        draw: The pictures.
        count: How many.
        per_tar: How many go into each tar; the last may have fewer.
        folder: Existing folder for the tars.
        progress: Told of every picture.

    Raises:
        UnwritableError: A tar cannot be written.
    """
    draw = replace(draw, maker=None if draw.maker is None else replace(draw.maker, dated=False))
    tally = Count()
    for first in range(0, count, per_tar):
        numbers = range(first, min(first + per_tar, count))
        tar = folder / f"{draw.seed}-{first // per_tar:06d}.tar"
        if _is_whole(tar, draw, numbers):
            tally.there += len(numbers)
            progress(numbers.stop, count)
        else:
            remove_drafts(tar)
            with drafted(tar) as draft:
                write_tar(_samples(draw, numbers, lambda done: progress(done, count)), draft)
            tally.fresh += len(numbers)
    return tally


def _samples(draw: Draw, numbers: range, told: Callable[[int], None]) -> Iterator[Sample]:
    for number, picture in draw.numbered(numbers):
        yield Sample(_key(draw, number), _members(draw, draw.file(picture[None], named("PNG"), number), number))
        told(number + 1)


def _members(draw: Draw, png: bytes, number: int) -> Mapping[str, bytes]:
    said = draw.said(number)
    about = {} if said is None else {"json": said.text.encode()}
    label = {"cls": str(draw.classes.index(draw.of)).encode()} if draw.of is not None else {}
    return {"png": png, **about, **label}


def _key(draw: Draw, number: int) -> str:
    return f"{draw.seed}-{number:08d}"


def _is_whole(tar: Path, draw: Draw, numbers: range) -> bool:
    """Return whether a tar holds these pictures of the draw and says so; one that says nothing is made again."""
    if draw.maker is None:
        return False
    expected = [f"{_key(draw, number)}.{part}" for number in numbers for part in sorted(_members(draw, b"", number))]
    try:
        found = list(members(tar))
        if [member.name for member in found] != expected:
            return False
        first = next(member for member in found if member.name.endswith(".json"))
        with tar.open("rb") as file:
            file.seek(first.offset)
            said = Provenance.model_validate_json(file.read(first.bytes))
    except (OSError, tarfile.TarError, ValidationError):
        return False
    return said.is_of_the_same_work(draw.maker.made(draw.seed, numbers.start, draw.of))
