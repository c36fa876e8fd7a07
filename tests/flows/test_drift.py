"""New images that look otherwise than what the champion learnt from are told once, and the server starts a night."""

import time

import httpx
import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker

from components.events.known import DataDrifted, event_of
from components.seeding import numpy_generator
from components.stages.shift import DataShift
from flows import pipeline, telling, upkeep
from flows.automations import ON_DRIFT, automations, settle
from tests.team.unattended import Pile, write_config

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

ODD = 90


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    grown = Pile(tmp_path_factory.mktemp("photos"))
    grown.grow_to(150)
    return grown


@pytest.fixture(scope="module")
def config(pile, tmp_path_factory):
    return write_config(tmp_path_factory.mktemp("configs") / "drifting.yaml", pile, images=640, name="drifting")


@pytest.fixture(scope="module")
def champion(carry_out, config, tmp_path_factory):
    run = carry_out(tmp_path_factory.mktemp("drifting"), config, until="promote")
    assert run.state.is_completed(), run.state
    return run


@pytest.fixture(scope="module")
def nightly(prefect_api):
    """The deployment that drift starts, with the automations of `kintsugi deploy`; nothing carries its runs out."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(pipeline.retrain)
        deployment = client.create_deployment(flow_id, "retrain-nightly", parameters={"config": "x.yaml"})
        settle(automations(deployment))
        yield deployment
        for one in client.read_automations_by_name(ON_DRIFT):
            client.delete_automation(one.id)
        client.delete_deployment(deployment)


def night_begun(prefect_api, deployment):
    """Return the one run of a deployment as soon as there is one, and take it away."""
    wanted = {"flow_runs": {"deployment_id": {"any_": [str(deployment)]}}}
    deadline = time.monotonic() + 240
    while not (runs := httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).json()):
        assert time.monotonic() < deadline, "drift started no night"
        time.sleep(1)
    (run,) = runs
    httpx.delete(f"{prefect_api}/flow_runs/{run['id']}").raise_for_status()
    return run


def told(prefect_api, at_least=0):
    """Return what was told; the server answers triggers first, and keeps events a moment later."""
    EventsWorker.drain_all()
    wanted = {"filter": {"event": {"name": [DataDrifted.called()]}, "resource": {"id": ["kintsugi.run.drifting"]}}}
    deadline = time.monotonic() + 60
    while len(found := httpx.post(f"{prefect_api}/events/filter", json=wanted).json()["events"]) < at_least:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return [event_of(one["payload"]) for one in found]


def compared(at, champion, config) -> list[DataShift]:
    with at(champion.home):
        return upkeep.drift(config)


def test_an_event_of_drift_starts_the_nightly_deployment_with_its_reason(nightly, prefect_api):
    event = DataDrifted(
        run="elsewhere",
        models=("elsewhere-gan",),
        known="5494aa10",
        today="23019b8d",
        images=500,
        distance=0.4,
        usual=(-0.01, 0.01),
        chance=0.002,
        reasons=("sharpness: 2.1 of new images, 0.9 of those learnt from",),
    )
    telling.tell(event)
    assert night_begun(prefect_api, nightly)["parameters"]["reason"] == "drift"


def test_a_champion_that_learnt_from_all_there_is_has_nothing_to_be_compared_with(at, champion, config, nightly):
    assert compared(at, champion, config) == []


def test_more_images_of_the_same_kind_are_no_drift(at, champion, config, nightly, pile, prefect_api):
    pile.grow_to(240)
    (found,) = compared(at, champion, config)
    assert (found.new_images, found.shift.images) == (90, 90)
    assert found.shift.verdict == "held", found.shift.reasons
    assert told(prefect_api) == []


def test_images_of_another_kind_start_a_night_once(at, champion, config, nightly, pile, prefect_api):
    for number in range(ODD):
        noise = numpy_generator(number, "odd").integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pile.folder / f"odd-{number}.png")
    (found,) = compared(at, champion, config)
    assert found.shift.verdict == "drifted"
    assert night_begun(prefect_api, nightly)["parameters"]["reason"] == "drift"
    (event,) = told(prefect_api, at_least=1)
    assert isinstance(event, DataDrifted)
    assert event.models == ("drifting-vae",)
    assert event.distance > event.usual[1]
    assert compared(at, champion, config) == [found]
    assert len(told(prefect_api)) == 1
