"""Board: the leaderboard of the service, made anew from registry and store when somebody asks."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from components.artifacts import ArtifactError, Store
from components.report.index import IndexEntry
from components.report.leaderboard import Course, leaderboard_page
from components.serving.refusal import Refusal
from components.stages.leaderboard import courses_of
from components.tracking.watching import RegistryAwayError, look_at_all

_AGAIN_S = 10.0
"""A leaderboard younger than this is shown as it is: making one reads all versions."""


class Board:
    """The versions of all models. What was seen before stays in use while registry or store are away."""

    def __init__(self, store: Store) -> None:
        """Prepare; nothing is asked before the first request.

        Args:
            store: Where scores and pictures of the versions are.
        """
        self._store = store
        self._making = threading.Lock()
        self._looked = -_AGAIN_S
        self._seen_at = datetime.now(UTC)
        self._page = ""
        self._courses: tuple[list[Course], list[str]] | None = None

    def page(self, entries: Sequence[IndexEntry], runs: str) -> str:
        """Return the page. May be called from any thread, and blocks.

        Args:
            entries: The runs' pages, with links as seen from it.
            runs: Address of the list of runs, seen from it.

        Raises:
            Refusal: Registry or store do not answer, and never did.
        """
        with self._making:
            if time.monotonic() - self._looked >= _AGAIN_S:
                self._page = self._made(entries, runs)
                self._looked = time.monotonic()
            return self._page

    def _made(self, entries: Sequence[IndexEntry], runs: str) -> str:
        late = []
        try:
            self._courses = courses_of(look_at_all(), self._store, entries)
            self._seen_at = datetime.now(UTC)
        except (RegistryAwayError, ArtifactError, OSError) as error:
            if self._courses is None:
                raise Refusal(503, "registry or artifact store do not answer; try again in a moment") from error
            late = [f"Registry or store do not answer: what is shown is from {self._seen_at:%Y-%m-%d %H:%M} UTC."]
        courses, notes = self._courses
        return leaderboard_page(courses, [*late, *notes], runs)
