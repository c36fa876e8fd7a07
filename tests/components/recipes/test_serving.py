"""Served models take and give base64 PNG, and say what is wrong with what they are sent."""

import base64
import hashlib
import io
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.pictures.provenance import provenance_of
from components.recipes.export import export_digest
from components.recipes.recipe import GeneratorRecipe
from components.recipes.serving import ServedGenerator, ServedRestorer, _load_pyfunc, decode_png, encode_png
from tests.components.recipes.conftest import RECIPES


def mask_of(missing: np.ndarray) -> str:
    return encode_png(np.repeat(missing[..., None], 3, axis=2).astype(np.uint8) * 255)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if isinstance(recipe, GeneratorRecipe)])
def test_a_served_generator_draws_a_picture_per_seed(name, exports):
    model = _load_pyfunc(str(exports[name]))
    assert isinstance(model, ServedGenerator)
    answers = model.predict(pd.DataFrame({"seed": [1, 2, 1]}))
    pictures = [decode_png(answer["image"]) for answer in answers]
    assert [picture.shape for picture in pictures] == [(16, 16, 3)] * 3
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_served_restorer_mends_pictures_of_different_sizes(exports, shapes):
    model = _load_pyfunc(str(exports["resnet"]))
    assert isinstance(model, ServedRestorer)
    pictures = [shapes[0], np.random.default_rng(0).integers(0, 256, (21, 37, 3), np.uint8)]
    holes = [np.zeros(picture.shape[:2], bool) for picture in pictures]
    for hole in holes:
        hole[3:9, 5:14] = True
    rows = {"image": [encode_png(one) for one in pictures], "mask": [mask_of(hole) for hole in holes]}
    for answer, picture, hole in zip(model.predict(pd.DataFrame(rows)), pictures, holes, strict=True):
        mended = decode_png(answer["image"])
        assert mended.shape == picture.shape
        assert np.array_equal(mended[~hole], picture[~hole])


def test_a_mask_of_another_size_is_refused_with_both_sizes(exports, shapes):
    frame = pd.DataFrame({"image": [encode_png(shapes[0])], "mask": [mask_of(np.ones((8, 9), bool))]})
    with pytest.raises(ValueError, match="the mask has 9x8 pixels, the image 16x16"):
        _load_pyfunc(str(exports["resnet"])).predict(frame)


def test_pictures_come_back_bitwise(shapes):
    assert np.array_equal(decode_png(encode_png(shapes[3])), shapes[3])


def encoded(picture: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_any_mode_becomes_rgb(mode, shapes):
    assert decode_png(encoded(Image.fromarray(shapes[0]).convert(mode), "PNG")).shape == (16, 16, 3)


BAD = {
    "no base64": "not base64!",
    "no image": base64.b64encode(b"hello").decode(),
    "another format": encoded(Image.new("RGB", (4, 4)), "BMP"),
    "torn": base64.b64encode(base64.b64decode(encoded(Image.effect_noise((64, 64), 50), "PNG"))[:900]).decode(),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_picture_is_refused_in_words(what):
    words = r"expected (PNG, JPEG, WEBP|the base64 text of an image file)|cannot be read as a whole picture"
    with pytest.raises(ValueError, match=words):
        decode_png(BAD[what])


def told(answer: dict[str, str]):
    with Image.open(io.BytesIO(base64.b64decode(answer["image"]))) as image:
        return provenance_of(image)


def packaged(export, folder, about: str | None):
    """Lay a model out as MLflow does, with what it writes beside a version that it fetches from the registry."""
    shutil.copytree(export, folder / "data" / "export")
    if about is not None:
        (folder / "registered_model_meta").write_text(about)
    return str(folder / "data" / "export")


@pytest.mark.parametrize(
    ("about", "known"),
    [
        ("model_name: zoo-vae\nmodel_version: '3'\n", ("zoo-vae", 3)),
        (None, (None, None)),
        ("[", (None, None)),
        ("model_name: zoo-vae\n", (None, None)),
    ],
)
def test_pictures_of_a_packaged_model_say_where_they_come_from_as_far_as_it_knows(about, known, exports, tmp_path):
    path = packaged(exports["conv_vae"], tmp_path / "model", about)
    (answer,) = _load_pyfunc(path).predict(pd.DataFrame({"seed": [7]}))
    said = told(answer)
    assert ((said.model, said.version), said.seed, said.number, said.made) == (known, 7, 0, None)
    assert said.export == export_digest(exports["conv_vae"])


def test_a_picture_mended_by_a_packaged_model_says_of_what(exports, shapes, tmp_path):
    path = packaged(exports["resnet"], tmp_path / "model", "model_name: zoo-inpainter\nmodel_version: 2\n")
    hole = np.zeros((16, 16), bool)
    hole[3:9, 5:14] = True
    image = encode_png(shapes[0])
    (answer,) = _load_pyfunc(path).predict(pd.DataFrame({"image": [image], "mask": [mask_of(hole)]}))
    said = told(answer)
    assert (said.model, said.version, said.source_type) == ("zoo-inpainter", 2, "compositeWithTrainedAlgorithmicMedia")
    assert said.source == hashlib.sha256(base64.b64decode(image)).hexdigest()
    assert np.array_equal(decode_png(answer["image"])[~hole], shapes[0][~hole])
