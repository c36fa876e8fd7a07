"""Provenance: what made or mended a picture, said in its file and read back; its pixels do not change.

For everyone, in XMP, by IPTC's vocabulary of digital source types; for this program, as JSON in XMP and PNG's keywords.
"""

import hashlib
import importlib.metadata
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape, unescape
from typing import Literal

import numpy as np
from jaxtyping import Bool
from PIL import Image
from pydantic import ValidationError

from components.pictures.metadata import Metadata, metadata_of
from components.section import Section

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]

KEYWORD = "kintsugi"
"""Of PNG files, and of our property in XMP."""

_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_OURS = re.compile(rb'<rdf:Description xmlns:kintsugi="[^>]*/>')
_OTHER_TYPES = re.compile(
    rb"""\s[\w.-]+:DigitalSourceType="[^"]*"|<([\w.-]+:DigitalSourceType)>[^<]*</\1>|<[\w.-]+:DigitalSourceType\s[^>]*/>"""
)
_SAID = re.compile(rb'kintsugi:provenance="([^"]*)"')
_END = re.compile(rb"</rdf:RDF>")
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
"""XMP specification, part 1: a packet that says nothing."""


class Provenance(Section):
    """What made or mended a picture."""

    source_type: SourceType
    """IPTC's: made by a model, or a picture of which a model made a part."""
    model: str | None = None
    """Registered name, where who made it knew."""
    version: int | None = None
    """Of the model, likewise."""
    export: str
    """Digest of the model's files."""
    program: str
    """This program and its version."""
    made: str | None = None
    """When, in ISO 8601 with its time zone."""
    seed: int | None = None
    """Which draw."""
    number: int | None = None
    """Which picture of the draw, from 0; None for a sheet of the first ones."""
    of: str | None = None
    """Class that was asked for."""
    source: str | None = None
    """sha256 of the file that was mended."""
    mask: str | None = None
    """Digest of which pixels were missing; None where no mask was given."""

    def is_of_the_same_work(self, other: "Provenance") -> bool:
        """Return whether both say the same but for when, and by which version of the program."""
        return self.model_copy(update={"made": other.made, "program": other.program}) == other

    @property
    def text(self) -> str:
        """What is said, as JSON."""
        return self.model_dump_json(exclude_none=True)


@dataclass(frozen=True)
class Maker:
    """A version of a model, which says of what it makes and mends where it comes from."""

    model: str | None
    """Registered name; None and no version, where only the files are known."""
    version: int | None
    export: str
    """Digest of its files."""
    dated: bool = True
    """Whether it says when; without, equal work gives equal files."""

    def made(self, seed: int, number: int | None = None, of: str | None = None) -> Provenance:
        """Return what to say of a picture of the draw `seed`; no number is a sheet of the first ones."""
        said = self._said("trainedAlgorithmicMedia")
        return said.model_copy(update={"seed": seed, "number": number, "of": of})

    def mended(self, source: str | None, hole: Bool[np.ndarray, "height width"] | None) -> Provenance:
        """Return what to say of the mended copy of the file whose sha256 is `source`; None, if it came without one."""
        said = self._said("compositeWithTrainedAlgorithmicMedia")
        return said.model_copy(update={"source": source, "mask": None if hole is None else _digest(hole)})

    def _said(self, source_type: SourceType) -> Provenance:
        return Provenance(
            source_type=source_type,
            model=self.model,
            version=self.version,
            export=self.export,
            program=_program(),
            made=datetime.now(UTC).isoformat(timespec="seconds") if self.dated else None,
        )


def marked(metadata: Metadata, provenance: Provenance) -> Metadata:
    """Return the metadata of a file that says, beside all else, where its picture comes from."""
    said = (
        '<rdf:Description xmlns:kintsugi="urn:kintsugi:provenance:" rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{_TYPES}{provenance.source_type}" '
        f'kintsugi:provenance="{escape(provenance.text)}"/>'
    ).encode()
    before, lost = _OTHER_TYPES.sub(b"", _OURS.sub(b"", metadata.xmp)), metadata.lost
    if not _END.search(before):
        lost = (*lost, "the XMP is lost: nothing can be added to it") if before else lost
        before = _EMPTY
    xmp = _END.sub(lambda end: said + end[0], before, count=1)
    return replace(metadata, xmp=xmp, text={**metadata.text, KEYWORD: provenance.text}, lost=lost)


def provenance_of(image: Image.Image) -> Provenance | None:
    """Return what the file of a picture says of where it comes from; None if it says nothing that we wrote."""
    said = metadata_of(image)
    found = _SAID.search(said.xmp)
    try:
        return Provenance.model_validate_json(
            said.text.get(KEYWORD) or (unescape(found[1].decode("utf-8", "replace")) if found else "")
        )
    except ValidationError:
        return None


def _digest(hole: Bool[np.ndarray, "height width"]) -> str:
    return hashlib.sha256(repr(hole.shape).encode() + np.packbits(hole).tobytes()).hexdigest()


def _program() -> str:
    try:
        return f"kintsugi {importlib.metadata.version('kintsugi')}"
    except importlib.metadata.PackageNotFoundError:
        return "kintsugi"
