"""Writing: how an outbox gets to one MLflow run, by a trainer that never waits or by a flow's process that does."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from components.pictures.encoding import png
from components.servers.redaction import redact_text
from components.tracking.client import mlflow, patiently
from components.tracking.outbox import Outbox, Picture, Point

_log = logging.getLogger(__name__)

_POINTS_PER_REQUEST = 1000
_THUMBNAIL_PX = 256
_PERMANENT = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST"})


class RefusedError(RuntimeError):
    """The server will never take this."""


def unsent() -> tuple[type[Exception], ...]:
    """Return what `deliver` raises when the rest waits on."""
    return (mlflow.exceptions.MlflowException, OSError)


class RunWriter:
    """Writes to one run by its id; never touches MLflow's notion of an active run, and does not wait for a server."""

    def __init__(self, uri: str | None, run_id: str) -> None:
        self._client = mlflow.MlflowClient(uri)
        self._run_id = run_id

    def points(self, points: Sequence[Point]) -> None:
        """Send at most 1000 points; sending the same ones again changes nothing."""
        metrics = [mlflow.entities.Metric(point.name, point.value, point.time_ms, point.images) for point in points]
        _send(lambda: self._client.log_batch(self._run_id, metrics=metrics))

    def picture(self, picture: Picture) -> None:
        """Send a picture for the grid of its name; sending the same one again replaces it.

        MLflow's own `log_image` gives each try another file name, and so would show a picture twice whose first answer
        got lost. The names are those that MLflow's pages look for.
        """
        try:
            image = Image.open(picture.file).convert("RGB")
        except (FileNotFoundError, UnidentifiedImageError) as error:
            raise RefusedError(f"{picture.file}: not a readable picture") from error
        place = f"{picture.name.replace('/', '~')}+step+{picture.images}+timestamp+{picture.time_ms}"
        mark = hashlib.sha256(place.encode()).hexdigest()[:32]
        with tempfile.TemporaryDirectory(prefix="kintsugi-picture-") as folder:
            full, small = Path(folder) / f"{place}+{mark}.png", Path(folder) / f"{place}+{mark}+compressed.webp"
            full.write_bytes(png(image))
            image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            image.save(small)
            _send(lambda: self._client.log_artifacts(self._run_id, folder, "images"))
        _send(lambda: self._client.set_tag(self._run_id, "mlflow.loggedImages", "True"))


def deliver(outbox: Outbox, run: RunWriter) -> int:
    """Send all that waits, and return how many points and pictures MLflow refused for good.

    Raises:
        MlflowException, OSError: MLflow does not take the rest now; it waits on.
    """
    refused = 0
    for points, place in outbox.points(_POINTS_PER_REQUEST):
        refused += 0 if _is_taken(lambda points=points: run.points(points)) else len(points)  # type: ignore[misc]
        outbox.points_sent(place)
    for picture, place in outbox.pictures():
        refused += 0 if _is_taken(lambda picture=picture: run.picture(picture)) else 1  # type: ignore[misc]
        outbox.pictures_sent(place)
    return refused


def deliver_rest(folder: Path, run_id: str) -> None:
    """Send what a training, whose processes are gone, left in its outbox; waits for a server that is away.

    Raises:
        PatienceEndedError: The server was away for too long; the outbox keeps the rest.
    """
    with closing(Outbox(folder)) as outbox:
        run = RunWriter(None, run_id)
        patiently(lambda: deliver(outbox, run))


def _is_taken(send: Callable[[], None]) -> bool:
    try:
        send()
    except RefusedError as error:
        _log.warning("MLflow refuses a part of what a training sends, and will not show it: %s", error)
        return False
    return True


def _send(request: Callable[[], object]) -> None:
    """Make a request of MLflow; what MLflow will never take is told apart from what may succeed later."""
    try:
        request()
    except mlflow.exceptions.MlflowException as error:
        if error.error_code in _PERMANENT:
            raise RefusedError(redact_text(str(error))) from error
        raise
