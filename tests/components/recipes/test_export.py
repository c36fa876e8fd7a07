"""An export is rebuilt exactly, named by content, and refused when it is not what it says."""

import json
import shutil

import numpy as np
import pytest
import torch

from components.recipes.export import CARD, WEIGHTS, export_digest, load_producer, read_card
from components.recipes.recipe import Restorer
from tests.components.recipes.conftest import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_what_was_exported_makes_the_same_pictures(name, exports, producers, shapes):
    loaded = load_producer(exports[name], torch.device("cpu"))
    if isinstance(loaded, Restorer):
        missing = np.zeros(shapes.shape[:3], bool)
        missing[:, 4:9, 3:12] = True
        pictures = [producer.restore(shapes, missing) for producer in (producers[name], loaded)]
    else:
        pictures = [producer.generate(6, 3) for producer in (producers[name], loaded)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_says_how_it_was_made(name, exports, recipes):
    card = read_card(exports[name])
    assert (card.size, card.recipe, card.images) == (16, recipes[name], 128)


def test_the_folder_holds_weights_and_card_and_nothing_executable(exports):
    assert sorted(path.name for path in exports["dcgan"].iterdir()) == [CARD, WEIGHTS]


def test_equal_content_has_equal_digests_and_any_change_another(exports, tmp_path):
    copy = shutil.copytree(exports["conv_vae"], tmp_path / "copy")
    assert export_digest(copy) == export_digest(exports["conv_vae"]) != export_digest(exports["dcgan"])
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    assert export_digest(copy) != export_digest(exports["conv_vae"])


def changed(folder, **values) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | values))


DAMAGE = {
    "no card": (lambda one, other: (one / CARD).unlink(), "model.json: not a model card .* No such file"),
    "card of text": (
        lambda one, other: (one / CARD).write_text("hello"),
        "model.json: not a model card .*Expecting value",
    ),
    "card of later code": (
        lambda one, other: changed(one, format=2),
        r"model.json: not a model card .*\(format: Input",
    ),
    "foreign key": (lambda one, other: changed(one, mood="good"), r"\(mood: Extra inputs are not permitted"),
    "foreign family": (lambda one, other: changed(one, recipe={"kind": "diffusion"}), "recipe: Input tag 'diffusion'"),
    "absurd size": (lambda one, other: changed(one, size=10**9), "size: Input should be less than or equal to 1024"),
    "no weights": (lambda one, other: (one / WEIGHTS).unlink(), "model.safetensors: not a readable file of weights"),
    "torn weights": (
        lambda one, other: (one / WEIGHTS).write_bytes((one / WEIGHTS).read_bytes()[:-100]),
        "model.safetensors: not a readable file of weights",
    ),
    "weights of another family": (
        lambda one, other: shutil.copy(other / WEIGHTS, one),
        "model.safetensors: the weights do not fit model.json .*Missing key",
    ),
    "weights of another width": (
        lambda one, other: changed(
            one, recipe={"kind": "gan", "generator": {"kind": "dcgan", "latent": 8, "width": 8}}
        ),
        "model.safetensors: the weights do not fit model.json .*size mismatch",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_an_export_that_is_not_what_it_says_is_refused(what, exports, tmp_path):
    folder = shutil.copytree(exports["dcgan"], tmp_path / "copy")
    damage, words = DAMAGE[what]
    damage(folder, exports["conv_vae"])
    with pytest.raises(ValueError, match=f"(?s){words}"):
        load_producer(folder)
