"""Marks: what a version is told of after it was registered, such as that an image it learnt from is forgotten."""

from collections.abc import Iterator
from datetime import UTC, datetime

from components.tracking import registry, versions
from components.tracking.cards import fact_tags
from components.tracking.client import MlflowClient
from components.tracking.versions import FORGOTTEN_AT, SAW_FORGOTTEN


def learnt_from(digests: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield name and number of every version that was trained on one of these ShardSets.

    Also those whose training began with the weights of such a version, or of one that began so.
    """
    for record in registry.models():
        state = registry.state(record.name)
        found: set[str] = set()
        for number, version in sorted(state.versions.items() if state else ()):
            if version.lineage.get("shards") in digests or version.lineage.get("start_version") in found:
                found.add(str(number))
                yield record.name, number


def mark_forgotten(name: str, version: int, words: str) -> None:
    """Say on a version that images it learnt from are forgotten, below what was said so before.

    Args:
        name: Registered name of the model.
        version: Its number.
        words: Which images, and why.
    """
    client = MlflowClient()
    kept = versions.read_version(client, name, version)
    before = kept.facts.get(SAW_FORGOTTEN, "")
    if words not in before:
        tags = fact_tags({SAW_FORGOTTEN: f"{before}; {words}" if before else words})
        versions.set_version_tags(client, kept, tags | {FORGOTTEN_AT: _now()})
    registry.describe(name, version)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
