"""A file says what made its picture: for all in IPTC's words, for this program in full, and pixels do not change."""

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from components.pictures.formats import encoded as file_of
from components.pictures.formats import format_of
from components.pictures.metadata import Metadata
from components.pictures.provenance import Maker, marked, provenance_of
from components.pictures.reading import read_photo
from tests.components.pictures.conftest import HEIGHT, WIDTH, XMP, encoded, of_mode

MAKER = Maker("team-inpainter", 7, "0123abcd")
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[3:9, 4:20] = True
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
THEIRS = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:dc="dc" '
    'e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture" dc:creator="Ann"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def source_types(image: Image.Image) -> list[str]:
    """Return what a reader of XMP that knows nothing of us finds."""
    root = ElementTree.fromstring(image.info["xmp"])
    return [one.attrib[IPTC].rsplit("/", 1)[1] for one in root.iter() if IPTC in one.attrib]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
def test_a_mended_copy_says_so_in_every_format_that_can(name):
    photo = read_photo(encoded(of_mode("RGB")), "photo")
    said = MAKER.mended(photo.sha256, HOLE)
    form = format_of(Path(name))
    plain, with_mark = (photo.written(photo.pixels, HOLE, form, one) for one in (None, said))
    assert np.array_equal(np.asarray(opened(plain.content)), np.asarray(opened(with_mark.content)))
    assert provenance_of(opened(with_mark.content)) == said
    assert provenance_of(opened(plain.content)) is None
    assert source_types(opened(with_mark.content)) == ["compositeWithTrainedAlgorithmicMedia"]


@pytest.mark.parametrize("name", ["a.bmp", "a.jp2"])
def test_a_format_that_cannot_say_it_is_named(name):
    photo = read_photo(encoded(of_mode("RGB")), "photo")
    written = photo.written(photo.pixels, HOLE, format_of(Path(name)), MAKER.mended(photo.sha256, HOLE))
    assert "cannot say where the picture comes from" in " ".join(written.notes)


def test_a_picture_made_of_nothing_says_so():
    said = MAKER.made(5, 3, 'a "quoted" <class>')
    content = file_of(of_mode("RGB"), format_of(Path("a.webp")), marked(Metadata(), said))
    assert provenance_of(opened(content)) == said
    assert source_types(opened(content)) == ["trainedAlgorithmicMedia"]


@pytest.mark.parametrize("xmp", [XMP, THEIRS.encode()])
def test_what_others_said_in_xmp_stays_but_for_another_source_type(xmp):
    photo = read_photo(encoded(of_mode("RGB"), "JPEG", xmp=xmp), "photo")
    result = opened(photo.written(photo.pixels, HOLE, format_of(Path("a.jpg")), MAKER.mended("s", HOLE)).content)
    assert source_types(result) == ["compositeWithTrainedAlgorithmicMedia"]
    assert (b'dc:creator="Ann"' in result.info["xmp"]) == (b"Ann" in xmp)


def test_who_mends_it_again_is_the_one_who_is_named():
    content = encoded(of_mode("RGB"), "JPEG")
    for version in (1, 2, 3):
        photo = read_photo(content, "photo")
        said = Maker("m", version, "e").mended(photo.sha256, HOLE)
        content = photo.written(photo.pixels, HOLE, format_of(Path("a.jpg")), said).content
        assert provenance_of(opened(content)) == said
    assert source_types(opened(content)) == ["compositeWithTrainedAlgorithmicMedia"]


@pytest.mark.parametrize(
    "xmp", [b"not XML", b"<x/>", b'kintsugi:provenance="{}"', b'kintsugi:provenance="&#xffffffff;"']
)
def test_what_is_no_xmp_is_lost_by_name_and_says_nothing(xmp):
    content = encoded(of_mode("RGB"), "JPEG", xmp=xmp)
    assert provenance_of(opened(content)) is None
    photo = read_photo(content, "photo")
    written = photo.written(photo.pixels, HOLE, format_of(Path("a.jpg")), MAKER.mended("s", HOLE))
    assert "the XMP is lost: nothing can be added to it" in written.notes


def test_equal_work_is_known_whenever_it_was_done():
    said = MAKER.mended("s", HOLE)
    assert said.is_of_the_same_work(said.model_copy(update={"made": "earlier", "program": "another"}))
    assert not said.is_of_the_same_work(MAKER.mended("s", ~HOLE))
    assert not said.is_of_the_same_work(MAKER.mended("t", HOLE))
    assert not said.is_of_the_same_work(Maker("team-inpainter", 8, "0123abcd").mended("s", HOLE))
