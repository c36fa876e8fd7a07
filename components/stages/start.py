"""Start: whose weights a training begins with, settled when it is first asked for and written down for good."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from components.artifacts import ArtifactError, Store
from components.artifacts.records import Record, Records
from components.config import ModelConfig, RunConfig
from components.models.network import NetworkSection
from components.recipes.export import ModelCard, read_card
from components.recipes.recipe import GeneratorRecipe, RecipeSection
from components.section import digest_of
from components.stages.candidate import Checkpoint, Data, Start
from components.stages.inputs import checkpoint_inputs
from components.stages.site import Site, registered_name
from components.worker.jobs import Origin

_log = logging.getLogger(__name__)


def settled(run: RunConfig, data: Data, site: Site) -> Data:
    """Return the data with, for each model, the version whose weights its training begins with.

    That is the version in service when the training is first asked for, or none while there is none, or while that one
    learnt from images that are forgotten; so an interrupted one goes on, and a finished one is found again, though its
    own model has come into service since.

    Args:
        run: What was asked for.
        data: What its models are trained on.
        site: Where the run happens.

    Raises:
        ValueError: The version in service is another network than the one to be trained, which is said.
        ArtifactError: The training of the version in service is gone from the store.
    """
    if run.retraining.start == "scratch":
        return data
    starts = {name: _settled(run, name, data, site) for name in run.models}
    for name, start in starts.items():
        words = "no version that serves: from scratch" if start is None else f"from the weights of {start.name}"
        site.progress(f"start {name}", 1, 1, words)
    return replace(data, starts=starts)


def with_known_starts(run: RunConfig, data: Data, store: Store) -> Data:
    """Return the data with what is settled already; nothing is asked for or written down."""
    if run.retraining.start == "scratch":
        return data
    known = {name: _known(_records(run, name, store), _training(run, name, data)) for name in run.models}
    return replace(data, starts={name: _start_in(record) for name, record in known.items() if record is not None})


def origin_of(start: Start, store: Store) -> Origin:
    """Return where the weights lie that a training begins with.

    Raises:
        ArtifactError: The training that they come from is gone from the store.
    """
    kept = _training_of(start.name, start.checkpoint, start.export, store)
    return Origin(
        name=start.name,
        checkpoint=kept.path / "checkpoint",
        images=read_card(kept.path / "export").images,
        seen=start.images,
        frozen_layers=start.frozen_layers,
    )


def _settled(run: RunConfig, name: str, data: Data, site: Site) -> Start | None:
    records, training = _records(run, name, site.store), _training(run, name, data)
    if (known := _known(records, training)) is not None:
        return _start_in(known)
    start = _of_the_champion(run, name, data, site)
    record = {
        "training": training,
        "start": None if start is None else start.model_dump(mode="json"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    number = records.append(record, same=lambda known: known["training"] == training)
    return _start_in(records.all()[number - 1])  # of several hosts that settle it at once, the first has


def _of_the_champion(run: RunConfig, name: str, data: Data, site: Site) -> Start | None:
    from components.tracking import registry  # imports MLflow, which a plan does without
    from components.tracking.versions import SAW_FORGOTTEN

    model = registered_name(run.name, name)
    state = registry.state(model)
    champion = None if state is None else state.standing.champion
    if state is None or champion is None:
        _log.info("%s: no version is in service yet; its training begins from scratch", model)
        return None
    version = state.version(champion)
    if (forgotten := version.facts.get(SAW_FORGOTTEN)) is not None:
        _log.warning("%s version %s learnt from forgotten images (%s): from scratch", model, champion, forgotten)
        return None
    called = f"{model} version {champion}"
    kept = _training_of(called, version.lineage.get("checkpoint", "none"), version.export_digest, site.store)
    _demand_alike(called, read_card(kept.path / "export"), run.models[name], data)
    return Start(
        model=model,
        version=champion,
        export=kept.export,
        checkpoint=kept.digest,
        images=kept.images_in_all,
        frozen_layers=run.retraining.frozen_layers,
    )


def _training_of(called: str, digest: str, export: str, store: Store) -> Checkpoint:
    """Return the training that a version came from, which must have left just that export."""
    kept = store.by_digest(Checkpoint, digest)
    if kept is None or kept.export != export:
        lacks = "lacks" if kept is None else "has with another export"
        raise ArtifactError(
            f"{called} was trained as {digest}, which the store {lacks}, so nothing can begin with its weights; bring "
            "it back, or set retraining.start: scratch"
        )
    return kept


def _demand_alike(called: str, card: ModelCard, model: ModelConfig, data: Data) -> None:
    """Raise ValueError, in words, unless the networks to be trained are those of a version in service."""
    recipe = model.recipe.resolved(data.shards.splits["train"])
    if unlike := list(_differences(card, recipe, data.shards.size)):
        raise ValueError(
            f"retraining.start: cannot begin with the weights of {called}, which is another network: "
            f"{'; '.join(unlike)}; keep the network as it was, or set retraining.start: scratch"
        )


def _differences(card: ModelCard, recipe: RecipeSection, size: int) -> Iterator[str]:
    if card.size != size:
        yield f"it makes images of {card.size} px, the data has {size}"
    if type(card.recipe) is not type(recipe):
        yield f"it is of the family {card.recipe.kind}, not {recipe.kind}"
        return
    if isinstance(recipe, GeneratorRecipe) and isinstance(card.recipe, GeneratorRecipe):
        before, now = card.recipe.class_names, recipe.class_names
        if before != now:
            yield f"its classes are {', '.join(before) or 'none'}, the data has {', '.join(now) or 'none'}"
    for part, wanted in vars(recipe).items():
        found = getattr(card.recipe, part)
        if isinstance(wanted, NetworkSection) and found != wanted:
            yield f"recipe.{part} was {_in_brief(found)}, and is {_in_brief(wanted)}"


def _in_brief(network: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in vars(network).items())


def _training(run: RunConfig, name: str, data: Data) -> str:
    """Return the identity of a training but for the weights that it begins with."""
    inputs = checkpoint_inputs(run.models[name], data.corruption, data.seed, data.shards, copies=data.copies)
    return digest_of([inputs, run.retraining.frozen_layers])


def _records(run: RunConfig, name: str, store: Store) -> Records:
    return store.records(f"starts/{registered_name(run.name, name)}")


def _known(records: Records, training: str) -> Record | None:
    return next((record for record in records.all() if record["training"] == training), None)


def _start_in(record: Record) -> Start | None:
    return None if record["start"] is None else Start.model_validate(record["start"])
