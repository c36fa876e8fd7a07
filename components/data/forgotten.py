"""Forgotten: images that people asked to be forgotten, by key: refused from then on, wherever they come from."""

from collections.abc import Iterable
from typing import Any, Self

from components.artifacts import Store
from components.artifacts.records import Records
from components.data.sources import Problem
from components.section import Section, digest_of


class Request(Section):
    """One request, as the store records it for good."""

    keys: tuple[str, ...]
    """The images' keys, sorted."""
    options: tuple[str, ...]
    """Digests of the options of the datasets that held one of them: their versions get other names from then on."""
    versions: tuple[str, ...]
    """Digests of the ShardSets to delete, for they hold the bytes, or point to tars of such: none is built upon. Those
    that were deleted before and had one of the images to learn from are among them."""
    corruption_sets: tuple[str, ...] = ()
    """Digests of the CorruptionSets to delete."""
    reason: str
    """Why, in words."""
    at: str
    """When, UTC."""


class Forgotten:
    """All requests of a store."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self.requests = tuple(requests)
        self._problems = {
            key: Problem("forgotten", f"asked to be forgotten at {request.at}: {request.reason}")
            for request in self.requests
            for key in request.keys
        }

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return what the store records."""
        return cls(Request(**record) for record in _records(store).all())

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all images that are refused."""
        return frozenset(self._problems)

    @property
    def versions(self) -> frozenset[str]:
        """Digests of the ShardSets that nothing may point to."""
        return frozenset(digest for request in self.requests for digest in request.versions)

    @property
    def corruption_sets(self) -> frozenset[str]:
        """Digests of the CorruptionSets that are deleted."""
        return frozenset(digest for request in self.requests for digest in request.corruption_sets)

    @property
    def deleted(self) -> frozenset[str]:
        """Digests of all artifacts that are deleted for what they held."""
        return self.versions | self.corruption_sets

    def problem(self, key: str) -> Problem | None:
        """Return why the image of this key is refused; None where it is not."""
        return self._problems.get(key)

    def inputs(self, options: dict[str, Any]) -> dict[str, str]:
        """Return what a version's name takes in besides: nothing, unless a version of these options held an image."""
        own = digest_of(options)
        keys = {key for request in self.requests if own in request.options for key in request.keys}
        return {"forgotten": digest_of(sorted(keys))} if keys else {}


def request(store: Store, asked: Request) -> None:
    """Record that images are to be forgotten; a request that asks for nothing new is not recorded again."""

    def covers(known: Any) -> bool:  # noqa: ANN401 - a record of the store
        parts = ("keys", "options", "versions", "corruption_sets")
        return all(set(getattr(asked, part)) <= set(known.get(part, ())) for part in parts)

    _records(store).append(asked.model_dump(mode="json"), same=covers)


def _records(store: Store) -> Records:
    return store.records("forgotten")
