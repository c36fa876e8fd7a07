"""Publish: the page that shows a run to people, and the index of all pages of this machine."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from components.artifacts import Artifact, write_atomically
from components.config import RunConfig
from components.report.content import PageContent
from components.report.index import rebuild_index
from components.report.page import write_page
from components.stages.candidate import Candidate, Data
from components.stages.inputs import page_inputs
from components.stages.page import page_content
from components.stages.site import Site
from components.workspace import Workspace


class Page(Artifact):
    """`page.html`, one self-contained file; `page.json`, its content for comparisons; `pictures/`."""

    name: str
    """Name of the run."""

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


def publish(run: RunConfig, command: str, data: Data, candidates: Sequence[Candidate], site: Site) -> Page:
    """Return the page of a run, and list it in the index of pages.

    Args:
        run: What was asked for.
        command: What makes the run again.
        data: What the models were trained and judged on.
        candidates: The models, those that failed too, of which the page gives the reason.
        site: Where it happened.
    """

    def write(draft: Path) -> Mapping[str, Any]:
        content = page_content(run, command, data, candidates, site)
        write_page(content, draft / "page.html")
        (draft / "page.json").write_text(content.model_dump_json())
        _keep_pictures(content, draft / "pictures")
        return {"name": run.name}

    page = site.store.materialise(Page, page_inputs(run, command, data, candidates), write)
    write_atomically(site.workspace.pages / page.file_name, (page.path / "page.html").read_bytes())
    rebuild_index(site.workspace.pages)
    return page


def page_address(page: Page, workspace: Workspace) -> str:
    """Return where people open the page: `page_url`, or the file for those of this machine."""
    return page_url(page) or (workspace.pages / page.file_name).as_uri()


def page_url(page: Page) -> str | None:
    """Return the page's address for people of other machines; None unless KINTSUGI_URL names a `kintsugi serve`.

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
    return f"{base.rstrip('/')}/pages/{quote(page.file_name, safe='')}"


def _keep_pictures(content: PageContent, folder: Path) -> None:
    folder.mkdir()
    for model in content.models:
        for number, picture in enumerate(model.samples):
            (folder / f"{model.name}-{number}.png").write_bytes(picture.content)
