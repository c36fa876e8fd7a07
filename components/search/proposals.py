"""Proposals: the configurations that a sweep tries, known up front: they follow from the file alone."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import qmc

from components import seeding
from components.config import ConfigError, ModelConfig, RunConfig, load
from components.config.sweep import SweepConfig
from components.section import Section

Reread = Callable[[Mapping[str, Any]], RunConfig]
"""Returns what the run's file becomes, without its section `sweep`, with values set by path."""

_STREAM = "sweep"
_MISSING = "sweep: required, but missing; it says what is searched over, as configs/FIELDS.md explains"


@dataclass(frozen=True)
class Proposal:
    """One configuration to try."""

    values: Mapping[str, Any]
    """What it has where the sweep searches, by path below the model."""
    run: RunConfig
    """The whole of it, without the section `sweep`."""


def read(path: Path, overrides: Sequence[str] = ()) -> tuple[RunConfig, list[Proposal]]:
    """Return the configuration in a file, with single values set, and what its sweep tries.

    Raises:
        ConfigError: It cannot work, has no section `sweep`, or values clash; each line names the file and the path.
    """
    run = load(path, overrides)
    try:
        return run, proposals(run)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error


def proposals(run: RunConfig) -> list[Proposal]:
    """Return the configurations to try, each once, that without the sweep first.

    Lists alone give the grid of all combinations, or so many of it as there are trials, in an order drawn from the
    run's seed. Where there is a range, a scrambled Sobol sequence gives the values (Owen 1998,
    https://doi.org/10.1006/jcom.1998.0487), and lists are divided like ranges.

    Raises:
        ConfigError: There is no section `sweep`, or values clash; the message names them.
    """
    if run.sweep is None:
        raise ConfigError(_MISSING)
    sweep = run.sweep
    found = [Proposal({path: _present(run, path) for path in sweep.over}, run.unswept)]
    for values in _combinations(sweep, run.seed):
        if sweep.trials is not None and len(found) >= sweep.trials:
            break
        tried = run.trying(values)
        if all(tried.models[sweep.model] != other.run.models[sweep.model] for other in found):
            found.append(Proposal(values, tried))
    return found


def settings(best: RunConfig, run: RunConfig, reread: Reread) -> dict[str, Any]:
    """Return what must be set in the run's file, by path, so that its model is the best one: as little as will do.

    A value alone will not do where the file leaves out the section that it is in: then the section is set as a whole.

    Args:
        best: The configuration wanted.
        run: What the sweep is asked for in.
        reread: Reads the file again.

    Raises:
        ConfigError: There is no section `sweep`.
    """
    if run.sweep is None:
        raise ConfigError(_MISSING)
    name, wanted = run.sweep.model, best.models[run.sweep.model]
    places = {_place_to_set(path, run.trying({path: _at(wanted, path)}), name, reread): None for path in run.sweep.over}
    kept = [place for place in places if not any(place.startswith(f"{other}.") for other in places)]
    found = {f"models.{name}.{place}": _in_brief(wanted, place) for place in kept}
    with suppress(ConfigError):  # of a section within it whose kind is its default
        if reread(found).models[name] == wanted:
            return found
    return {f"models.{name}.{place}": _at(wanted, place) for place in kept}


def _place_to_set(path: str, alone: RunConfig, name: str, reread: Reread) -> str:
    """Return a path, or the smallest section around it that makes the file what it is with that value `alone`."""
    top, *keys = path.split(".")
    for depth in range(len(keys), 0, -1):
        place = ".".join([top, *keys[:depth]])
        with suppress(ConfigError):  # of a section that the file leaves out
            if reread({f"models.{name}.{place}": _at(alone.models[name], place)}).models == alone.models:
                return place
    return top


def _present(run: RunConfig, path: str) -> Any:  # noqa: ANN401 - any value of a configuration
    """Return what the configuration without the sweep has at a path; None where it lacks the section."""
    return None if run.sweep is None else _at(run.models[run.sweep.model], path)


def _in_brief(model: ModelConfig, path: str) -> Any:  # noqa: ANN401 - any value of a configuration
    """Return what stands at a path, of a section only what is not its default."""
    node: Any = model
    for key in path.split("."):
        node = getattr(node, key, None)
    if not isinstance(node, Section):
        return _at(model, path)
    return {**node.model_dump(mode="json", include={"kind"}), **node.model_dump(mode="json", exclude_defaults=True)}


def _at(model: ModelConfig, path: str) -> Any:  # noqa: ANN401 - any value of a configuration
    node: Any = model.model_dump(mode="json")
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _combinations(sweep: SweepConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Yield values by path; a longer sequence begins with a shorter one."""
    if sweep.grid_size is not None:
        grid = list(itertools.product(*(choice.ends for choice in sweep.over.values())))
        order = range(len(grid)) if sweep.trials is None else _shuffled(len(grid), seed)
        yield from (dict(zip(sweep.over, grid[place], strict=True)) for place in order)
        return
    count = sweep.trials or 0
    sobol = qmc.Sobol(len(sweep.over), scramble=True, seed=seeding.stream_key(seed, _STREAM) % 2**63)
    for point in sobol.random_base2(max(1, count.bit_length())).tolist():  # a power of 2, without which it is not even
        yield {path: choice.at(share) for (path, choice), share in zip(sweep.over.items(), point, strict=True)}


def _shuffled(count: int, seed: int) -> list[int]:
    order: list[int] = seeding.numpy_generator(seed, _STREAM).permutation(count).tolist()
    return order
