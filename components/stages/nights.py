"""Nights: how they are numbered, and what each leaves in its run in MLflow, where they stand beside each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from components.config import RunConfig
from components.data import ShardSet
from components.section import digest_of
from components.stages.candidate import Candidate, Promotion, after
from components.stages.columns import preset_nights
from components.stages.night import Night
from components.stages.outcome import Page, page_url
from components.stages.rival import comparison_command, comparison_url, rival_of
from components.stages.site import Site, ending, flatten
from components.tracking import registry, runs


def night_of(run: RunConfig, shards: ShardSet, reason: str, site: Site) -> Night:
    """Return the night, giving the shards the next number of the configuration's data versions if they are new."""
    versions = site.store.records(f"data/{run.name}")
    facts = {
        "shards": shards.digest,
        "source": shards.source_digest,
        "images": shards.accepted,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    number = versions.append(facts, same=lambda known: known["shards"] == shards.digest)
    return Night(name=run.name, data_version=number, shards=shards.digest, reason=reason)


@contextmanager
def tracked_night(run: RunConfig, site: Site, tags: Mapping[str, str], *apart: str) -> Iterator[Site]:
    """Open the run of the site's night in MLflow and yield the site with it; end the run as the block ends.

    Args:
        run: What was asked for.
        site: Where, and which night it is.
        tags: More tags.
        apart: What tells it from other runs of the same night; nothing, and there is but one.
    """
    if (night := site.night) is None:
        raise RuntimeError("it is not known yet which night it is")
    facts = {"data_version": str(night.data_version), "shards": night.shards, "reason": night.reason}
    parent = runs.open_run(
        run.name,
        night.title,
        digest_of([run_digest(run), night.shards, night.reason, *apart]),
        params=flatten(_determining(run)),
        tags={**{f"kintsugi.{name}": value for name, value in facts.items()}, **tags},
    )
    preset_nights(parent, run)
    with ending(parent):
        yield replace(site, parent_run=parent)


def record(candidates: Sequence[Candidate], page: Page, site: Site) -> None:
    """Put what a night came to into its run: each model's scores and verdict, and the page; once for a page."""
    run_id, night = site.parent_run, site.night
    if run_id is None or night is None or runs.link_of(run_id, "page") == page.digest:
        return
    for one in candidates:
        scores = after("evaluate", one.evaluated).table.values()
        values = {f"{one.name}/{metric}": value for metric, value in scores.items() if "/" not in metric}
        runs.log_metrics(run_id, values, night.data_version)
    runs.log_files(run_id, page.path / "page.html", "page")
    promotions = {one.name: after("promote", one.promotion) for one in candidates}
    verdicts = {f"verdict.{name}": promotion.verdict for name, promotion in promotions.items()}
    address, beside = page_url(page), _beside(page, promotions.values(), site)
    runs.describe(run_id, _summary(night, promotions.values(), address, beside))
    for promotion in promotions.values():
        trained = registry.run_of(promotion.model, promotion.version)
        runs.describe(trained, _of_model(promotion, f"[{night.title}]({runs.page_of(run_id)})", address, beside))
    links = {**verdicts, **({"page_url": address} if address else {}), "page": page.digest}
    runs.link_run(run_id, links)


def record_skipped(why: str, run: RunConfig, site: Site, tags: Mapping[str, str]) -> None:
    """Leave a run in MLflow that says of the site's night that it was skipped, and why.

    It is one of its own: on the same data for the same reason a night may have been trained before, and its run tells
    of that.
    """
    with tracked_night(run, site, tags, "skipped", *tags.values()) as here:
        if here.parent_run is not None and here.night is not None:
            runs.link_run(here.parent_run, {"skipped": why})
            runs.describe(here.parent_run, f"**{here.night.title}** was skipped: {why}.")


def _beside(page: Page, promotions: Iterable[Promotion], site: Site) -> str:
    """Return Markdown that leads to the run beside an earlier one; empty where there is none."""
    rival = rival_of(page, promotions, site.workspace.pages)
    if rival is None:
        return ""
    url = comparison_url(page, rival)
    return f"[Beside {rival}]({url})." if url else f"Beside {rival}: `{comparison_command(page, rival)}`."


def _summary(night: Night, promotions: Iterable[Promotion], address: str | None, beside: str) -> str:
    """Return Markdown for the head of the run's page in MLflow."""
    where = f"[Page]({address}), also" if address else "The page is"
    lines = [f"**{night.title}**. {where} among the artifacts: `page/page.html`. {beside}", ""]
    for one in promotions:
        training = runs.page_of(registry.run_of(one.model, one.version))
        lines.append(f"- **[{one.model}]({training})** version {one.version}: {one.verdict}. {one.reasons[0]}")
    return "\n".join(lines)


def _of_model(promotion: Promotion, night: str, address: str | None, beside: str) -> str:
    """Return Markdown for the head of the page of one model's training."""
    page = f" [Page]({address})." if address else ""
    head = f"**{promotion.model}** version {promotion.version}: **{promotion.verdict}**. Of the night {night}.{page}"
    return "\n".join([f"{head} {beside}", "", *(f"- {reason}" for reason in promotion.reasons)])


def run_digest(run: RunConfig) -> str:
    """Return the identity of a configuration: all of it but where it is stored, when and how it is carried out."""
    return digest_of(_determining(run))


def _determining(run: RunConfig) -> dict[str, Any]:
    models = {name: model.model_dump(mode="json", exclude={"execution"}) for name, model in run.models.items()}
    policy = {"retraining": kept} if (kept := run.retraining.determining) else {}
    how = {"store", "models", "models_at_once", "executor", "streaming_cache", "retraining"}
    rest = run.model_dump(mode="json", exclude=how)
    return {**rest, **policy, "models": models}
