"""The command `data quality`: what is odd about the images of a data set, without training anything."""

import json
from functools import partial

from components.workspace import Workspace
from flows.cli.pipeline import AsJson, Config, Overrides
from flows.cli.progress import watched
from flows.cli.tables import say, table
from flows.watching import watcher


def quality(config: Config, *, set_: Overrides = (), as_json: AsJson = False) -> None:
    """Say what is odd about a run's images: near-copies, blank, tiny, blurred, dark ones, outliers, label conflicts.

    The source is read if its shards are not there yet. Nothing is left out of them for what is found.
    """
    from components.artifacts import Store
    from components.config import load
    from components.data import write_shards
    from components.quality.copies import near_copies
    from components.quality.facts import image_facts
    from components.quality.report import quality_report

    run = load(config, set_)
    workspace = Workspace.from_environment().create()
    store = Store.open(run.store or workspace.default_store, workspace.cache, run.streaming_cache)
    with watched():
        shards = write_shards(run.dataset, store, progress=partial(watcher.get(), "shard"), executor=run.executor)
        image_facts(shards, store, progress=partial(watcher.get(), "quality"), executor=run.executor)
        report = quality_report(shards, store)
    copies = near_copies(shards, store)
    if as_json:
        found = {"images": shards.accepted, "near_copies": copies.model_dump(mode="json"), "path": str(report.path)}
        say(json.dumps(report.model_dump(mode="json") | found, indent=1))
        return
    rows = [[one.name, f"{one.images:,}", f"{one.images / shards.accepted:.2%}", one.words] for one in report.findings]
    say(table(["images that are", "count", "share", "which means"], rows))
    say(
        f"{copies.groups:,} groups of near-copies, the largest of {copies.largest:,} images; {copies.straddling:,} are "
        f"both trained on and held out: dataset.near_copies: left_out leaves {copies.left_out:,} images out of training"
    )
    for name in sorted({name for counts in report.classes.values() for name in counts}):
        say(f"class {name}: " + ", ".join(f"{counts[name]:,} {split}" for split, counts in report.classes.items()))
    say(f"pictures and keys: {report.path}")
