"""Serving: an exported model behind MLflow's pyfunc interface, base64 PNG in and out. Loaded by name, never pickled."""

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from components.pictures.encoding import png
from components.pictures.formats import encoded, named
from components.pictures.metadata import Metadata
from components.pictures.provenance import Maker, marked
from components.pictures.reading import WEB_FORMATS, read_mask, read_photo, read_picture
from components.recipes.export import export_digest, load_producer
from components.recipes.photos import mended_file
from components.recipes.recipe import ClassGenerator, Generator, Restorer
from components.recipes.repair import Picture

_REGISTERED = "registered_model_meta"
"""MLflow's file about the version, in the model's folder, two above that of the export."""


def _load_pyfunc(path: str) -> "ServedGenerator | ServedRestorer":
    """Return the model in the folder `path`; MLflow calls this by name."""
    producer, maker = load_producer(Path(path)), _maker(Path(path))
    return ServedRestorer(producer, maker) if isinstance(producer, Restorer) else ServedGenerator(producer, maker)


def _maker(export: Path) -> Maker:
    """Return what pictures of the model in a folder can say of where they come from.

    MLflow writes beside a model that it fetches from the registry which version of which model it is. Of a model that
    came in another way the export's digest is known, by which `kintsugi verify` finds the version.
    """
    known: tuple[str | None, int | None] = None, None
    with suppress(OSError, ValueError, TypeError, LookupError, yaml.YAMLError):
        found = yaml.safe_load((export.resolve().parents[1] / _REGISTERED).read_text())
        known = str(found["model_name"]), int(found["model_version"])
    return Maker(*known, export_digest(export), dated=False)


class ServedGenerator:
    """Columns `seed` and, for a conditional model, `class` in, column `image` out."""

    def __init__(self, producer: Generator, maker: Maker | None = None) -> None:
        """Prepare.

        Args:
            producer: The model.
            maker: What its pictures say of where they come from; None: nothing.
        """
        self.producer = producer
        self.maker = maker

    def predict(self, frame: Any) -> list[dict[str, str]]:  # noqa: ANN401 - a pandas DataFrame
        """Return one picture per row, drawn from the row's seed, of the row's class or of any where it names none.

        Raises:
            ValueError: A class is named that the model does not know.
        """
        classes = frame["class"] if "class" in frame else [None] * len(frame)
        rows = zip(frame["seed"], classes, strict=True)
        return [{"image": self._marked(self._picture(int(seed), name), int(seed), name)} for seed, name in rows]

    def _marked(self, picture: Picture, seed: int, name: object) -> str:
        of = name if isinstance(name, str) else None
        kept = Metadata() if self.maker is None else marked(Metadata(), self.maker.made(seed, 0, of))
        return base64.b64encode(encoded(Image.fromarray(picture), named("PNG"), kept)).decode()

    def _picture(self, seed: int, name: object) -> Picture:
        if not isinstance(name, str):
            return np.asarray(self.producer.generate(1, seed)[0])
        if not isinstance(self.producer, ClassGenerator):
            raise ValueError(f"class {name!r}: this model was trained without classes")  # noqa: TRY004 - the user's mistake
        return np.asarray(self.producer.generate_class(name, 1, seed)[0])


class ServedRestorer:
    """Columns `image` and `mask` in, column `image` out; masks are read as in `kintsugi repair`."""

    def __init__(self, producer: Restorer, maker: Maker | None = None) -> None:
        """Prepare.

        Args:
            producer: The model.
            maker: What its pictures say of where they come from; None: nothing.
        """
        self.producer = producer
        self.maker = maker

    def predict(self, frame: Any) -> list[dict[str, str]]:  # noqa: ANN401 - a pandas DataFrame
        """Return each row's picture, of any size, with missing pixels filled in.

        Raises:
            ValueError: A picture or mask cannot be read, they differ in size, or all is marked, or nothing.
        """
        masks = frame["mask"] if "mask" in frame else [None] * len(frame)
        return [{"image": self._mended(image, mask)} for image, mask in zip(frame["image"], masks, strict=True)]

    def _mended(self, image: str, mask: object) -> str:
        photo = read_photo(_file(image, "image"), "image", WEB_FORMATS)
        hole = read_mask(_file(mask, "mask"), "mask", WEB_FORMATS) if isinstance(mask, str) else None
        mended = mended_file(self.producer, photo, hole, named("PNG"), maker=self.maker)
        return base64.b64encode(mended.content).decode()


def encode_png(image: Picture) -> str:
    """Return a picture (height, width, 3) as the base64 text of a PNG file."""
    return base64.b64encode(png(image)).decode()


def decode_png(text: str) -> Picture:
    """Return the RGB picture (height, width, 3) in the base64 text of an image file.

    Raises:
        TooManyPixelsError: It has more pixels than are decoded.
        ValueError: It is not base64, or not a whole PNG, JPEG or WebP image.
    """
    content = _file(text, "image")
    return read_picture(content, f"image of {len(content)} bytes", WEB_FORMATS)


def _file(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"{name}: expected the base64 text of an image file ({error})") from error
