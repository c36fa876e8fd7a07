"""Executor: what a config file can name to work on partitions, and the order in which results come back."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar, runtime_checkable

from components.section import Section

_Kept = TypeVar("_Kept")
_Sent = TypeVar("_Sent")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


@runtime_checkable
class Answer(Protocol[_Result_co]):
    """What will have come of a partition. A `concurrent.futures.Future` is one."""

    def result(self) -> _Result_co:
        """Wait for it and return it, or raise what was raised over it."""


class Crew(ABC):
    """Those who work on partitions while an executor is open."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """How many partitions to have under way, so that nobody waits for work."""

    @abstractmethod
    def submit(self, function: Callable[..., _Result], *arguments: object) -> Answer[_Result]:
        """Have a function of a module called, which must depend on its arguments alone: it may be called again."""

    def each(
        self, function: Callable[..., _Result], partitions: Iterable[tuple[_Kept, tuple[object, ...]]]
    ) -> Iterator[tuple[_Kept, _Result]]:
        """Yield, in order, what is kept of each partition and what a function makes of the arguments that are sent."""
        return in_order(lambda sent: self.submit(function, *sent), partitions, lambda: self.at_once)


class ExecutorSection(Section, ABC):
    """Who works on partitions. What comes of them does not depend on it."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Crew]:
        """Give those who work, as long as the block runs.

        Raises:
            ValueError: They cannot be reached.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return in words who they are, after asking them whether they fit.

        Raises:
            ValueError: They cannot be reached, or would make other bytes.
        """


def in_order(
    submit: Callable[[_Sent], Answer[_Result]], partitions: Iterable[tuple[_Kept, _Sent]], at_once: Callable[[], int]
) -> Iterator[tuple[_Kept, _Result]]:
    """Yield what is kept of each partition and what came of what was sent, in order, a bounded number under way.

    Args:
        submit: Sends a partition off.
        partitions: Of each, what stays here, and what is sent.
        at_once: How many may be under way; asked again for each.
    """
    pending: deque[tuple[_Kept, Answer[_Result]]] = deque()
    for kept, sent in partitions:
        pending.append((kept, submit(sent)))
        if len(pending) > at_once():
            first, answer = pending.popleft()
            yield first, answer.result()
    while pending:
        first, answer = pending.popleft()
        yield first, answer.result()
