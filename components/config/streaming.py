"""Streaming: what a bounded cache of tars asks of the order in which models see their images."""

from collections.abc import Mapping

from components.training.config import TrainingConfig

WINDOWS = 2
"""Of tars that are here at a time: the one that images come from, and the next one."""


def check_streaming(limit: int | None, shard_bytes: int, trainings: Mapping[str, TrainingConfig], at_once: int) -> None:
    """Refuse a cache that tars would be fetched into again and again.

    Args:
        limit: Bytes of the cache; None: there is none, and nothing to ask.
        shard_bytes: Most bytes of a tar.
        trainings: Section `training` of each model.
        at_once: Models that are trained side by side.

    Raises:
        ValueError: A model has no window, or two windows of each that is trained do not fit.
    """
    if limit is None:
        return
    for name, training in trainings.items():
        if training.window is None:
            raise ValueError(
                f"streaming_cache: models.{name}.training.window is missing; without it each batch needs tars from all "
                "over the data version. Set it to the number of tars whose images are shuffled together, such as 16"
            )
    largest = sorted((one.window for one in trainings.values() if one.window is not None), reverse=True)[:at_once]
    needed = WINDOWS * sum(largest) * shard_bytes
    if needed > limit:
        raise ValueError(
            f"streaming_cache is {limit:,} bytes; expected at least {needed:,}: {WINDOWS} times training.window "
            f"({' + '.join(map(str, largest))}) tars of dataset.shard_bytes ({shard_bytes:,})"
        )
