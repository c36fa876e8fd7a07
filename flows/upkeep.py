"""Upkeep: the flows beside retraining.

`watch` sees that the pile of images changed, `drift` that new ones look otherwise, `rescore` that a champion aged;
`collect` tidies up.
"""

import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from components.artifacts import Store
from components.artifacts.collecting import Retention
from components.config import load
from components.events.known import DataDrifted, Drifted, SourceChanged
from components.servers.patience import patient_run
from components.stages import rescore as rescoring
from components.stages.candidate import Candidate
from components.stages.collect import collect_all
from components.stages.prepare import prepare, shard
from components.stages.rescore import Rescored
from components.stages.shift import DataShift, shifts
from components.stages.site import registered_name
from components.tracking import registry, runs
from components.workspace import Workspace
from flows import naming, news, showing, telling, turn
from flows.opening import opened

_log = logging.getLogger("flows.upkeep")  # Prefect loads this file under a name of its own, whose lines no page shows

compare_images = task(name="compare", cache_policy=NO_CACHE)(shifts)
rescore_model = task(name="rescore", task_run_name="rescore {candidate.name}", cache_policy=NO_CACHE)(rescoring.rescore)


@flow(name="watch", on_failure=[news.when_failed])
def watch(config: Path, overrides: tuple[str, ...] = ()) -> bool:
    """Return whether the source has changed since the last look, and tell Prefect's server so, which starts a night.

    A look reads names, sizes and times of files, not their bytes. The first look only remembers.
    """
    run = load(config, overrides)
    workspace = Workspace.from_environment().create()
    looks = Store.open(run.store or workspace.default_store, workspace.cache).records(f"watch/{run.name}")
    naming.show_logs()
    naming.rename(f"{run.name} · watch")
    known, signature = looks.all(), run.dataset.source.signature()
    if known and known[-1]["signature"] == signature:
        _log.info("%s: nothing new since %s", run.dataset.source.describe(), known[-1]["at"])
        return False
    looks.append({"signature": signature, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    if not known:
        _log.info("%s: first look", run.dataset.source.describe())
        return False
    _log.info("%s has changed since %s", run.dataset.source.describe(), known[-1]["at"])
    telling.tell(SourceChanged(run=run.name, source=run.dataset.source.describe(), since=known[-1]["at"]))
    return True


@flow(name="collect", on_failure=[news.when_failed])
def collect(config: Path, overrides: tuple[str, ...] = (), keep_days: float = 30.0) -> dict[str, int]:
    """Delete what nothing in use needs any more, as `kintsugi gc --delete` does; return the bytes by their fate.

    It may run beside trainings: what was marked is deleted a day later, if still nothing needs it.
    """
    run = load(config, overrides)
    workspace = Workspace.from_environment().create()
    naming.show_logs()
    naming.rename(f"{run.name} · collect")
    bytes_by_fate: Counter[str] = Counter()
    with patient_run():
        store = Store.open(run.store or workspace.default_store, workspace.cache)
        runs.configure(workspace.home)
        for fate in collect_all(store, workspace, Retention(keep_days=keep_days), delete=True):
            bytes_by_fate[fate.becomes] += fate.bytes
    _log.info("%s", ", ".join(f"{size:,} bytes {becomes}" for becomes, size in sorted(bytes_by_fate.items())))
    return dict(bytes_by_fate)


@flow(name="rescore", on_failure=[news.when_failed])
def rescore(config: Path, overrides: tuple[str, ...] = ()) -> dict[str, Rescored]:
    """Return what the champions score on today's held-out images; an event tells of each that moved beyond chance.

    Models that are not in service yet are left out.
    """
    run = load(config, overrides)
    with turn.taken(), opened(run, "rescore") as here:
        data = prepare(run, shard(run, here.site), here.site)
        known = {record.name for record in registry.models() if record.champion is not None}
        serving = [name for name in run.models if registered_name(run.name, name) in known]
        scored = {name: rescore_model(Candidate(name, run.models[name]), data, here.site) for name in serving}
        for one in scored.values():
            _log.info("%s %d: %s: %s", one.model, one.version, one.verdict, one.reasons[0])
            if one.verdict == "moved":
                telling.tell(Drifted(**one.model_dump(exclude={"scores", "verdict"})))
        showing.show_rescored(run.name, scored.values())
        return scored


@flow(name="drift", on_failure=[news.when_failed])
def drift(config: Path, overrides: tuple[str, ...] = ()) -> list[DataShift]:
    """Return how new images compare with those that the champions learnt from; an event tells of drift, which retrains.

    A drift of the same images from the same shards is told once, whatever becomes of the night that it starts.
    """
    run = load(config, overrides)
    with turn.taken(), opened(run, "drift") as here:
        found = compare_images(run, shard(run, here.site), here.site)
        for one, models in found:
            shift = one.shift
            _log.info("%s: %s: %s", ", ".join(models), shift.verdict, "; ".join(shift.reasons))
            if shift.verdict != "drifted" or not news.is_first(f"drift/{one.digest}", here.site.store):
                continue
            distance, *_ = shift.measures
            event = DataDrifted(
                run=run.name,
                models=models,
                known=one.known,
                today=one.today,
                images=shift.images,
                distance=distance.new,
                usual=distance.usual,
                chance=min(measure.chance for measure in (*shift.measures, *shift.classes)),
                reasons=shift.reasons,
            )
            telling.tell(event)
        showing.show_shifts(run.name, found)
        return [one for one, _ in found]
