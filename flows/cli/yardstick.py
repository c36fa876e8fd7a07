"""The command `yardstick`: which held-out images a run's models are judged on, and how a new version is pinned."""

import json
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.pipeline import AsJson, Config, Overrides
from flows.cli.progress import watched
from flows.cli.tables import say, table
from flows.watching import watcher


def yardstick(
    config: Config,
    *,
    set_: Overrides = (),
    renew: Annotated[bool, Parameter(help="Pin today's held-out images as a new version.", negative=())] = False,
    by: Annotated[str, Parameter(help="With --renew: who pins it.")] = "",
    reason: Annotated[str, Parameter(help="With --renew: why. Scores before and after are not comparable.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the pinned evaluation sets of a run, or pin a new one."""
    from components.artifacts import Store
    from components.config import load
    from components.data import write_shards
    from components.evaluation import yardstick as pins

    run = load(config, set_)
    workspace = Workspace.from_environment()
    store = Store.open(run.store or workspace.default_store, workspace.cache, run.streaming_cache)
    if renew:
        pins.demand_words(by, reason)
        with watched():
            shards = write_shards(run.dataset, store, progress=partial(watcher.get(), "shard"), executor=run.executor)
        pins.renew(store, run.name, run.dataset, shards, by=by, reason=reason)
    elif by or reason:
        raise ValueError("--by and --reason are for --renew")
    known = pins.yardsticks(store, run.name)
    chosen = pins.chosen(known, run.dataset, run.evaluation_set)
    if as_json:
        say(json.dumps([one.model_dump(mode="json") | {"in_force": one == chosen} for one in known], indent=1))
        return
    if not known:
        say(f"no evaluation set of {run.name} is pinned yet; its first run pins the held-out images of its data")
        return
    serving = pins.fitting(known, run.dataset)
    rows = [
        [
            str(one.number),
            "in force" if one == chosen else "" if one in serving else "other dataset options",
            f"{one.images:,}",
            f"{one.size} px",
            f"{one.at:%Y-%m-%d %H:%M} UTC",
            one.by,
            one.reason,
            one.shards,
        ]
        for one in known
    ]
    say(table(["set", "state", "images", "size", "since", "by", "reason", "shards"], rows))
    if run.evaluation_set == "fresh":
        say("evaluation_set is fresh: the held-out images of each night's own data decide, and no pinned set does")
