"""Marks: what a version is told of after it was registered, such as that an image it saw is to be forgotten."""

from collections.abc import Iterator, Mapping

from components.tracking import registry, versions
from components.tracking.cards import fact_tags
from components.tracking.client import MlflowClient

SAW_FORGOTTEN = "saw_forgotten"
"""Name of the fact that says which images of those a version was made from are to be forgotten, and why."""


def made_from(digests: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield name and number of every version in whose lineage one of these digests stands."""
    for record in registry.models():
        state = registry.state(record.name)
        for number, version in sorted(state.versions.items() if state else ()):
            if digests.intersection(version.lineage.values()):
                yield record.name, number


def mark(name: str, version: int, facts: Mapping[str, str]) -> None:
    """Keep facts with a version, beside those that it was registered with."""
    client = MlflowClient()
    versions.set_version_tags(client, versions.read_version(client, name, version), fact_tags(facts))
