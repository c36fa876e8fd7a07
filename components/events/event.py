"""Event: what every event has: a name, a resource, a payload without secrets, and words for people."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from components.section import Section, digest_of
from components.servers.redaction import redact_text

_LONGEST = 2_000

Urgency = Literal["info", "success", "warning", "failure"]
"""How a message looks where receivers tell them apart."""


def _fit_to_be_told(text: str) -> str:
    told = redact_text(text)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


Words = Annotated[str, AfterValidator(_fit_to_be_told)]
"""What somebody wrote or a program said: without secrets, at most 2,000 characters."""


class Event(Section, ABC):
    """Something that happened; each kind of it has a class with a name of its own."""

    urgency: ClassVar[Urgency] = "info"
    is_message: ClassVar[bool] = True
    """Whether people are told; else only programs are."""

    event: str
    """Its name, by which Prefect's automations find it."""
    link: str | None = None
    """Where a person looks at it; null where there is no such page."""

    @classmethod
    def called(cls) -> str:
        """Return the name of all events of this class."""
        return str(cls.model_fields["event"].default)

    @property
    @abstractmethod
    def resource(self) -> str:
        """Id of what it happened to."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What happened, in one short line."""

    @property
    @abstractmethod
    def lines(self) -> tuple[str, ...]:
        """Why, in words, and what a person may do."""

    @property
    def text(self) -> str:
        """All that a message says below its title."""
        return "\n".join([*self.lines, *([f"See {self.link}"] if self.link else [])])

    def payload(self) -> dict[str, Any]:
        """Return the fields as JSON, with `title` and `text` for automations that only pass them on."""
        return {**self.model_dump(mode="json"), "title": self.title, "text": self.text}


class ModelEvent(Event, ABC):
    """Something that happened to a registered model."""

    model: str
    """Registered name."""

    @property
    def resource(self) -> str:
        """The model: kintsugi.model.NAME."""
        return f"kintsugi.model.{self.model}"


class Judged(ModelEvent, ABC):
    """What the gate or a person decided on a version."""

    version: int
    """Version decided on."""
    champion: int | None
    """Version in service when it was judged; null where there was none."""
    by: Words = "gate"
    """Who decided: the gate, or a person's name."""
    reasons: tuple[Words, ...]
    """Why, in words with numbers."""
    night: str | None = None
    """What the run is called in which it happened; null for what a person did."""

    @property
    def identity(self) -> str:
        """Equal for one decision, however often a run comes by: a continued night does not tell it again."""
        return digest_of([self.event, self.model, self.version, self.champion, self.by])

    @property
    def lines(self) -> tuple[str, ...]:
        """Who decided in which night, and why."""
        where = f", in {self.night}" if self.night else ""
        return (f"Decided by {self.by}{where}.", *(f"- {reason}" for reason in self.reasons))


class RunEvent(Event, ABC):
    """Something that happened to a run of a flow or to its configuration."""

    run: str
    """What the run is called: its configuration's name, then what it is of, such as "photos · data 7 · schedule"."""

    @property
    def resource(self) -> str:
        """The configuration: kintsugi.run.NAME."""
        return f"kintsugi.run.{self.run.partition(' · ')[0]}"
