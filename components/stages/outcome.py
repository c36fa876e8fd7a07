"""Outcome: what a run has made so far, and where people open its page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from components.artifacts import Artifact
from components.stages.candidate import Candidate, Data
from components.workspace import Workspace

Stage = Literal["prepare", "train", "evaluate", "promote", "publish"]


class Page(Artifact):
    """`page.html`, one self-contained file; `page.json`, its content for comparisons; `pictures/`."""

    name: str
    """Name of the run."""

    @classmethod
    def needs(cls, manifest: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG003 - nothing in it matters
        """Return nothing: a page holds all that it shows."""
        return frozenset()

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of the trainings that it tells of."""
        return frozenset(model["checkpoint"] for model in manifest["inputs"]["models"].values())

    @property
    def label(self) -> str:
        """What people call it: the run's name and the beginning of its digest."""
        return f"{self.name}-{self.digest[:8]}"

    @property
    def file_name(self) -> str:
        """Its name in a folder of pages, which is also the last part of its address."""
        return f"{self.label}.html"

    def is_called(self, run: str) -> bool:
        """Whether a person who says `run` may mean it: its name, the start of its digest, or both joined by "-"."""
        return run == self.name or (run != "" and self.digest.startswith(run.removeprefix(f"{self.name}-")))


@dataclass
class Outcome:
    """What a run has made so far."""

    data: Data
    candidates: list[Candidate] = field(default_factory=list)
    """The models, each as far as the run's last stage; one that failed, as it was at the beginning."""
    page: Page | None = None


@dataclass(frozen=True)
class Skipped:
    """A night that was not begun, by the configuration's own rule."""

    why: str


def page_address(page: Page, workspace: Workspace) -> str:
    """Return where people open the page: `page_url`, or the file for those of this machine."""
    return page_url(page) or (workspace.pages / page.file_name).as_uri()


def page_url(page: Page) -> str | None:
    """Return the page's address for people of other machines; None unless KINTSUGI_URL names a `kintsugi serve`.

    Raises:
        ValueError: KINTSUGI_URL is not an address that links may have.
    """
    return service_address(f"pages/{quote(page.file_name, safe='')}")


def service_address(place: str, asked: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Return an address of `kintsugi serve` for people of other machines; None unless KINTSUGI_URL names one.

    Args:
        place: Below the service's own address.
        asked: Values of the query, by name; None for no query.

    Raises:
        ValueError: KINTSUGI_URL is no http or https address, or holds a password, which links must not spread.
    """
    base = os.environ.get("KINTSUGI_URL", "")
    if not base:
        return None
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("KINTSUGI_URL: expected the address of kintsugi serve, such as http://host:5001")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("KINTSUGI_URL: expected an address without user, password, ? and #")
    return f"{base.rstrip('/')}/{place}" + (f"?{urlencode(asked, doseq=True)}" if asked else "")
