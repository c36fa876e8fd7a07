"""Origin: from a picture that says what made it to the version in the registry, and to the artifacts behind that."""

from collections.abc import Iterator
from pathlib import Path

from components.artifacts import Store
from components.champions import files
from components.pictures.provenance import Provenance, provenance_of
from components.pictures.reading import read_photo
from components.stages.lineage import verify_lineage
from components.tracking import registry
from flows.watching import watcher


def stated(path: Path) -> Provenance:
    """Return what a picture says of where it comes from.

    Raises:
        ValueError: It is no picture, or says nothing.
    """
    said = provenance_of(read_photo(files.read(path), str(path)).decoded.image)
    if said is None:
        raise ValueError(
            f"{path}: says nothing of a model; not made by kintsugi, written with --no-mark, or edited since"
        )
    return said


def told(said: Provenance) -> str:
    """Return it in words."""
    facts = {"seed": said.seed, "picture": said.number, "class": said.of, "of the file": said.source, "mask": said.mask}
    known = [f"{name} {str(value)[:12]}" for name, value in facts.items() if value is not None]
    known += [said.made] if said.made else []
    return f"{said.source_type} by {named(said)}, {', '.join([*known, said.program])}"


def named(said: Provenance) -> str:
    """Return the version that a picture names, or its export where whoever made it knew no more."""
    return f"the export {said.export}" if said.model is None else f"{said.model} version {said.version}"


def traced(said: Provenance) -> Provenance:
    """Return a picture's word with the version that it leaves out, found by the export, if this registry has it."""
    if said.model is not None:
        return said
    for record in registry.models():
        state = registry.state(record.name)
        for number, version in (state.versions if state else {}).items():
            if version.export_digest == said.export:
                return said.model_copy(update={"model": record.name, "version": number})
    return said


def problems(said: Provenance, store: Store, *, deep: bool) -> Iterator[str]:
    """Yield what does not agree with a picture's word, or is wrong with what made it; nothing if all is whole.

    Args:
        said: The picture's word.
        store: Where the artifacts are.
        deep: Also read every byte of a shared store.
    """
    state = None if said.model is None else registry.state(said.model)
    if said.model is None or said.version is None or state is None or said.version not in state.versions:
        yield f"{named(said)} is not in this registry"
        return
    version = state.version(said.version)
    if version.export_digest != said.export:
        yield f"{said.model} version {said.version} is export {version.export_digest}, the picture says {said.export}"
    yield from registry.verify(said.model)
    yield from verify_lineage(store, version.lineage, deep=deep, progress=watcher.get())
