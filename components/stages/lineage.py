"""Lineage: from a registered version back to the artifacts it was made from, checked where the store keeps them."""

from collections.abc import Iterator, Mapping

from components.artifacts import Artifact, Store
from components.artifacts.audit import Progress, audit
from components.data import CorruptionSet, ShardSet
from components.data.forgotten import Forgotten
from components.data.statistics import PixelStatistics
from components.stages.candidate import Checkpoint, Scores

_KINDS: Mapping[str, type[Artifact]] = {
    "shards": ShardSet,
    "evaluation_shards": ShardSet,
    "corruption_set": CorruptionSet,
    "statistics": PixelStatistics,
    "checkpoint": Checkpoint,
    "start_checkpoint": Checkpoint,
    "scores": Scores,
}


def verify_lineage(store: Store, lineage: Mapping[str, str], *, deep: bool, progress: Progress) -> Iterator[str]:
    """Yield what is wrong with the artifacts that `lineage` names, in words; nothing if all are whole.

    Args:
        store: Where the artifacts are: a folder, or a shared store, which is read and not its local copy alone.
        lineage: Digests by part, as the registry keeps them.
        deep: Also read every byte of a shared store's objects.
        progress: Told of bytes read.
    """
    forgotten = Forgotten.of(store).deleted
    for part, kind in _KINDS.items():
        if lineage.get(part) in forgotten:
            yield f"{part}: deleted, for it held images that are forgotten; kintsugi run CONFIG trains anew"
        elif part in lineage:
            for problem in audit(store, kind.folder(), lineage[part], deep=deep, progress=progress):
                yield f"{part}: {problem}"
