"""Lineage: from a registered version back to the artifacts it was made from, checked byte by byte."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from components.artifacts import Artifact, ArtifactError
from components.data import CorruptionSet, ShardSet
from components.stages.measuring import Scores
from components.stages.training import Checkpoint

_KINDS: Mapping[str, type[Artifact]] = {
    "shards": ShardSet,
    "corruption_set": CorruptionSet,
    "checkpoint": Checkpoint,
    "scores": Scores,
}


def verify_lineage(store: Path, lineage: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the artifacts that `lineage` names, in words; nothing if all are whole.

    Args:
        store: Folder of the artifact store.
        lineage: Digests by part, as the registry keeps them.
    """
    for part, kind in _KINDS.items():
        if part in lineage:
            try:
                kind.read(store / kind.folder() / lineage[part]).verify()
            except ArtifactError as error:
                yield f"{part}: {error}"
