"""Publish: the page that shows a run to people, the leaderboard, and the index of all pages of this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.artifacts import write_atomically
from components.config import RunConfig
from components.report.content import PageContent
from components.report.index import rebuild_index, write_skipped
from components.stages.candidate import Candidate, Data
from components.stages.diary import skipped_nights
from components.stages.inputs import page_inputs
from components.stages.outcome import Page
from components.stages.site import Site


def publish(run: RunConfig, command: str, data: Data, candidates: Sequence[Candidate], site: Site) -> Page:
    """Return the page of a run, list it in the index of pages, and renew the leaderboard beside it.

    Args:
        run: What was asked for.
        command: What makes the run again.
        data: What the models were trained and judged on.
        candidates: The models, those that failed too, of which the page gives the reason.
        site: Where it happened.
    """

    def write(draft: Path) -> Mapping[str, Any]:
        from components.report.page import write_page  # here, for what draws takes a second to import
        from components.stages.page import page_content

        content = page_content(run, command, data, candidates, site)
        write_page(content, draft / "page.html")
        (draft / "page.json").write_text(content.model_dump_json())
        _keep_pictures(content, draft / "pictures")
        return {"name": run.name}

    page = site.store.materialise(Page, page_inputs(run, command, data, candidates), write)
    write_atomically(site.workspace.pages / page.file_name, (page.path / "page.html").read_bytes())
    from components.stages.leaderboard import renew_leaderboard

    renew_leaderboard(site.store, site.workspace.pages)
    rebuild_index(site.workspace.pages)
    return page


def list_skipped(name: str, site: Site) -> None:
    """Let the index of this machine's pages say which nights of a run were skipped last, and why."""
    write_skipped(name, skipped_nights(site.store, name), site.workspace.pages)
    rebuild_index(site.workspace.pages)


def _keep_pictures(content: PageContent, folder: Path) -> None:
    folder.mkdir()
    for model in content.models:
        for number, picture in enumerate(model.samples):
            (folder / f"{model.name}-{number}.png").write_bytes(picture.content)
