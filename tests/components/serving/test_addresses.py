"""Programs mend and draw at one address for all models, choose versions, and learn how the service is."""

import base64
import io
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from components.recipes.export import load_producer
from components.recipes.repair import repair
from components.serving.settings import Credentials, Limits, Settings

pytestmark = pytest.mark.timeout(120)

PHOTO = np.random.default_rng(4).integers(0, 256, (40, 56, 3), np.uint8)
HOLE = np.zeros((40, 56), np.uint8)
HOLE[12:20, 5:25] = 255
TOKEN = "a-long-enough-token"


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def in_registry(workspace, name, version=1):
    return load_producer(workspace.cache / "models" / f"{name}-{version}" / "data" / "export")


FILES = {"image": png(PHOTO), "mask": png(HOLE)}
IN_JSON = {name: base64.b64encode(content).decode() for name, content in FILES.items()}


def test_a_picture_is_mended_alike_from_a_form_from_json_and_below_the_model_s_name(register, serve, workspace):
    register("inpainter")
    client = serve().client
    answers = [
        client.post("/repair", files=FILES),
        client.post("/repair", files=FILES, data={"model": "team-inpainter", "version": "1", "mask_is": "white"}),
        client.post("/repair?mask_is=white", files=FILES),
        client.post("/repair", json={**IN_JSON, "model": "inpainter"}),
        client.post("/models/inpainter/repair", files=FILES),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
    assert len({answer.content for answer in answers}) == 1
    expected = repair(in_registry(workspace, "team-inpainter"), PHOTO, HOLE > 127)
    assert np.array_equal(pixels(answers[0].content), expected)

    said = client.post("/repair", json=IN_JSON, headers={"Accept": "application/json"}).json()
    assert base64.b64decode(said["image"]) == answers[0].content
    assert (said["model"], said["version"], said["type"]) == ("team-inpainter", 1, "image/png")
    coded = client.post("/repair", files=FILES, data={"format": "webp"})
    assert coded.headers["content-type"] == "image/webp"
    assert np.array_equal(pixels(coded.content), expected)


ODD = {
    "another field": ({"files": FILES, "data": {"radius": "3"}}, 422, "radius: Extra inputs"),
    "a version that is none": ({"files": FILES, "data": {"version": "newest"}}, 422, "version: "),
    "a version that is not there": ({"files": FILES, "data": {"version": "7"}}, 404, "no version 7; there are: 1"),
    "another model": ({"files": FILES, "data": {"model": "dragon"}}, 404, "model dragon is not registered"),
    "no base64": ({"json": {**IN_JSON, "mask": "ä"}}, 422, "mask: expected the base64 text"),
    "no picture": ({"json": {"mask": IN_JSON["mask"]}}, 422, "image: Field required"),
    "neither form nor json": ({"content": b"x", "headers": {"Content-Type": "image/png"}}, 415, "expected the content"),
    "endless growth": ({"files": FILES, "data": {"grow": "inf"}}, 422, "grow: "),
}


def test_what_is_wrong_is_said_in_one_line(register, serve):
    register("inpainter")
    client = serve().client
    odd = {}
    for what, (sent, status, words) in ODD.items():
        answer = client.post("/repair", **sent)
        said = answer.json()
        if (answer.status_code, list(said), words in said["detail"]) != (status, ["detail"], True):
            odd[what] = answer.text
        assert "\n" not in said["detail"]
    assert odd == {}


def test_earlier_versions_can_be_asked_for_and_few_are_kept(register, serve):
    for seed in (1, 2, 3):
        register("vae", seed)
    service = serve()
    service.champions.shelf._most = 1
    drawn = {}
    for version in (None, 1, 2, 1, 3):
        wish = {"model": "vae", "count": 1, "seed": 3, **({"version": version} if version else {})}
        answer = service.client.post("/generate", json=wish)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-kintsugi-version"] == str(version or 3)
        drawn.setdefault(answer.headers["x-kintsugi-version"], set()).add(answer.content)
        assert len(service.champions.shelf._others) <= 1
    assert [len(found) for found in drawn.values()] == [1, 1, 1]
    assert len(set.union(*drawn.values())) == 3
    (model,) = service.client.get("/models").json()
    assert model["does"] == "makes"
    assert [(one["version"], one["served"]) for one in model["versions"]] == [(3, True), (2, True), (1, True)]


def test_ready_is_said_once_the_named_model_is_loaded_and_not_before(register, serve):
    register("vae")
    service = serve(model="gan")
    deadline = time.monotonic() + 60
    while "gan" not in (answer := service.client.get("/readyz")).text:
        assert (answer.status_code, "registry has not answered" in answer.text) == (503, True)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (answer.status_code, "model gan is not registered" in answer.text) == (503, True)
    assert service.client.get("/healthz").json()["status"] == "ok"
    register("gan")
    while (answer := service.client.get("/readyz")).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.json() == {"status": "ready"}
    assert "team-gan" in service.champions.shelf.in_service


def test_what_the_service_counts_is_what_it_did(register, serve):
    register("inpainter")
    client = serve().client
    for _ in range(2):
        assert client.post("/repair", files=FILES).status_code == 200
    assert client.post("/models/dragon/generate", json={}).status_code == 404
    assert client.get("/nothing").status_code == 404
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(found['kintsugi_requests_total{route="/repair",status="200"}']) == 2
    assert float(found['kintsugi_requests_total{route="/models/{name}/generate",status="404"}']) == 1
    assert float(found['kintsugi_requests_total{route="none",status="404"}']) == 1
    assert float(found['kintsugi_pictures_total{model="team-inpainter",version="1"}']) == 2
    assert float(found['kintsugi_champion_version{model="team-inpainter"}']) == 1
    assert 0 <= float(found['kintsugi_champion_age_seconds{model="team-inpainter"}']) < 120
    assert float(found["kintsugi_batch_size_sum"]) >= 2
    assert (float(found["kintsugi_queue"]), float(found["kintsugi_jobs"])) == (0, 0)


def test_addresses_are_described_without_a_request_to_others(register, serve):
    register("vae")
    client = serve().client
    described = client.get("/openapi.json").json()
    assert {"/repair", "/generate", "/models", "/readyz", "/metrics"} <= described["paths"].keys()
    assert "multipart/form-data" in described["paths"]["/repair"]["post"]["requestBody"]["content"]
    page = client.get("/docs").text
    assert "POST /repair" in page
    for outside in ("//cdn", "http://", "https://"):
        assert outside not in page


def test_a_token_lets_programs_in_and_a_password_people(serve, monkeypatch):
    client = serve(token=Credentials(TOKEN)).client
    refused = client.get("/models")
    assert (refused.status_code, refused.json()["detail"]) == (401, "a bearer token is needed")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/models", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/readyz").status_code in {200, 503}
    assert client.get("/metrics").status_code == 401
    both = serve(token=Credentials(TOKEN), credentials=Credentials("team:secret")).client
    assert both.get("/models").headers["www-authenticate"].startswith("Basic")
    assert both.get("/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert both.get("/models", auth=httpx.BasicAuth("team", "secret")).status_code == 200

    monkeypatch.setenv("KINTSUGI_SERVE_TOKEN", TOKEN)
    assert Settings.from_environment("0.0.0.0", 5001).token.fit(TOKEN.encode())
    for bad in ("short", "with a space in between"):
        monkeypatch.setenv("KINTSUGI_SERVE_TOKEN", bad)
        with pytest.raises(ValueError, match="KINTSUGI_SERVE_TOKEN: expected one word") as caught:
            Settings.from_environment("127.0.0.1", 5001)
        assert bad not in str(caught.value)


def test_bodies_that_together_are_too_many_are_refused_with_the_time_to_come_again(serve):
    client = serve(limits=Limits(held_bytes=1 << 16)).client
    answer = client.post("/repair", files={"image": b"x" * (1 << 17)})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert client.post("/repair", files={"image": b"x"}).status_code != 429
