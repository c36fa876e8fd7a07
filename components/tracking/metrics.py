"""Trackers: where a training loop sends numbers and pictures, without ever waiting for a server."""

import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from components.servers.redaction import redact_text
from components.tracking.hardware import LoadSampler
from components.tracking.outbox import Outbox

logger = logging.getLogger(__name__)

SAMPLE_EVERY_S = 10.0
LONGEST_PAUSE_S = 60.0

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_\-. /]")


class Tracker(Protocol):
    """Takes what a training loop wants kept. The place on the axis is the number of images seen."""

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Keep numbers, by name."""

    def log_image(self, name: str, file: Path, images: int) -> None:
        """Keep a picture, which lies in `file`, in the grid that shows `name` over time."""

    def sync(self) -> None:
        """Make durable what was taken, before the checkpoint is from which a resumed training does not log it again."""

    def close(self) -> int:
        """Send what is left, for a moment, and return how many points and pictures wait on in the outbox."""
        ...


class NullTracker:
    """Keeps nothing: for ranks other than the first, and for runs without MLflow."""

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Do nothing."""

    def log_image(self, name: str, file: Path, images: int) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def close(self) -> int:
        """Return that nothing waits."""
        return 0


class MlflowTracker:
    """Keeps all in an outbox, from which one background thread sends it to one MLflow run.

    While the server is down it is tried again at growing intervals of up to a minute; what is not sent when the tracker
    closes, or when its process is killed, is sent by the next one or by `writing.deliver_rest`. Numbers that are not
    finite are left out and counted, because MLflow would store infinity as 1.8e308.
    """

    def __init__(
        self,
        uri: str | None,
        run_id: str,
        outbox: Path,
        *,
        images: int = 0,
        system_metrics: bool = False,
        flush_every_s: float = 5.0,
        close_within_s: float = 5.0,
    ) -> None:
        """Start the writer.

        Args:
            uri: MLflow's tracking URI; None for the one that the environment names.
            run_id: The run to write to; it is never made active, begun or ended here.
            outbox: Folder of what is kept; pictures lie in its parent folder.
            images: Images seen at the start; nothing is logged at fewer.
            system_metrics: Also write the load of processor, memory and graphics cards every ten seconds.
            flush_every_s: Longest time that a point waits while the server answers.
            close_within_s: Longest time that `close` waits for the server.
        """
        # Imported here: ranks and runs without MLflow need only NullTracker, and mlflow takes seconds to import.
        from components.tracking import writing

        self._run = writing.RunWriter(uri, run_id)
        self._deliver, self._unsent = writing.deliver, writing.unsent()
        self._outbox = Outbox(outbox, images)
        self._flush_every_s = flush_every_s
        self._close_within_s = close_within_s
        self._sampler = LoadSampler() if system_metrics else None
        self._closing = threading.Event()
        self._not_finite: Counter[str] = Counter()
        self._reachable = True
        self._images = images
        self._writer = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._writer.start()

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Keep numbers, by name, at `images` seen; an underscore replaces what MLflow does not allow in names.

        Raises:
            OSError: The disk is full.
        """
        self._images = images
        finite = {}
        for name, value in values.items():
            if math.isfinite(value):
                finite[allowed_name(name)] = float(value)
            else:
                self._count_not_finite(name, value, images)
        self._outbox.add_points(finite, images)

    def log_image(self, name: str, file: Path, images: int) -> None:
        """Keep a picture; MLflow shows `name` as a grid with a slider over images.

        Raises:
            OSError: The disk is full.
        """
        self._outbox.add_picture(allowed_name(name), file, images)

    def sync(self) -> None:
        """Make durable what was taken."""
        self._outbox.sync()

    def close(self) -> int:
        """Send what is left, for a bounded time, and return how many points and pictures wait on in the outbox."""
        self._closing.set()
        self._writer.join(self._close_within_s)
        waiting = self._outbox.waiting()
        if waiting:
            logger.info("%d points and pictures wait in %s", waiting, self._outbox.folder)
        if not self._writer.is_alive():  # else it ends with the process
            self._outbox.close()
        if self._not_finite:
            logger.warning("left out because they were not finite: %s", dict(self._not_finite))
        return waiting

    def _count_not_finite(self, name: str, value: float, images: int) -> None:
        if name not in self._not_finite:
            logger.warning("%s is %s at %d images; left out of MLflow, as are later ones", name, value, images)
        self._not_finite[name] += 1

    def _write(self) -> None:
        """Send and sample until closed; then send once more."""
        pause_s = self._flush_every_s
        next_sample = next_try = time.monotonic()
        while not self._closing.wait(min(self._flush_every_s, SAMPLE_EVERY_S)):
            now = time.monotonic()
            if self._sampler is not None and now >= next_sample:
                self._keep_load(self._sampler)
                next_sample = now + SAMPLE_EVERY_S
            if now >= next_try:
                self._reachable = self._send()
                pause_s = self._flush_every_s if self._reachable else min(2 * pause_s, LONGEST_PAUSE_S)
                next_try = time.monotonic() + (0 if self._reachable else pause_s)
        self._send()

    def _keep_load(self, sampler: LoadSampler) -> None:
        try:
            self._outbox.add_points(sampler.sample(), self._images)
        except OSError as error:  # the training meets the full disk, too, and stops
            logger.warning("the machine's load is not kept: %s", error)

    def _send(self) -> bool:
        """Send all that waits; return False if the server does not take it now."""
        try:
            self._deliver(self._outbox, self._run)
        except self._unsent as error:  # also a full disk: how much was sent is not remembered, and is sent again
            if self._reachable:
                words = redact_text(str(error))
                logger.warning("MLflow does not answer; points wait in %s: %s", self._outbox.folder, words)
            return False
        return True


def allowed_name(name: str) -> str:
    """Return `name` with an underscore in place of each character that MLflow does not allow in names."""
    return _NOT_IN_NAMES.sub("_", name)
