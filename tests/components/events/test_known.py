"""Every event has a schema that its payload keeps to, a page that shows it, and no secret."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.events.event import Event
from components.events.known import (
    Alarm,
    AnyEvent,
    DataDrifted,
    Drifted,
    Held,
    ModelFailed,
    NightSkipped,
    Promoted,
    Refused,
    RunFailed,
    SourceChanged,
    event_of,
)
from components.events.schema import page
from components.section import kinds

REASONS = ("psnr_hole is 21.5 (20.9 to 22.1), 0.8 more than the champion's",)
ONE_OF_EACH = (
    Promoted(model="photos-gan", version=7, champion=5, reasons=REASONS, night="photos · data 7 · schedule"),
    Refused(model="photos-gan", version=8, champion=7, reasons=REASONS, by="ada"),
    Held(model="photos-gan", version=9, champion=None, reasons=REASONS, answers=("kintsugi approve photos-gan 9",)),
    ModelFailed(model="photos-vae", error="rank 1 of 2 failed: it diverged"),
    RunFailed(run="photos · data 7 · schedule", flow="retrain", error="lost 6 times"),
    Drifted(
        model="photos-gan", version=7, metric="fid", then=(9, 8, 10), now=(14, 13, 15), images=2000, reasons=REASONS
    ),
    DataDrifted(
        run="photos",
        models=("photos-gan",),
        known="5494aa10",
        today="23019b8d",
        images=500,
        distance=0.4,
        usual=(-0.01, 0.01),
        chance=0.002,
        reasons=("sharpness: 2.1 of new images, 0.9 of those learnt from",),
    ),
    Alarm(run="photos · data 7 · schedule", what="run lost", words="its process 42 is gone"),
    NightSkipped(run="photos · data 8 · schedule", data_version=8, reasons=("3 of 4,000 images are new",)),
    SourceChanged(run="photos", source="the folder photos", since="2026-11-27T02:00:00+00:00"),
)


def test_the_examples_are_of_every_event() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(kinds(AnyEvent))
    assert len({event.event for event in ONE_OF_EACH}) == len(ONE_OF_EACH)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.event)
def test_a_payload_read_back_from_json_is_the_event(event: Event) -> None:
    assert event_of(json.loads(json.dumps(event.payload()))) == event


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.event)
def test_an_event_says_in_one_line_what_happened_and_below_it_why(event: Event) -> None:
    assert 10 < len(event.title) < 120
    assert "\n" not in event.title
    assert event.text
    assert event.resource.startswith("kintsugi.")


def test_the_page_of_events_is_current(root: Path) -> None:
    assert (root / "components" / "events" / "EVENTS.md").read_text() == page()


def test_a_payload_that_breaks_the_schema_is_refused_by_the_name_of_the_field() -> None:
    with pytest.raises(ValidationError, match="version"):
        event_of(ONE_OF_EACH[0].payload() | {"version": "the seventh"})
    with pytest.raises(ValidationError, match="mood"):
        event_of(ONE_OF_EACH[0].payload() | {"mood": "good"})


def test_what_others_said_loses_its_secrets_and_its_length() -> None:
    failed = RunFailed(run="photos", flow="retrain", error=f"no answer from http://ada:hunter22@db/ {'x' * 5000}")
    assert "hunter22" not in json.dumps(failed.payload())
    assert len(failed.error) == 2_000


def test_one_decision_has_one_identity_however_its_reasons_are_worded() -> None:
    first = ONE_OF_EACH[0]
    assert isinstance(first, Promoted)
    assert first.identity == first.model_copy(update={"reasons": ("the same again",), "night": "another"}).identity
    assert first.identity != first.model_copy(update={"champion": 6}).identity


def test_the_resource_of_a_run_is_its_configuration() -> None:
    assert ONE_OF_EACH[4].resource == "kintsugi.run.photos"
