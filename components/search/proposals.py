"""Proposals: the configurations that a sweep tries, known up front: they follow from the file alone."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import qmc

from components import seeding
from components.config import ConfigError, RunConfig
from components.config.sweep import SweepConfig

_STREAM = "sweep"


@dataclass(frozen=True)
class Proposal:
    """One configuration to try."""

    values: Mapping[str, Any]
    """What it has where the sweep searches, by path below the model."""
    run: RunConfig
    """The whole of it, without the section `sweep`."""


def proposals(run: RunConfig) -> list[Proposal]:
    """Return the configurations to try, each once, that without the sweep first.

    Lists alone give the grid of all combinations, or so many of it as there are trials, in an order drawn from the
    run's seed. Where there is a range, a scrambled Sobol sequence gives the values (Owen 1998,
    https://doi.org/10.1006/jcom.1998.0487), and lists are divided like ranges.

    Raises:
        ConfigError: There is no section `sweep`, or values clash; the message names them.
    """
    if run.sweep is None:
        raise ConfigError("sweep: required, but missing; it says what is searched over, as configs/FIELDS.md explains")
    sweep = run.sweep
    found = [Proposal({path: _present(run, path) for path in sweep.over}, run.unswept)]
    for values in _combinations(sweep, run.seed):
        if sweep.trials is not None and len(found) >= sweep.trials:
            break
        tried = run.trying(values)
        if all(tried.models[sweep.model] != other.run.models[sweep.model] for other in found):
            found.append(Proposal(values, tried))
    return found


def _present(run: RunConfig, path: str) -> Any:  # noqa: ANN401 - any value of a configuration
    """Return what the configuration without the sweep has at a path; None where it lacks the section."""
    if run.sweep is None:
        return None
    node: Any = run.models[run.sweep.model].model_dump(mode="json")
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
