"""RunConfig: one YAML file becomes one frozen, checked object; `--set a.b=value` changes single values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    ByteSize,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from components.artifacts.storage import checked_place
from components.config import text
from components.config.fitting import check_sizes
from components.config.mistakes import explain, no_numbers
from components.config.retraining import RetrainingConfig
from components.config.streaming import check_streaming
from components.config.sweep import SweepConfig
from components.corruption import CorruptionMix
from components.data import DatasetConfig
from components.data.frozen import FrozenSetConfig
from components.evaluation.evidence import EvaluationSection, judged_by_own_features
from components.evaluation.gate import PromotionRule
from components.evaluation.measure import EvaluationConfig
from components.evaluation.yardstick import EvaluationSetChoice
from components.executors import LOCAL, ExecutorConfig
from components.recipes import RecipeConfig
from components.recipes.recipe import RecipeSection
from components.section import Grown, Section, kinds
from components.training.config import ExecutionConfig, TrainingConfig, check_division

_NAME = r"^[a-z][a-z0-9_-]{0,39}$"


class ConfigError(ValueError):
    """A configuration that cannot work; the message has one line per mistake, each with its path."""


class CorruptionConfig(Section):
    """What the inpainter learns to undo, and what it is judged on."""

    mix: CorruptionMix
    """Masks and degradations; in training one is drawn per image and pass."""
    frozen: FrozenSetConfig = FrozenSetConfig()
    """The evaluation set, drawn once from the test images and kept."""


class ModelConfig(Section):
    """One model: how it is built, trained, judged and promoted."""

    recipe: RecipeConfig
    """Networks, losses and optimizers of one family."""
    training: TrainingConfig
    """What determines the weights."""
    execution: ExecutionConfig = ExecutionConfig()
    """How the training is carried out."""
    evaluation: EvaluationConfig
    """Which scores are measured, and against which baselines."""
    promotion: PromotionRule
    """When the model may replace the champion."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_division(self.training, self.execution)
        if not self.evaluation.suits(self.recipe):
            raise ValueError(
                f"a recipe of kind '{self.recipe.kind}' is evaluated by kind {_evaluations_of(self.recipe)}, "
                f"not '{self.evaluation.kind}'"
            )
        if refused := judged_by_own_features(self.recipe, self.evaluation):
            raise ValueError(refused)
        return self


def _evaluations_of(recipe: RecipeSection) -> str:
    members = [one for one in kinds(EvaluationConfig) if issubclass(one, EvaluationSection) and one.suits(recipe)]
    return " or ".join(f"'{one.model_fields['kind'].default}'" for one in members)


class RunConfig(Grown):
    """All that one pipeline run is determined by."""

    name: str = Field(pattern=_NAME)
    """Name of the run and prefix of its registered models: lower case, digits, - and _."""
    seed: int = Field(default=17, ge=0)
    """Every random number of the run is derived from this one."""
    store: str | None = None
    """Artifact store: a folder or s3://bucket/prefix; None is KINTSUGI_STORE, or `store` in KINTSUGI_HOME."""
    dataset: DatasetConfig
    """Where images come from and how they are kept."""
    corruption: CorruptionConfig | None = None
    """What is done to images that an inpainter is to mend; needed by models of that kind."""
    evaluation_set: EvaluationSetChoice = "pinned"
    """Held-out images that decide: `pinned`, the same each night, from the run's first data version or the last
    `kintsugi yardstick CONFIG --renew`; `{pinned: 2}`, that version of them; `fresh`, those of the night's own data."""
    models_at_once: int | None = Field(default=None, ge=1)
    """Models to work on side by side, each with its share of the cores and with graphics cards of its own; changes
    nothing that they become, beyond rounding. None: as many as the host's cards allow, and one after the other
    without cards."""
    executor: ExecutorConfig = LOCAL
    """Who decodes and encodes images, damages the frozen ones, takes facts of all, and features where no graphics card
    does: this machine, or the workers of a Dask cluster; changes no byte of what they become."""
    streaming_cache: ByteSize | None = Field(default=None, ge=2**14)
    """Most bytes, such as 20GiB, held here of a data version in an s3:// store, whose tars are fetched when they are
    needed; changes nothing that models become, which need `training.window`. None brings a version whole."""
    retraining: RetrainingConfig = RetrainingConfig()
    """When a night trains, which of the models, from which weights, and what it may cost."""
    sweep: SweepConfig | None = None
    """What `kintsugi sweep` searches over; changes nothing that other commands do."""
    models: dict[str, ModelConfig] = Field(min_length=1)
    """The models to train, by name."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"executor", "retraining", "streaming_cache", "sweep"})

    @field_validator("store")
    @classmethod
    def _store_is_a_place(cls, store: str | None) -> str | None:
        return None if store is None else checked_place(store)

    @field_validator("models")
    @classmethod
    def _names(cls, models: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
        for name in models:
            if not name.isidentifier() or not name.islower():
                raise ValueError(f"model name {name!r}: expected lower-case letters, digits and _")
        return models

    @model_validator(mode="after")
    def _networks_fit_the_images(self) -> Self:
        for name, model in self.models.items():
            check_sizes(name, model.recipe, model.training, self.dataset.size)
        return self

    @model_validator(mode="after")
    def _classes_are_there(self) -> Self:
        needing = [name for name, model in self.models.items() if model.recipe.needs_classes]
        if needing and not self.dataset.source.has_classes:
            raise ValueError(
                f"model '{needing[0]}' is conditional, but dataset.source has no classes: set dataset.source.labels, "
                "which folders, zip archives and torchvision's sets have"
            )
        return self

    @model_validator(mode="after")
    def _corruption_is_there(self) -> Self:
        needing = [name for name, model in self.models.items() if model.recipe.needs_corruption]
        if needing and self.corruption is None:
            raise ValueError(f"model '{needing[0]}' mends images, so the section 'corruption' is needed")
        return self

    @model_validator(mode="after")
    def _what_streams_fits(self) -> Self:
        trainings = {name: model.training for name, model in self.models.items()}
        check_streaming(self.streaming_cache, self.dataset.shard_bytes, trainings, self.models_at_once or 1)
        return self

    @model_validator(mode="after")
    def _retrained_are_there(self) -> Self:
        strangers = [name for name in self.retraining.models or () if name not in self.models]
        if strangers:
            there = ", ".join(self.models)
            raise ValueError(f"retraining.models: there is no model '{strangers[0]}'; there are: {there}")
        return self

    @model_validator(mode="after")
    def _sweep_can_be_carried_out(self) -> Self:
        if self.sweep is None:
            return self
        _check_ranking(self.sweep, self.models)
        for path, choice in self.sweep.over.items():
            for value in choice.ends:
                self.trying({path: value})
        return self

    @property
    def of_the_night(self) -> "RunConfig":
        """The configuration without `sweep`, and with those models alone that `retraining.models` names."""
        chosen = self.retraining.models
        models = {name: one for name, one in self.models.items() if chosen is None or name in chosen}
        return self.unswept.model_copy(update={"models": models})

    @property
    def unswept(self) -> "RunConfig":
        """The configuration without the section `sweep`."""
        return self.model_copy(update={"sweep": None})

    def trying(self, values: Mapping[str, Any]) -> "RunConfig":
        """Return the configuration without `sweep`, whose model has other values, by path below it, as by `--set`.

        Raises:
            ConfigError: They make no configuration that works; each line names them and the path that is wrong.
        """
        if self.sweep is None:
            raise ConfigError("sweep: required, but missing; it says what is searched over")
        content = self.unswept.model_dump(mode="json")
        said = "sweep.over: " + ", ".join(f"{path}={value}" for path, value in values.items())
        for path, value in values.items():
            _put(content, f"models.{self.sweep.model}.{path}", value, said)
        return _made(content, said)


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration in the YAML file `path` with `overrides` ("models.gan.seed=3") applied.

    Raises:
        ConfigError: The file is missing or not YAML, or a key or value is not allowed; every mistake is named.
    """
    try:
        content = text.read(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except text.TextError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}")
    for override in overrides:
        _apply(content, override)
    return _made(content, str(path))


