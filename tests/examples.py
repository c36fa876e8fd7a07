"""One small instance of every section that a file can name: what tests run over that hold for all members of a union.

Families and networks stand in the matrix, `end_to_end/model_matrix.yaml`, as small as they may be. Of other kinds the
example is what stands here, or else the section as it is by default.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from components.config import RunConfig, load
from components.data.shardset import SplitFacts
from components.data.sources import (
    FolderSource,
    HttpListSource,
    ParquetSource,
    S3Source,
    ShapesSource,
    TorchvisionSource,
    WebdatasetSource,
    ZipSource,
)
from components.models.network import NetworkSection
from components.recipes.recipe import RecipeSection
from components.section import Section, kinds

MATRIX = load(Path(__file__).parent / "end_to_end" / "model_matrix.yaml")
"""Every family and every network."""

TRAINING = SplitFacts(samples=16, shards=(), classes={"cat": 3, "dog": 1})
"""The training images that `RECIPES` are resolved for."""

RECIPES: dict[str, RecipeSection] = {name: model.recipe.resolved(TRAINING) for name, model in MATRIX.models.items()}
"""Every recipe of the matrix by name; conditional ones know two classes."""

FAMILIES_AND_NETWORKS = (RecipeSection, NetworkSection)

_OTHERS = (
    FolderSource(path=Path("pictures")),
    HttpListSource(path=Path("addresses.txt")),
    ParquetSource(path="pictures.parquet"),
    S3Source(url="s3://bucket/pictures"),
    ShapesSource(images=3),
    TorchvisionSource(name="MNIST"),
    WebdatasetSource(path=Path("tars")),
    ZipSource(path=Path("pictures.zip")),
)


def example(member: type[Section]) -> Section:
    """Return the example of a section's class."""
    known = {type(one): one for one in (*sections_in(MATRIX), *_OTHERS)}
    return known.get(member) or member()


def examples(union: Any) -> list[Any]:
    """Return the example of each member of a union, as parameters called by their kind."""
    return [pytest.param(example(member), id=member.model_fields["kind"].default) for member in kinds(union)]


def beyond(known: Iterable[Section], kinds_of: tuple[type[Section], ...] = FAMILIES_AND_NETWORKS) -> list[str]:
    """Return names of the matrix's models that together hold every family and network that none of `known` holds.

    So a test of its own choice of recipes leaves out none that comes later.
    """
    covered = {type(part) for one in known for part in sections_in(one)}
    names = []
    for name, recipe in RECIPES.items():
        held = {type(part) for part in sections_in(recipe) if isinstance(part, kinds_of)}
        if held - covered:
            names.append(name)
            covered |= held
    return names


def sections_in(value: object) -> Iterator[Section]:
    """Yield a section and all that it holds."""
    if isinstance(value, Section):
        yield value
        for field in vars(value).values():
            yield from sections_in(field)
    elif isinstance(value, dict):
        yield from sections_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from sections_in(item)


def nameable(root: type[BaseModel] = RunConfig) -> set[type[Section]]:
    """Return every class below `root` that a file chooses by its kind."""
    found: set[type[Section]] = set()
    seen: set[type[BaseModel]] = set()
    waiting: list[Any] = [root]
    while waiting:
        one = waiting.pop()
        waiting += get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel) and one not in seen:
            seen.add(one)
            waiting += [field.annotation for field in one.model_fields.values()]
            kind = one.model_fields.get("kind")
            if kind is not None and get_origin(kind.annotation) is Literal:
                found.add(one)
    return found
