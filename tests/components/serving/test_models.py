"""Champions make and mend pictures over HTTP, within limits, and say in words what they cannot do."""

import base64
import io
import json
import struct
import threading
import time
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

from components.pictures import figures
from components.pictures.formats import named
from components.pictures.reading import read_mask, read_photo
from components.recipes.export import load_producer
from components.recipes.photos import mended_file
from components.recipes.repair import repair
from components.serving.settings import Limits

pytestmark = pytest.mark.timeout(120)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG of many black pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes((width + 7) // 8 + 1) * min(height, 20_000), 9)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PHOTO = np.random.default_rng(2).integers(0, 256, (30, 41, 3), np.uint8)
HOLE = np.zeros((30, 41), np.uint8)
HOLE[10:20, 5:25] = 255


@pytest.fixture
def team(register, serve):
    for family in ("vae", "gan", "inpainter"):
        register(family)
    return serve(model="inpainter")


def in_registry(workspace, name):
    """Return the producer of the served copy."""
    return load_producer(workspace.cache / "models" / f"{name}-1" / "data" / "export")


def test_models_are_listed_and_made_use_of(team, workspace):
    listed = {one["name"]: one for one in team.client.get("/models").json()}
    assert set(listed) == {"team-gan", "team-inpainter", "team-vae"}
    assert listed["team-inpainter"]["champion"] == 1
    assert listed["team-inpainter"]["scores"] == {"psnr_hole": 17.5}

    answer = team.client.post("/models/inpainter/repair", files={"image": png(PHOTO), "mask": png(HOLE)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["x-kintsugi-model"], answer.headers["x-kintsugi-version"]) == ("team-inpainter", "1")
    mended = pixels(answer.content)
    assert np.array_equal(mended, repair(in_registry(workspace, "team-inpainter"), PHOTO, HOLE > 127))
    assert np.array_equal(mended[HOLE == 0], PHOTO[HOLE == 0])

    answer = team.client.post("/models/team-vae/generate", json={"count": 5, "seed": 9})
    expected = figures.grid(in_registry(workspace, "team-vae").generate(5, 9), scale=1)
    assert np.array_equal(pixels(answer.content), expected)

    answer = team.client.post("/models/gan/generate", json={"count": 1, "seed": 3, "class": "cat"})
    assert np.array_equal(pixels(answer.content), in_registry(workspace, "team-gan").generate_class("cat", 1, 3)[0])
    models_do_only_what_they_can(team)


def test_invocations_are_those_of_mlflow(team):
    row = {"image": base64.b64encode(png(PHOTO)).decode(), "mask": base64.b64encode(png(HOLE)).decode()}
    bodies = (
        {"dataframe_records": [row]},
        {"dataframe_split": {"columns": ["mask", "image"], "data": [[row["mask"], row["image"]]]}},
        {"instances": [row]},
        {"inputs": {name: [value] for name, value in row.items()}},
    )
    found = []
    for body in bodies:
        answer = team.client.post("/invocations", json=body)
        assert answer.status_code == 200, answer.text
        (prediction,) = answer.json()["predictions"]
        found.append(prediction["image"])
    assert len(set(found)) == 1
    assert np.array_equal(pixels(base64.b64decode(found[0]))[HOLE == 0], PHOTO[HOLE == 0])


def test_invocations_of_a_generator_take_seeds_and_classes(register, serve):
    register("gan")
    client = serve(model="gan").client
    body = {"dataframe_records": [{"seed": 1, "class": "dog"}, {"seed": 1, "class": "dog"}, {"seed": 2}]}
    first, second, third = (one["image"] for one in client.post("/invocations", json=body).json()["predictions"])
    assert first == second != third
    refused = client.post("/invocations", json={"dataframe_records": [{"seed": 1, "class": "<b>yak"}]})
    assert refused.status_code == 422
    assert "cat" in refused.json()["detail"]


def test_invocations_without_a_model_are_those_of_the_only_one_in_service_and_else_say_so(register, serve):
    register("gan")
    register("inpainter", promoted=False)
    client = serve().client
    row = {"dataframe_records": [{"seed": 1}]}
    assert client.post("/invocations", json=row).status_code == 200
    register("vae")
    answer = serve().client.post("/invocations", json=row)
    assert answer.status_code == 404
    assert answer.json()["detail"] == answer.json()["message"]
    assert (
        "no model was named for this address; of team-gan, team-vae, kintsugi serve --model" in answer.json()["detail"]
    )


FORMS = {
    "no image": ({"mask": png(HOLE)}, 422, "expected a file called image"),
    "no mask": ({"image": png(PHOTO)}, 422, "send a file called mask"),
    "another field": ({"image": png(PHOTO), "more": b"x"}, 422, "expected one file called image"),
    "mask of another size": ({"image": png(PHOTO), "mask": png(HOLE[:9])}, 422, "the mask has 41x9 pixels"),
    "no picture": ({"image": b"hello", "mask": png(HOLE)}, 422, "image: not a picture in a known format"),
    "torn picture": ({"image": png(PHOTO)[:900], "mask": png(HOLE)}, 422, "image: cannot be read as a whole picture"),
    "too many pixels": ({"image": bomb(9000, 9000), "mask": png(HOLE)}, 413, "image: 9000 x 9000 pixels, expected"),
    "bomb": ({"image": bomb(30_000, 30_000), "mask": png(HOLE)}, 413, "image: many times more pixels"),
    "mask that is a bomb": ({"image": png(PHOTO), "mask": bomb(60_000, 60_000)}, 413, "mask: many times more"),
}


def test_pictures_that_cannot_be_mended_are_refused_in_words(register, serve):
    register("inpainter")
    client = serve().client
    odd = {}
    for what, (files, status, words) in FORMS.items():
        answer = client.post("/models/inpainter/repair", files=files)
        if (answer.status_code, words in answer.text) != (status, True):
            odd[what] = answer.text
    assert odd == {}


BODIES = {
    "pickle": (b"\x80\x04.", "application/python-pickle", 415, "expected the content type application/json"),
    "no type": (b"{}", "", 415, "expected the content type application/json"),
    "no JSON": (b"{", "application/json", 422, "Invalid JSON"),
    "deep JSON": (b"[" * 100_000, "application/json", 422, "Invalid JSON"),
    "another key": (b'{"number": 3}', "application/json", 422, "number: Extra inputs"),
    "too many": (b'{"count": 65}', "application/json", 422, "count: expected from 1 to 64, found 65"),
    "none": (b'{"count": 0}', "application/json", 422, "count:"),
    "a seed that is no number": (b'{"seed": "x"}', "application/json", 422, "seed:"),
    "a seed without end": (b'{"seed": 1e400}', "application/json", 422, "seed:"),
    "a class of a model without": (b'{"class": "cat"}', "application/json", 422, "trained without classes"),
}


def test_wishes_that_cannot_be_met_are_refused_in_words(register, serve):
    register("vae")
    client = serve().client
    odd = {}
    for what, (content, kind, status, words) in BODIES.items():
        answer = client.post("/models/vae/generate", content=content, headers={"Content-Type": kind})
        if (answer.status_code, words in answer.text) != (status, True):
            odd[what] = answer.text
    assert odd == {}


def models_do_only_what_they_can(team):
    assert "makes pictures and mends none" in team.client.post("/models/vae/repair", files={"image": png(PHOTO)}).text
    assert "mends pictures and makes none" in team.client.post("/models/inpainter/generate", json={}).text
    answer = team.client.post("/models/dragon/generate", json={})
    assert (answer.status_code, "team-gan, team-inpainter, team-vae" in answer.json()["detail"]) == (404, True)


class Slow:
    """A generator that takes its time and counts who is inside."""

    def __init__(self, inner, seconds):
        self.inner, self.seconds, self.inside, self.most = inner, seconds, 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()

    def generate(self, samples, seed, first=0):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.gate.wait(self.seconds)
        with self.lock:
            self.inside -= 1
        return self.inner.generate(samples, seed, first)


def slowed(service, seconds):
    """Make the served vae slow."""
    service.client.post("/models/vae/generate", json={"count": 1})
    champion = service.champions.shelf.in_service["team-vae"]
    slow = Slow(champion.producer, seconds)
    service.champions.shelf.in_service["team-vae"] = type(champion)(champion.name, champion.version, slow)
    return slow


def test_more_requests_than_there_is_room_for_are_refused_at_once_and_health_still_answers(register, serve):
    register("vae")
    service = serve(limits=Limits(jobs=2, waiting=2))
    slow = slowed(service, 60.0)
    codes: list[int] = []

    def ask():
        codes.append(httpx.post(f"{service.address}/models/vae/generate", json={"count": 1}, timeout=60).status_code)

    asking = [threading.Thread(target=ask) for _ in range(7)]
    for one in asking:
        one.start()
    deadline = time.monotonic() + 30
    while len(codes) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert service.client.get("/health").status_code == 200
    assert codes == [429] * 3
    slow.gate.set()
    for one in asking:
        one.join()
    assert sorted(codes) == [200] * 4 + [429] * 3
    assert slow.most == 2


def test_work_that_takes_too_long_is_given_up(register, serve):
    register("vae")
    service = serve(limits=Limits(jobs=1, job_s=0.5))
    slowed(service, 6.0)
    began = time.monotonic()
    answer = service.client.post("/models/vae/generate", json={"count": 1})
    assert answer.status_code == 503
    assert "took longer than 0.5 s" in answer.json()["detail"]
    assert time.monotonic() - began < 5


def test_a_long_row_of_pictures_ends_at_its_deadline(register, serve):
    register("vae")
    service = serve(model="vae", limits=Limits(jobs=1, job_s=0.5))
    slow = slowed(service, 0.2)
    body = {"dataframe_records": [{"seed": seed} for seed in range(40)]}
    answer = service.client.post("/invocations", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, "took too long" in answer.json()["detail"]) == (503, True)
    slow.seconds = 0.0
    assert service.client.post("/models/vae/generate", json={"count": 1}).status_code == 200


def test_what_is_mended_over_http_is_what_the_command_line_mends(register, serve, workspace):
    register("inpainter")
    service = serve()
    red = np.zeros((30, 41, 3), np.uint8)
    red[..., 0] = HOLE
    grey = np.asarray(Image.fromarray(PHOTO).convert("LA"))
    for photo, mask, asked in (
        (PHOTO, red, {}),
        (grey, HOLE, {}),
        (PHOTO, 255 - HOLE, {"mask_is": "black", "grow": 1.5}),
    ):
        files = {"image": png(photo), "mask": png(mask)}
        answer = service.client.post("/models/inpainter/repair", files=files, params=asked)
        assert answer.status_code == 200, answer.text
        hole = read_mask(files["mask"], "mask", meaning=asked.get("mask_is"), grow_px=asked.get("grow", 0))
        producer = in_registry(workspace, "team-inpainter")
        expected = mended_file(producer, read_photo(files["image"], "image"), hole, named("PNG")).content
        assert np.array_equal(pixels(answer.content), pixels(expected))
    assert service.client.post("/models/inpainter/repair?grow=-1", files=files).status_code == 422
