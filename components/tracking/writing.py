"""The wire between a tracker and one MLflow run: what is sent, and whether a failure may pass."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

POINTS_PER_REQUEST = 1000

_PERMANENT = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"})


class Point(NamedTuple):
    """One number of one metric."""

    name: str
    value: float
    time_ms: int
    """Milliseconds since 1970, UTC."""
    images: int
    """Images seen: MLflow's step."""


class UnreachableError(RuntimeError):
    """The server did not answer, or not now; the same may succeed later."""


class RefusedError(RuntimeError):
    """The server will never take this."""


class RunWriter:
    """Writes to one run by its id; never touches MLflow's notion of an active run."""

    def __init__(self, uri: str | None, run_id: str) -> None:
        # Who uses this tries again by himself; MLflow's client would sleep for minutes inside one request.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        self._client = MlflowClient(uri)
        self._run_id = run_id

    def points(self, points: Sequence[Point]) -> None:
        """Send at most 1000 points; sending the same ones again changes nothing."""
        metrics = [Metric(point.name, point.value, point.time_ms, point.images) for point in points]
        _send(lambda: self._client.log_batch(self._run_id, metrics=metrics))

    def image(self, name: str, image: NDArray[np.uint8], images: int) -> None:
        """Send an RGB picture of shape (height, width, 3) for the grid `name` with its slider over images."""
        _send(lambda: self._client.log_image(self._run_id, image, key=name, step=images, synchronous=True))

    def text(self, name: str, text: str) -> None:
        """Send a text file."""
        _send(lambda: self._client.log_text(self._run_id, text, name))


def _send(request: Callable[[], object]) -> None:
    """Make a request of MLflow.

    Raises:
        UnreachableError: It may succeed later.
        RefusedError: It never will.
    """
    try:
        request()
    except MlflowException as error:
        raise (RefusedError if error.error_code in _PERMANENT else UnreachableError)(str(error)) from error
    except OSError as error:
        raise UnreachableError(str(error)) from error
