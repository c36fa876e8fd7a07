"""Messages: events told to people by mail, Slack, webhook and all else that apprise speaks; nobody waits for it."""

import contextvars
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from components.events.event import Event, Urgency
from components.servers.redaction import REDACTED, redact_text

if TYPE_CHECKING:
    from apprise import NotifyBase

RECEIVERS = "KINTSUGI_NOTIFY"
"""Variable with the addresses of all receivers, in apprise's form, with blanks between them."""

_EXAMPLES = "mailto://, slack:// or json://"
_AGAIN_AFTER_S = (2.0, 10.0)
_LEAVE_WITHIN_S = 10.0
_MOST_WAITING = 100
_SHORTEST_SECRET = 8
_log = logging.getLogger(__name__)


class Message(NamedTuple):
    """What a receiver gets."""

    title: str
    text: str
    urgency: Urgency

    @classmethod
    def of(cls, event: Event) -> "Message":
        """Return an event as a message."""
        return cls(redact_text(event.title), redact_text(event.text), event.urgency)


class Receiver:
    """One address. It is never named by its address, which may hold a password: by its place and its service."""

    def __init__(self, number: int, address: str) -> None:
        """Take an address.

        Raises:
            ValueError: apprise does not know its form.
        """
        from apprise import Apprise  # here, for it takes a second, and most processes tell nobody

        with _hearing_apprise():
            found = Apprise.instantiate(address)
        if found is None:
            raise ValueError(
                f"{RECEIVERS}: apprise cannot read address {number}; expected one that begins with {_EXAMPLES}, "
                "as its documentation lists them"
            )
        self._service: NotifyBase = found
        self._secrets = [piece for piece in re.split(r"[:/@?&=%]+", address) if len(piece) >= _SHORTEST_SECRET]
        self.name = f"receiver {number} of {RECEIVERS} ({found.service_name})"

    def take(self, message: Message) -> str | None:
        """Deliver a message and return None, or why it was not taken, without secrets. Blocks for seconds at most."""
        from apprise import NotifyType

        how = NotifyType(message.urgency)
        with _hearing_apprise() as said:
            try:
                done = self._service.notify(message.text, title=message.title, notify_type=how, body_format="text")
            except (OSError, TypeError, ValueError) as error:
                done = False
                said.append(str(error))
        return None if done else self._clean("; ".join(said) or "no reason was given")

    def _clean(self, words: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            words = words.replace(secret, REDACTED)
        return redact_text(words)


@contextmanager
def _hearing_apprise() -> Iterator[list[str]]:
    """Yield what apprise says in this thread, and let nobody else hear it: it names addresses with their secrets."""
    apprise, heard = logging.getLogger("apprise"), _Heard()
    apprise.propagate = False
    apprise.addHandler(heard)
    try:
        yield heard.words
    finally:
        apprise.removeHandler(heard)


class _Heard(logging.Handler):
    """Keeps what is logged by the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        if record.thread == self._thread:
            self.words.append(record.getMessage())


class _Line:
    """Messages on their way to one receiver, in a thread of its own that ends with the process."""

    def __init__(self, number: int, address: str) -> None:
        self._number, self._address = number, address
        self._waiting: queue.Queue[Message | None] = queue.Queue(_MOST_WAITING)
        self._leaving = threading.Event()
        self._is_away = self._is_said = False
        context = contextvars.copy_context()  # so that what is logged stands on the page of the run
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True, name="kintsugi-messages")
        self._thread.start()

    def put(self, message: Message) -> None:
        """Take a message along."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._say(f"{self._place} was not told of everything: too many messages wait")

    def leave(self, deadline: float) -> None:
        """Send what is waiting, until `deadline` by the monotonic clock."""
        self._leaving.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._say(f"{self._place} was not told of everything: it did not answer in time")

    @property
    def _place(self) -> str:
        return f"receiver {self._number} of {RECEIVERS}"

    def _work(self) -> None:
        try:
            receiver = Receiver(self._number, self._address)  # here, for what knows all services takes a second to load
        except ValueError as error:
            self._say(str(error))
            return
        while (message := self._waiting.get()) is not None:
            if (problem := self._sent(receiver, message)) is not None:
                self._say(f"{receiver.name} was not told of everything: {problem}")

    def _sent(self, receiver: Receiver, message: Message) -> str | None:
        """Deliver a message, again after a while unless the receiver was away before; or return why it is not taken."""
        problem = receiver.take(message)
        for pause_s in () if self._is_away else _AGAIN_AFTER_S:
            if problem is None or self._leaving.wait(pause_s):
                break
            problem = receiver.take(message)
        self._is_away = problem is not None
        return problem

    def _say(self, words: str) -> None:
        """Say once in the life of a process that messages do not arrive: whoever reads it needs it no second time."""
        if not self._is_said:
            self._is_said = True
            _log.warning("%s", words)


class Messenger:
    """All receivers that the environment names. Whoever tells it something goes on at once."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._lines = [_Line(number, address) for number, address in enumerate(addresses, start=1)]

    @classmethod
    def from_environment(cls) -> "Messenger":
        """Return a messenger to those whom KINTSUGI_NOTIFY names; to nobody where it is not set."""
        return cls(addresses())

    def tell(self, event: Event) -> None:
        """Send an event to everyone, in the background. A receiver that cannot be reached is said once in the log."""
        if event.is_message:
            for line in self._lines:
                line.put(Message.of(event))

    def leave(self, within_s: float = _LEAVE_WITHIN_S) -> None:
        """Send what is still waiting, as a process ends; what has not arrived within so many seconds is given up."""
        deadline = time.monotonic() + within_s
        for line in self._lines:
            line.leave(deadline)


def addresses() -> list[str]:
    """Return the addresses that KINTSUGI_NOTIFY holds."""
    return os.environ.get(RECEIVERS, "").split()
