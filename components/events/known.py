"""Known: every event there is. `EVENTS.md` is written from these classes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from components.events.event import Event, Judged, ModelEvent, RunEvent, Urgency, Words


class Promoted(Judged):
    """A version entered service: the gate let it through, a person approved it, or one before it was put back."""

    urgency: ClassVar[Urgency] = "success"
    event: Literal["kintsugi.model.promoted"] = "kintsugi.model.promoted"

    @property
    def title(self) -> str:
        """Which version is in service, and which was."""
        before = f", it was {self.champion}" if self.champion is not None else ", the first"
        return f"{self.model}: version {self.version} is in service{before}"


class Refused(Judged):
    """A version was refused: the gate rejected it, or a person did."""

    event: Literal["kintsugi.model.refused"] = "kintsugi.model.refused"

    @property
    def title(self) -> str:
        """Which version was refused, and which stays."""
        stays = f"version {self.champion} stays in service" if self.champion is not None else "none is in service"
        return f"{self.model}: version {self.version} is refused, {stays}"


class Held(Judged):
    """A version waits for a person: it could not be judged, or its model asks for approval."""

    urgency: ClassVar[Urgency] = "warning"
    event: Literal["kintsugi.model.held"] = "kintsugi.model.held"
    answers: tuple[str, ...] = ()
    """The commands by which a person answers."""

    @property
    def title(self) -> str:
        """Which version waits."""
        return f"{self.model}: version {self.version} waits for a person"

    @property
    def lines(self) -> tuple[str, ...]:
        """Why it waits, and how to answer."""
        return (*super().lines, *(f"To answer: {answer}" for answer in self.answers))


class ModelFailed(ModelEvent):
    """A model of a run failed; the other models of the run go on."""

    urgency: ClassVar[Urgency] = "failure"
    event: Literal["kintsugi.model.failed"] = "kintsugi.model.failed"
    night: str | None = None
    """What the run is called."""
    error: Words
    """What failed, in its own words."""

    @property
    def title(self) -> str:
        """Which model failed."""
        return f"{self.model} failed"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was said of it."""
        return (*([f"In {self.night}."] if self.night else []), self.error)


class RunFailed(RunEvent):
    """A run of a flow failed as a whole; nothing continues it by itself."""

    urgency: ClassVar[Urgency] = "failure"
    event: Literal["kintsugi.run.failed"] = "kintsugi.run.failed"
    flow: str
    """retrain, rescore, drift or watch."""
    error: Words
    """What failed, in its own words."""

    @property
    def title(self) -> str:
        """Which run failed."""
        return f"{self.run}: {self.flow} failed"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was said of it."""
        return (self.error,)


class Drifted(ModelEvent):
    """The model in service does worse on today's data than on the yardstick, by more than chance explains."""

    urgency: ClassVar[Urgency] = "warning"
    event: Literal["kintsugi.champion.moved"] = "kintsugi.champion.moved"
    version: int
    """Version in service."""
    metric: str
    """The score that its promotion rule decides on."""
    then: tuple[float, float, float]
    """Value, low and high end of its 95 % interval on the yardstick."""
    now: tuple[float, float, float]
    """The same on today's held-out images."""
    images: int
    """Images that today's score rests on."""
    reasons: tuple[Words, ...]
    """Why, in words with numbers."""

    @property
    def title(self) -> str:
        """Which version does worse."""
        return f"{self.model}: version {self.version} does worse on today's data"

    @property
    def lines(self) -> tuple[str, ...]:
        """By how much."""
        return self.reasons


class Alarm(RunEvent):
    """Something needs a look though the run goes on by itself: its process was lost, or a server stays away."""

    urgency: ClassVar[Urgency] = "warning"
    event: Literal["kintsugi.alarm"] = "kintsugi.alarm"
    what: Literal["run lost", "run interrupted"]
    """run lost: its process is gone. run interrupted: it could not go on, for want of a server or of room."""
    words: Words
    """What was seen."""

    @property
    def title(self) -> str:
        """Which run, and what of it."""
        return f"{self.run}: {self.what}"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was seen."""
        return (self.words, "It goes on by itself where a worker finds it.")


class NightSkipped(RunEvent):
    """A night did not train, on purpose: its policy asks for more change."""

    event: Literal["kintsugi.night.skipped"] = "kintsugi.night.skipped"
    data_version: int | None = None
    """Number of the data version that was looked at; null where it has none yet."""
    model: str | None = None
    """Registered name, where one model of several is skipped."""
    reasons: tuple[Words, ...]
    """Why, in words with numbers."""

    @property
    def title(self) -> str:
        """What was skipped."""
        return f"{self.model or self.run}: skipped"

    @property
    def lines(self) -> tuple[str, ...]:
        """Why."""
        return self.reasons


class SourceChanged(Event):
    """The pile of images is no longer what it was at the last look; an automation starts a night."""

    is_message: ClassVar[bool] = False
    event: Literal["kintsugi.source.changed"] = "kintsugi.source.changed"
    run: str
    """Name of the configuration whose source it is."""
    source: Words
    """What the source is, in words."""
    since: str
    """UTC time of the last look, ISO 8601."""

    @property
    def resource(self) -> str:
        """The source: kintsugi.source.NAME."""
        return f"kintsugi.source.{self.run}"

    @property
    def title(self) -> str:
        """What changed."""
        return f"{self.source} has changed"

    @property
    def lines(self) -> tuple[str, ...]:
        """Since when."""
        return (f"Since {self.since}.",)


class DataDrifted(RunEvent):
    """New images look otherwise than those that models in service learnt from; an automation starts a night."""

    urgency: ClassVar[Urgency] = "warning"
    event: Literal["kintsugi.data.drifted"] = "kintsugi.data.drifted"
    models: tuple[str, ...]
    """Registered names of the models that learnt from the images compared with."""
    known: str
    """Digest of the shards they learnt from."""
    today: str
    """Digest of the shards with the new images."""
    images: int
    """New images compared."""
    distance: float
    """Kernel distance between what a feature network sees in new images and in those learnt from."""
    usual: tuple[float, float]
    """Where 95 % of such distances lie if there is no difference."""
    chance: float
    """How often images without a difference would look as far off."""
    reasons: tuple[Words, ...]
    """What is far off, in words with numbers."""

    @property
    def title(self) -> str:
        """Whose images changed."""
        return f"{self.run}: new images look otherwise than those that {', '.join(self.models)} learnt from"

    @property
    def lines(self) -> tuple[str, ...]:
        """What is far off."""
        return self.reasons


AnyEvent = Annotated[
    Promoted | Refused | Held | ModelFailed | RunFailed | Drifted | DataDrifted | Alarm | NightSkipped | SourceChanged,
    Field(discriminator="event"),
]
"""Every event, told apart by its name."""


def event_of(payload: Mapping[str, Any]) -> Event:
    """Return the event that a payload holds, as Prefect's server gives it back.

    Raises:
        ValueError: It is not the payload of a known event; the message names the field.
    """
    fields = {name: value for name, value in payload.items() if name not in {"title", "text"}}
    known: TypeAdapter[Event] = TypeAdapter(AnyEvent)
    return known.validate_python(fields)
