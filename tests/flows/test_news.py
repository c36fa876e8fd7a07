"""What becomes of models and runs is told to Prefect's server and to people: each decision once, each failure once."""

import time
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.states import Crashed, Running

from components.events.event import Event
from components.events.known import Alarm, ModelFailed, Promoted, RunFailed, event_of
from flows import news, pipeline, sweeping, telling
from tests.receivers import Webhook

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

DIVERGES = ("models.vae.recipe.optimizer={kind: adam, rate: 1e6}", "models.vae.training.guard.skips=0")


@pytest.fixture
def people(monkeypatch):
    """A webhook that this process tells, as if it had begun with that variable."""
    with Webhook.listening() as hook:
        monkeypatch.setenv("KINTSUGI_NOTIFY", f"json://127.0.0.1:{hook.port}/")
        telling._messenger.cache_clear()
        yield hook
        telling._messenger.cache_clear()


def heard(hook: Webhook, within_s: float = 30) -> list[str]:
    """Return the titles of what people were told, once everything has arrived."""
    telling._messenger().leave(within_s)
    telling._messenger.cache_clear()
    return [post["title"] for post in hook.posts]


def events(prefect_api: str, kind: type[Event], resource: str) -> list[Event]:
    """Return what Prefect's server holds, as the schema reads it."""
    EventsWorker.drain_all()
    wanted = {"filter": {"event": {"name": [kind.called()]}, "resource": {"id": [resource]}}}
    deadline = time.monotonic() + 30
    while not (found := httpx.post(f"{prefect_api}/events/filter", json=wanted).json()["events"]):
        assert time.monotonic() < deadline, f"no {kind.called()}"
        time.sleep(0.5)
    return [event_of(one["payload"]) for one in found]


def test_a_promotion_is_told_once_however_often_its_night_is_repeated(
    carry_out, vae_only, published, people, prefect_api
):
    for _ in range(2):  # the training is that of `published`, and is reused
        carry_out(published.home, vae_only, "name=told-once", until="promote")
    assert heard(people) == ["told-once-vae: version 1 is in service, the first"]
    (event,) = events(prefect_api, Promoted, "kintsugi.model.told-once-vae")
    assert isinstance(event, Promoted)
    assert (event.version, event.champion, event.by) == (1, None, "gate")
    assert event.night == "told-once · data 1 · by hand"
    assert event.link is not None
    assert "/runs/flow-run/" in event.link


def test_a_model_that_fails_is_told_once_and_not_again_as_a_run(carry_out, vae_only, tmp_path, people, prefect_api):
    carry_out(tmp_path, vae_only, "name=diverging", *DIVERGES, until="train")
    assert heard(people) == ["diverging-vae failed"]
    (event,) = events(prefect_api, ModelFailed, "kintsugi.model.diverging-vae")
    assert isinstance(event, ModelFailed)
    assert event.error.startswith("rank 0 of 1 failed: DivergedError")


def test_a_run_that_fails_before_its_models_is_told(people, prefect_api, at, tmp_path):
    with at(tmp_path):
        state = pipeline.retrain(Path("nowhere.yaml"), return_state=True)
    assert state.is_failed()
    (title,) = heard(people)
    run = title.removesuffix(": retrain failed")
    (event,) = events(prefect_api, RunFailed, f"kintsugi.run.{run}")
    assert isinstance(event, RunFailed)
    assert event.error.startswith("nowhere.yaml: cannot be read")


@pytest.fixture
def nightly_run(prefect_api):
    """A flow run of a watched deployment, under way."""

    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow_from_name("retrain"), "of-the-news")
        run = client.create_flow_run_from_deployment(deployment, name="photos · data 7", tags=[sweeping.TAG])
        client.set_flow_run_state(run.id, Running(), force=True)
        yield client, client.read_flow_run(run.id)
        client.delete_flow_run(run.id)
        client.delete_deployment(deployment)


def test_a_run_that_was_lost_is_told_when_it_is_continued(nightly_run, people, prefect_api, monkeypatch):
    client, run = nightly_run
    monkeypatch.setattr(sweeping, "_SETTLED", sweeping.timedelta(0))
    client.set_flow_run_state(run.id, Crashed(message="its process 42 on elsewhere is gone"), force=True)
    time.sleep(1.5)  # the server's clock has whole seconds
    for _ in range(2):
        sweeping.sweep()
    assert client.read_flow_run(run.id).state.name == "AwaitingRetry"
    assert heard(people) == ["photos · data 7: run lost"]
    (event,) = events(prefect_api, Alarm, "kintsugi.run.photos")
    assert isinstance(event, Alarm)
    assert event.words == "its process 42 on elsewhere is gone"
    assert event.link is not None
    assert str(run.id) in event.link


def test_what_keeps_a_run_from_going_on_is_told_once_for_the_run(nightly_run, people):
    client, run = nightly_run
    for _ in range(3):
        news.tell_interruption(client, run, "MLflow does not answer, after 30 min of waiting")
    assert heard(people) == ["photos · data 7: run interrupted"]
