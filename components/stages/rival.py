"""Rival: the earlier run that a run is best set beside, and where people see the two side by side."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from components.report.index import IndexEntry, entries_in
from components.stages.candidate import Promotion
from components.stages.outcome import Page, service_address
from components.stages.site import registered_name


def rival_of(page: Page, promotions: Iterable[Promotion], pages: Path) -> str | None:
    """Return what the earlier run is called whose model was the champion, or else the last one of the same name.

    Args:
        page: The run's page.
        promotions: What was decided on its models, and against whom.
        pages: Folder of the pages of this machine.
    """
    others = [one for one in entries_in(pages) if one.name == page.name and _label(one) != page.label]
    newest_first = sorted(others, key=lambda one: one.finished, reverse=True)
    judged = {(one.model, str(one.judged_against)) for one in promotions if one.judged_against is not None}
    of_champions = [
        one
        for one in newest_first
        if any((registered_name(one.name, said.model), said.version) in judged for said in one.verdicts)
    ]
    return next((_label(one) for one in (*of_champions, *newest_first)), None)


def comparison_url(page: Page, rival: str) -> str | None:
    """Return where people see two runs side by side; None unless KINTSUGI_URL names a `kintsugi serve`."""
    return service_address("compare", {"run": [page.label, rival]})


def comparison_command(page: Page, rival: str) -> str:
    """Return the command that writes the page of two runs side by side."""
    return f"kintsugi compare {page.label} {rival}"


def _label(entry: IndexEntry) -> str:
    return PurePosixPath(unquote(entry.link.url)).stem
