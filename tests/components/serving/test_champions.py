"""A new champion takes over while requests come in; what cannot be trusted or reached changes nothing."""

import io
import threading
import time

import httpx
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from components.tracking import registry

pytestmark = pytest.mark.timeout(120)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def version(service, name="vae"):
    answer = service.client.post(f"/models/{name}/generate", json={"count": 1})
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-kintsugi-version"])


def test_a_new_champion_answers_within_seconds_and_no_request_fails(register, serve):
    register("vae", 1)
    service = serve()
    assert version(service) == 1
    seen, failed, stop = [], [], threading.Event()

    def ask():
        with httpx.Client(base_url=service.address, timeout=30) as client:
            while not stop.is_set():
                answer = client.post("/models/vae/generate", json={"count": 1, "seed": 5})
                if answer.status_code == 200:
                    seen.append((time.monotonic(), answer.headers["x-kintsugi-version"], answer.content))
                else:
                    failed.append(answer.text)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for one in asking:
        one.start()
    try:
        second = register("vae", 2, promoted=False)
        registry.promote("team-vae", second, judged_against=1)
        promoted = time.monotonic()
        while not any(number == "2" for _, number, _ in seen):
            assert time.monotonic() - promoted < 20
            time.sleep(0.05)
        live_s = next(moment for moment, number, _ in seen if number == "2") - promoted
        registry.rollback("team-vae")
        while seen[-1][1] != "1":
            assert time.monotonic() - promoted < 40
            time.sleep(0.05)
    finally:
        stop.set()
        for one in asking:
            one.join()
    assert failed == []
    assert live_s < 6  # two seconds and a load, on a busy machine
    pictures = {number: {content for _, one, content in seen if one == number} for number in ("1", "2")}
    assert [len(found) for found in pictures.values()] == [1, 1]  # a version's pictures are always the same
    assert pictures["1"] != pictures["2"]


def test_no_request_is_lost_or_answered_half_by_each_while_champions_change(register, serve):
    register("inpainter", 1)
    register("inpainter", 2, promoted=False)
    service = serve(model="inpainter")
    image, mask = np.zeros((40, 56, 3), np.uint8) + 90, np.zeros((40, 56), np.uint8)
    mask[8:20, 8:40] = 255
    files = {"image": png(image), "mask": png(mask)}
    seen, lost, stop = [], [], threading.Event()

    def ask():
        with httpx.Client(base_url=service.address, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/repair", files=files)
                if answer.status_code == 200:
                    seen.append((answer.headers["x-kintsugi-version"], answer.content))
                else:
                    lost.append(answer.text)

    asking = [threading.Thread(target=ask) for _ in range(6)]
    for one in asking:
        one.start()
    try:
        for change in range(6):
            if change % 2 == 0:
                registry.promote("team-inpainter", 2, judged_against=1, by="test", again=True)
            else:
                registry.rollback("team-inpainter")
            expected, deadline = "21"[change % 2], time.monotonic() + 30
            while not seen or seen[-1][0] != expected:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        stop.set()
        for one in asking:
            one.join()
    assert lost == []
    pictures = {number: {content for one, content in seen if one == number} for number in "12"}
    assert [len(found) for found in pictures.values()] == [1, 1]


def test_an_altered_champion_is_not_served_and_the_one_before_stays(register, serve, home):
    register("vae", 1)
    service = serve()
    assert version(service) == 1
    second = register("vae", 2, promoted=False)
    for weights in (home / "mlartifacts").rglob("model.safetensors"):
        weights.write_bytes(b"altered")
    registry.promote("team-vae", second, judged_against=1)
    deadline = time.monotonic() + 30
    while service.client.get("/models").json()[0]["problem"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert service.client.get("/models").json()[0]["problem"] == (
        "version 2 of team-vae is not what was registered, and is not served"
    )
    assert version(service) == 1
    fresh = serve()
    answer = fresh.client.post("/models/vae/generate", json={"count": 1})
    assert (answer.status_code, "not what was registered" in answer.json()["detail"]) == (503, True)


def test_one_ledger_that_cannot_be_trusted_does_not_keep_the_others_from_service(register, serve):
    register("vae", 1)
    register("inpainter", 1)
    service = serve()
    assert version(service) == 1
    client = MlflowClient()
    for name in ("team-vae", "team-inpainter"):
        client.delete_run(client.get_registered_model(name).tags["kintsugi.ledger"])
    other = serve()
    register("gan", 1)
    deadline = time.monotonic() + 30
    while other.client.post("/models/gan/generate", json={"count": 1}).status_code == 404:  # not known yet
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert version(other, "gan") == 1
    answer = other.client.post("/models/vae/generate", json={"count": 1})
    assert (answer.status_code, answer.json()["detail"]) == (503, "the promotion ledger of team-vae cannot be trusted")
    assert version(service) == 1


def test_a_name_that_fits_two_models_is_not_guessed(register, serve):
    register("vae", 1)
    register("vae", 2, "other-vae")
    client = serve().client
    answer = client.post("/models/vae/generate", json={"count": 1})
    assert (answer.status_code, "more than one model" in answer.json()["detail"]) == (404, True)
    assert client.post("/models/other-vae/generate", json={"count": 1}).status_code == 200


def test_a_model_without_a_champion_says_so(register, serve):
    register("vae", 1, promoted=False)
    answer = serve().client.post("/models/vae/generate", json={"count": 1})
    assert (answer.status_code, answer.json()["detail"]) == (404, "team-vae has no champion yet")
