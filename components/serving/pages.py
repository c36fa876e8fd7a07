"""Pages: those of all runs in an artifact store, each file checked against its manifest before it is shown."""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from pydantic import ValidationError

from components.artifacts import ArtifactError, Store
from components.report.comparison import RunColumn, write_comparison
from components.report.content import Link, PageContent
from components.report.index import IndexEntry, SkippedNight, entry_in, skipped_last
from components.report.older import read_content
from components.serving.background import Refresher, in_thread
from components.serving.refusal import Refusal
from components.serving.store import PageFiles, pages_of
from components.stages.diary import SkippedNights
from components.stages.outcome import Page

_log = logging.getLogger(__name__)
_AGAIN_S = 60.0
"""A page that could not be read is not tried again sooner."""


@dataclass(frozen=True)
class Listed:
    """A page and its line of the index."""

    page: Page
    entry: IndexEntry

    @property
    def address(self) -> str:
        """Its address, seen from the index."""
        return f"pages/{quote(self.page.file_name, safe='')}"


class Pages:
    """The pages of a store. What was checked once is kept in a cache, and so can be shown while the store is away."""

    def __init__(self, store: Store, cache: Path) -> None:
        """Prepare; the store is looked at before the first request.

        Args:
            store: Where pages are found.
            cache: Folder for copies of what a shared store holds.
        """
        self._files = PageFiles(store, cache)
        self._listed: dict[str, Listed] = {}
        self._left_out: dict[str, float] = {}
        self._skipped = SkippedNights(store)
        self.skipped: list[SkippedNight] = []
        """The nights that were skipped last, newest first, as seen when the pages were."""
        self.refresher = Refresher("pages", self._look, (OSError,))

    @property
    def store(self) -> Store:
        """Where the pages are, and all else that runs left."""
        return self._files.store

    async def listed(self) -> list[Listed]:
        """Return the pages, newest first, at most about two seconds old while the store answers."""
        await self.refresher.fresh()
        return sorted(self._listed.values(), key=lambda one: one.entry.finished, reverse=True)

    async def find(self, file: str) -> Listed:
        """Return the page whose address ends with `file`.

        Raises:
            Refusal: There is none, or the store has not answered yet.
        """
        found = next((one for one in await self.listed() if one.page.file_name == file), None)
        if found is None:
            raise self._unknown("there is no such page")
        return found

    async def newest(self, run: str) -> Listed:
        """Return the newest page that a person may mean by `run`.

        Raises:
            Refusal: There is none, or the store has not answered yet.
        """
        listed = await self.listed()
        by_name = [one for one in listed if one.page.name == run]
        found = next(iter(by_name or [one for one in listed if one.page.is_called(run)]), None)
        if found is None:
            raise self._unknown(f"there is no page of a run {run!r}")
        return found

    def _unknown(self, words: str) -> Refusal:
        if self.refresher.seen:
            return Refusal(404, words)
        return Refusal(503, "the artifact store has not answered yet; try again in a moment", retry_after_s=2)

    async def of_version(self, name: str, version: int) -> tuple[Listed, PageContent] | None:
        """Return the newest page that shows a version of the model registered as `name`; None if none does."""
        fitting = [
            one
            for one in await self.listed()
            if any(f"{one.entry.name}-{said.model}" == name for said in one.entry.verdicts)
        ]
        return await in_thread(lambda: self._first_of(fitting, name, version))

    def _first_of(self, fitting: list[Listed], name: str, version: int) -> tuple[Listed, PageContent] | None:
        for listed in fitting:
            with suppress(Refusal, ValueError):  # then it says nothing that can be shown
                content = read_content(self._shown(listed.page.digest, "page.json"))
                if any(
                    f"{content.run.name}-{one.name}" == name and one.version == str(version) for one in content.models
                ):
                    return listed, content
        return None

    def html(self, listed: Listed) -> bytes:
        """Return a page's HTML, checked. May be called from any thread, and blocks.

        Raises:
            Refusal: It is not what its manifest says, or cannot be reached.
        """
        return self._shown(listed.page.digest, "page.html")

    def comparison(self, chosen: list[Listed]) -> bytes:
        """Return the page that sets runs side by side. May be called from any thread, and blocks.

        Raises:
            Refusal: What one page holds is not what its manifest says, cannot be reached or read.
        """
        columns = [self._column(one) for one in chosen]
        with TemporaryDirectory(prefix="kintsugi-compare-") as folder:
            return write_comparison(columns, Path(folder) / "compare.html").read_bytes()

    def _column(self, listed: Listed) -> RunColumn:
        try:
            content = read_content(self._shown(listed.page.digest, "page.json"))
        except ValueError as error:
            raise Refusal(
                422, f"the page of {listed.page.name} was made by another version and cannot be set beside others"
            ) from error
        return RunColumn(content=content, page=Link(label=f"Page of {listed.page.name}", url=f"./{listed.address}"))

    def _shown(self, digest: str, name: str) -> bytes:
        try:
            return self._files.read(digest, name)
        except ArtifactError as error:
            _log.error("%s", error)
            raise Refusal(500, "this page is not what its manifest says, and is not shown") from error
        except OSError as error:
            raise Refusal(503, "the artifact store does not answer, and this page was not fetched before") from error

    def _look(self) -> None:
        digests = set(pages_of(self._files.store))
        for digest in digests - self._listed.keys():
            if time.monotonic() - self._left_out.get(digest, -_AGAIN_S) < _AGAIN_S:
                continue
            try:
                listed = self._line(digest)
            except (ArtifactError, ValidationError, FileNotFoundError) as error:
                if digest not in self._left_out:
                    _log.warning("a page is left out: %s", error)
                self._left_out[digest] = time.monotonic()
            else:
                self._listed = {**self._listed, digest: listed}
        self._listed = {digest: one for digest, one in self._listed.items() if digest in digests}
        self.skipped = skipped_last(self._skipped.look())

    def _line(self, digest: str) -> Listed:
        page = self._files.page(digest)
        entry = entry_in(self._files.read(digest, "page.html"))
        if entry is None:
            raise ArtifactError(f"page {digest}: its page.html carries no line of the index")
        return Listed(page, entry)
