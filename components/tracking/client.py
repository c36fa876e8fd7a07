"""The door to MLflow: its client, which waits for a server that is away and says in words that we are not let in.

MLflow takes as long to import as torch. It is imported when something of it is used, so all modules here take it from
this one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from components.deferred import later
from components.servers.patience import ServerAwayError, outlast
from components.servers.redaction import redact_text

if TYPE_CHECKING:
    import mlflow as mlflow
    import requests
else:
    mlflow, requests = later("mlflow"), later("requests")

_NOT_LET_IN = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403}
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_REASON = re.compile(
    r"\[Errno -?\d+\] [\w ]+|too many \d+ error|timed out|\d{3} (?:Server|Client) Error|Connection (?:broken|aborted)"
    r"|IntegrityError|UniqueViolation"
)
# Two who set the same tag or alias at once: MLflow looks, then inserts, and the slower one's insert fails once.
_WRITERS_MET = re.compile("IntegrityError|UniqueViolation")
# MLflow gives the errors of several downloads as one text.
_DOWNLOAD_BROKE_OFF = re.compile(
    r"API request to \S+ failed with|(?:5\d\d Server|429 Client) Error|Connection (?:broken|aborted)"
)

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each try, where `outlast` has a line

Answer = TypeVar("Answer")
P = ParamSpec("P")


class TrackingError(RuntimeError):
    """MLflow refused what should be kept."""


class NotLetInError(TrackingError):
    """MLflow does not know who we are, or does not allow what we ask."""


def patiently(request: Callable[[], Answer]) -> Answer:
    """Return the answer of MLflow to a request, which is made again while the server is away.

    Args:
        request: Making it twice must do no harm: MLflow may have done it when the answer got lost.

    Raises:
        PatienceEndedError: The server was away for longer than this process's patience.
        NotLetInError: It asks for other credentials.
        MlflowException: It answered otherwise.
    """
    return outlast(f"MLflow at {redact_text(mlflow.get_tracking_uri())}", lambda: _ask_once(request))


def is_away(error: Exception) -> bool:
    """Return whether MLflow's error says that the server did not answer, or that it cannot now."""
    for one in _chain(error):
        if isinstance(one, requests.HTTPError) and one.response is not None:
            return one.response.status_code in _BUSY
        if isinstance(one, requests.RequestException):
            hopeless = requests.exceptions
            return not isinstance(one, hopeless.SSLError | hopeless.InvalidURL | hopeless.MissingSchema)
    return isinstance(error, mlflow.exceptions.MlflowException) and (
        bool(_DOWNLOAD_BROKE_OFF.search(error.message))
        or (error.error_code == "BAD_REQUEST" and bool(_WRITERS_MET.search(error.message)))
    )


def _ask_once(request: Callable[[], Answer]) -> Answer:
    try:
        return request()
    except (mlflow.exceptions.MlflowException, requests.RequestException) as error:
        words = redact_text(str(error))
        if is_away(error):
            reason = _REASON.search(words)  # of a paragraph about retries and pools
            raise ServerAwayError(reason.group() if reason else words) from error
        if (status := _status(error)) in _NOT_LET_IN.values():
            advice = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an account that may do this"
            address = redact_text(mlflow.get_tracking_uri())
            raise NotLetInError(f"MLflow at {address} answered {status}; {advice} ({words})") from error
        raise


def _status(error: Exception) -> int | None:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    return _NOT_LET_IN.get(error.error_code) if isinstance(error, mlflow.exceptions.MlflowException) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _patient(method: Callable[P, Answer]) -> Callable[P, Answer]:
    @wraps(method)
    def ask(*arguments: P.args, **_options: P.kwargs) -> Answer:
        return patiently(lambda: method(*arguments, **_options))

    return ask


if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient
else:

    class MlflowClient:
        """MLflow's client, each of whose requests is made patiently."""

        def __init__(self) -> None:
            self._client = mlflow.MlflowClient()

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever MLflow's client has under that name
            found = getattr(self._client, name)
            return _patient(found) if callable(found) else found
