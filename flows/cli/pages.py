"""Pages of earlier runs, found again for comparison."""

from components.artifacts import Store
from components.report.comparison import RunColumn
from components.report.content import Link
from components.report.older import read_content
from components.stages.outcome import Page


def column(store: Store, run: str) -> RunColumn:
    """Return the newest page of the run called `run`, or else the page whose digest begins so: "d5c1", "NAME-d5c1".

    Args:
        store: Where the pages are; those of a shared store that fit are fetched.
        run: What the person calls the run.

    Raises:
        ValueError: There is none; the message lists what there is.
    """
    found = list(store.all(Page))
    fitting = [page for page in found if page.name == run] or [page for page in found if page.is_called(run)]
    if not fitting:
        known = ", ".join(sorted({page.label for page in found})) or "none yet"
        raise ValueError(f"no page of a run {run!r} in {store.place}; there are: {known}")
    pages = [store.get(Page, page.digest) for page in fitting]
    contents = {page.digest: read_content((page.path / "page.json").read_bytes()) for page in pages}
    newest = max(pages, key=lambda page: contents[page.digest].run.finished)
    link = Link(label=f"Page of {newest.name}", url=(newest.path / "page.html").absolute().as_uri())
    return RunColumn(content=contents[newest.digest], page=link)
