"""A person's mistakes end with exit code 2 and a message that names them, and leave nothing half-written."""

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.smoke, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures that do not belong together."""
    folder = tmp_path_factory.mktemp("mistakes")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "photo.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / "mask.png")
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(folder / "other.png")
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def answers(smoke, call, photos):
    """Make all of them; return (exit code, message) by name."""
    repair = ["repair", photos / "photo.png", "--model", "smoke-inpainter", "-o", photos / "out.png", "--mask"]
    generate = ["generate", "-o", photos / "out.png", "--model"]
    commands = {
        "unknown key": ["run", smoke.config, "--set", "models.vae.training.imagse=1"],
        "missing config": ["run", photos / "none.yaml"],
        "unknown option": ["run", smoke.config, "--sett", "a=1"],
        "missing mask": [*repair, photos / "none.png"],
        "mask of another size": [*repair, photos / "other.png"],
        "mask that is no picture": [*repair, photos / "text.png"],
        "unknown output format": [*repair[:4], "-o", photos / "out.xyz", "--mask", photos / "mask.png"],
        "unknown model": [*generate, "dragon"],
        "model of another family": [*generate, "smoke-inpainter"],
        "model without a champion": [*generate, "smoke-gan"],
        "nothing to roll back to": ["rollback", "smoke-vae"],
        "unknown run": ["compare", "smoke", "dragon"],
    }
    said = {name: call(*command, home=smoke.home) for name, command in commands.items()}
    return {name: (one.returncode, one.stdout + one.stderr) for name, one in said.items()}


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("unknown key", ["models.vae.training.imagse", "did you mean 'images'?"]),
        ("missing config", ["none.yaml"]),
        ("unknown option", ["--sett"]),
        ("missing mask", ["none.png", "No such file"]),
        ("mask of another size", ["other.png", "30 x 30", "30 x 20"]),
        ("mask that is no picture", ["text.png", "not a picture"]),
        ("unknown output format", ["out.xyz", "cannot be written"]),
        ("unknown model", ["dragon is not registered", "smoke-inpainter, smoke-vae"]),
        ("model of another family", ["smoke-inpainter", "name one that makes pictures"]),
        ("model without a champion", ["smoke-gan", "no champion"]),
        ("nothing to roll back to", ["smoke-vae", "no earlier champion"]),
        ("unknown run", ["dragon", "smoke-"]),
    ],
)
def test_a_mistake_ends_with_code_2_and_is_named(answers, mistake, words):
    code, message = answers[mistake]
    assert code == 2, message
    assert "Traceback" not in message
    assert [word for word in words if word not in message] == [], message


def test_mistakes_leave_nothing_half_written(answers, photos):
    assert sorted(path.name for path in photos.iterdir()) == ["mask.png", "other.png", "photo.png", "text.png"]