def _made(content: dict[str, Any], said: str) -> RunConfig:
    """Return what values become, or say of each that is wrong where it stands and in what was `said`."""
    try:
        run = RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{said}: {line}" for line in explain(error, RunConfig))) from error
    if mistaken := list(no_numbers(content, run)):
        raise ConfigError("\n".join(f"{said}: {line}" for line in mistaken))
    return run


def _apply(content: dict[str, Any], override: str) -> None:
    dotted, equals, written = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override}: expected PATH=VALUE, such as models.gan.training.images=1000")
    try:
        value = text.parse(written)
    except text.TextError as error:
        raise ConfigError(f"--set {override}: {error}") from error
    _put(content, dotted, value, f"--set {override}")


def _put(content: dict[str, Any], dotted: str, value: Any, said: str) -> None:  # noqa: ANN401 - any YAML value
    """Set the value at a dotted path; a section of the kind that is there keeps what it does not name."""
    *parents, last = dotted.split(".")
    node = content
    for depth, key in enumerate(parents):
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict):
            kind = "a list; set it as a whole" if isinstance(node, list) else "a value and has no keys"
            raise ConfigError(f"{said}: {'.'.join(parents[: depth + 1])} is {kind}")
    previous = node.get(last)
    if (
        isinstance(value, dict)
        and isinstance(previous, dict)
        and value.get("kind", previous.get("kind")) == previous.get("kind")
    ):
        value = previous | value
    node[last] = value


def _check_ranking(sweep: SweepConfig, models: Mapping[str, ModelConfig]) -> None:
    """Refuse a sweep of no model, or of one that no score ranks at the first rung.

    Raises:
        ValueError: It is such a one; the message says what to write.
    """
    if sweep.model not in models:
        raise ValueError(f"sweep.model: there is no model '{sweep.model}'; there are: {', '.join(models)}")
    training, first = models[sweep.model].training, sweep.places(models[sweep.model].training.images)[0]
    place = f"models.{sweep.model}.training.validation"
    if training.validation is None:
        raise ValueError(
            f"sweep: trials are ranked by the scores of {place}, which is missing; set it to {{every: {max(1, first)}}}"
        )
    if training.validation.every > first:
        raise ValueError(
            f"sweep: the first rung is at {first:,} images, but {place}.every is {training.validation.every:,}, so no "
            f"score would be there yet; make it {first} or less, or sweep.rungs or sweep.reduction smaller"
        )
    if (nodes := models[sweep.model].execution.nodes) > 1:
        raise ValueError(f"sweep: execution.nodes of '{sweep.model}' is {nodes}; a sweep trains on one host")
